"""Outcomes from diffractograms: those of an instrument, and simulated ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.diffraction import (
    Candidates,
    DiffractionSettings,
    Identification,
    Scan,
    identify,
    simulate,
)
from gnomon.elements import SYMBOLS, parse_formula
from gnomon.hull.phases import reduced_formulas
from gnomon.synthesis.lab.crucible import AIR, closed_atoms, fixed_elements, grams_per_atom
from gnomon.synthesis.lab.kinetics import chance

CRUCIBLE, SCRATCHED, AMOUNT = "Al2O3", 0.3, 0.02
"""What may come off the crucible of a simulated experiment, how often, and its weight fraction."""

UNKNOWN = 0.1
"""Share of the phases besides target and precursors that a simulated analysis does not know."""

FAINT = 0.003
"""Weight fraction below which a phase adds nothing to a simulated scan."""


OPTIONS, BETTER = 5, 0.1
"""Candidates for one phase that are held against what was weighed in, and by how much of all metals
they must fit better than what explains the peaks best."""


@dataclass(frozen=True)
class Reading:
    """What a scan says.

    Attributes:
        phases: weight fractions by reduced formula; nothing where none was recognized.
        note: what stays open, as a sentence.
        scan: that was read.
        errors: standard errors of the weight fractions, where a refinement gave them.
        complete: whether the phases explain all peaks.
    """

    phases: Mapping[str, float]
    note: str
    scan: Scan
    errors: Mapping[str, float]
    complete: bool

    def doubt(self, formula: str) -> float:
        """Weight fraction by which a phase may be less than it was read to be.

        Its standard error; all of it where peaks stay unexplained, since what nothing explains is
        in no weight fraction.
        """
        return self.errors.get(formula, 0.0) if self.complete else 1.0


def read(
    scan: Scan,
    candidates: Candidates,
    settings: DiffractionSettings | None = None,
    weighed_in: Mapping[str, float] | None = None,
) -> Reading:
    """The phases of a scan, those of one formula together.

    Crystals of one structure scatter alike: where other candidates explain the peaks of a phase
    almost as well, those are told whose metals together are nearest to what was weighed in.

    Args:
        scan: of the powder.
        candidates: what may be in it.
        settings: how to look for them.
        weighed_in: parts by weight of formulas; None to tell what explains the peaks best.

    Raises:
        ValueError: without candidates.
    """
    found: Identification = identify(scan, candidates, settings)
    chosen = [phase.candidate for phase in found.phases]
    weights = [phase.weight_fraction for phase in found.phases]
    if weighed_in is not None and found.phases:
        own = np.array([_metals({name: 1.0}) for name in _names(candidates.crystals)])
        wanted = _metals(weighed_in)
        options = [(p.candidate, *p.alternatives)[:OPTIONS] for p in found.phases]
        misses = {
            those: float(np.abs(_normal(np.array(weights) @ own[list(those)]) - wanted).sum())
            for those in product(*options)
            if len({*those}) == len(those)
        }
        best = min(misses, key=lambda those: misses[those])
        if misses[best] < misses.get(tuple(chosen), 2.0) - BETTER:
            chosen = list(best)
    names, phases = _names(candidates.crystals), dict[str, float]()
    errors: dict[str, float] = {}
    for phase, candidate, weight in zip(found.phases, chosen, weights, strict=True):
        name = names[candidate]
        phases[name] = phases.get(name, 0.0) + weight
        errors[name] = errors.get(name, 0.0) + (phase.uncertainty or 0.0)
    return Reading(phases, found.message, scan, errors, found.status == "identified")


def _metals(parts: Mapping[str, float]) -> Float64[np.ndarray, " 119"]:
    """Moles a gram of elements that no gas brings, of parts by weight."""
    fixed = fixed_elements(AIR)
    moles = np.array([w / grams_per_atom(n, fixed) for n, w in parts.items() if _solid(n)])
    atoms = closed_atoms([name for name in parts if _solid(name)], AIR)
    total = moles @ (atoms / atoms.sum(axis=1, keepdims=True)) if len(moles) else np.zeros(119)
    return total if len(parts) == 1 else _normal(total)


def _solid(formula: str) -> bool:
    return not {*parse_formula(formula)} <= fixed_elements(AIR)


def _normal(values: Float64[np.ndarray, " 119"]) -> Float64[np.ndarray, " 119"]:
    total = float(values.sum())
    return values / total if total else values


def _names(crystals: Crystals) -> list[str]:
    """Reduced formulas as phases have them."""
    found = reduced_formulas(crystals.composition.astype(np.float64))
    return [str(name) for name in found]


def of_system(crystals: Crystals, elements: Collection[str]) -> Crystals:
    """Crystals that hold no other elements."""
    other = np.ones(crystals.composition.shape[1], bool)
    other[[SYMBOLS.index(symbol) for symbol in elements]] = False
    return crystals.take(np.flatnonzero(~(crystals.composition[:, other] > 0).any(axis=1)))


class Diffractometer:
    """A simulated one, and an analysis that does not know all phases."""

    def __init__(self, crystals: Crystals, sure: Collection[str], seed: int) -> None:
        """Take the crystals that there are.

        Args:
            crystals: the first of each formula is what the furnace makes.
            sure: formulas that the analysis knows in any case.
            seed: of what is unknown, and of every scan.
        """
        names = _names(crystals)
        first = {name: i for i, name in reversed(list(enumerate(names)))}
        self.crystals, self.seed, self.place = crystals, seed, first
        known = [
            i
            for name, i in first.items()
            if name in sure or chance(seed, "unknown", name) >= UNKNOWN
        ]
        self.candidates = Candidates.of(crystals.take(np.array(sorted(known), np.int64)))

    def look(
        self, fractions: Mapping[str, float], weighed_in: Mapping[str, float], number: int
    ) -> Reading:
        """Scan a powder of these weight fractions and read the scan.

        Phases without a crystal scatter as much as glass does.

        Raises:
            ValueError: if no phase has a crystal.
        """
        powder = {n: f for n, f in fractions.items() if n in self.place and f >= FAINT}
        if CRUCIBLE in self.place and chance(self.seed, "crucible", number) < SCRATCHED:
            powder[CRUCIBLE] = powder.get(CRUCIBLE, 0.0) + AMOUNT
        rows = np.array([self.place[name] for name in powder], np.int64)
        scan = simulate(
            self.crystals.take(rows), list(powder.values()), seed=1000 * self.seed + number
        )
        return read(scan, self.candidates, weighed_in=weighed_in)

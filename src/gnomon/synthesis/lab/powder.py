"""Outcomes from diffractograms: those of an instrument, and simulated ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from gnomon.crystals import Crystals
from gnomon.diffraction import (
    Candidates,
    DiffractionSettings,
    Identification,
    Scan,
    identify,
    simulate,
)
from gnomon.elements import SYMBOLS
from gnomon.hull.phases import reduced_formulas
from gnomon.synthesis.lab.kinetics import chance

CRUCIBLE, SCRATCHED, AMOUNT = "Al2O3", 0.3, 0.02
"""What may come off the crucible of a simulated experiment, how often, and its weight fraction."""

UNKNOWN = 0.1
"""Share of the phases besides target and precursors that a simulated analysis does not know."""

FAINT = 0.003
"""Weight fraction below which a phase adds nothing to a simulated scan."""


@dataclass(frozen=True)
class Reading:
    """What a scan says.

    Attributes:
        phases: weight fractions by reduced formula; nothing where none was recognized.
        note: what stays open, as a sentence.
        scan: that was read.
    """

    phases: Mapping[str, float]
    note: str
    scan: Scan


def read(
    scan: Scan, candidates: Candidates, settings: DiffractionSettings | None = None
) -> Reading:
    """The phases of a scan, those of one formula together.

    Raises:
        ValueError: without candidates.
    """
    found: Identification = identify(scan, candidates, settings)
    phases: dict[str, float] = {}
    for phase in found.phases:
        name = _names(candidates.crystals.take(np.array([phase.candidate])))[0]
        phases[name] = phases.get(name, 0.0) + phase.weight_fraction
    return Reading(phases, found.message, scan)


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

    def look(self, fractions: Mapping[str, float], number: int) -> Reading:
        """Scan a powder of these weight fractions and read the scan, without refinement.

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
        return read(scan, self.candidates, DiffractionSettings(refine=False))

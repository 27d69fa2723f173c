"""The next experiment: the one that most possible worlds let succeed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from math import exp
from statistics import NormalDist
from statistics import fmean as mean

from gnomon.hull.convex import Hull
from gnomon.synthesis.lab.crucible import KELVIN, in_gas
from gnomon.synthesis.lab.events import AtTemperature
from gnomon.synthesis.lab.foresight import Foresight
from gnomon.synthesis.lab.lessons import Lesson, Outcome, Pair, learn
from gnomon.synthesis.lab.sets import Heating, PrecursorSet, weighed
from gnomon.synthesis.routes import with_target
from gnomon.synthesis.solids import Solids
from gnomon.synthesis.thermo import COLDEST as COOLEST
from gnomon.synthesis.thermo import HOTTEST

COLDEST, STEP = 400, 100
"""°C at which the way up begins to count, and its steps."""

WORLDS = 24
"""Possible worlds that are looked at."""

SURE = NormalDist(0.0, 0.1)
"""How far weight fractions are off that are foreseen from the right lessons."""

NEAR = 100.0
"""°C over which what was foreseen is off alike."""


@dataclass(frozen=True)
class Choice:
    """What to try next.

    Attributes:
        heating: the experiment.
        chance: share of possible worlds in which it succeeds.
        expected: mean weight fraction of the target in them.
        driving_force: from the precursors to the target, eV per atom that no gas gives.
    """

    heating: Heating
    chance: float
    expected: float
    driving_force: float


class Laboratory:
    """What can be tried to make a target, and what is known before anything was."""

    def __init__(
        self,
        solids: Solids,
        target: str,
        sets: Sequence[PrecursorSet],
        temperatures: Sequence[float],
        pressures: Mapping[str, float],
        *,
        hours: float = 8.0,
        enough: float = 0.9,
    ) -> None:
        """Take what there is.

        Args:
            solids: of the chemical system.
            target: reduced formula of one of them.
            sets: that weigh it in.
            temperatures: °C, of experiments.
            pressures: of the gases, bar.
            hours: of each experiment.
            enough: weight fraction of the target that is a success.

        Raises:
            ValueError: if the solids lack a phase, and as ``in_gas``.
        """
        names = {str(name) for name in solids.phases.reduced_formulas}
        if lacking := sorted({target, *(p for s in sets for p in s.precursors)} - names):
            raise ValueError(f"the table has no phase {', '.join(lacking)}")
        if bad := [c for c in temperatures if not COOLEST <= c + KELVIN <= HOTTEST]:
            raise ValueError(
                f"{bad[0]:g} °C lies outside of the tables of the elements: from "
                f"{COOLEST - KELVIN:.0f} to {HOTTEST - KELVIN:.0f} °C"
            )
        self.target, self.sets, self.temperatures = target, tuple(sets), sorted(temperatures)
        self.pressures, self.hours, self.enough = dict(pressures), hours, enough
        wanted = {target, *(p for one in sets for p in one.precursors)}
        ways = {float(c) for c in range(COLDEST, int(max(temperatures)), STEP)} | {*temperatures}
        self.thermodynamics = {c: _at(solids, c, pressures, target, wanted) for c in sorted(ways)}

    def of(self, sets: Sequence[PrecursorSet]) -> Laboratory:
        """The same with some of the sets."""
        found = copy(self)
        found.sets = tuple(sets)
        return found

    def succeeded(self, outcome: Outcome) -> bool:
        """Whether the target was made."""
        return outcome.fractions.get(self.target, 0.0) >= self.enough

    def driving_force(self, mixture: PrecursorSet, celsius: float) -> float:
        """From a mixture to the target, eV per atom that no gas gives; below 0 if it gains."""
        thermo = self.thermodynamics[celsius]
        energies = thermo.phases.formation_energy_per_atom
        pot = weighed(mixture, self.pressures)
        before = sum(n * float(energies[thermo.place[name]]) for name, n in pot.items())
        return float(energies[thermo.place[self.target]]) - before

    def learned(self, outcomes: Sequence[Outcome]) -> dict[Pair, Lesson]:
        """What the outcomes teach."""
        return learn(outcomes, self.thermodynamics, self.pressures)

    def ranked(self, outcomes: Sequence[Outcome] = (), seed: int = 0) -> list[Choice]:
        """All that was not tried, the most promising first.

        What the lessons foresee is corrected by how far it was off where experiments like it were
        tried: at near temperatures, with the same precursors.
        """
        foresight = Foresight(self.thermodynamics, self.learned(outcomes), self.pressures, seed)
        foreseen = self._foreseen(foresight)
        tried = {(o.heating.mixture.precursors, o.heating.celsius) for o in outcomes}
        errors = [
            (o.heating, o.fractions.get(self.target, 0.0) - mean(foreseen[_key(o)]))
            for o in outcomes
            if _key(o) in foreseen
        ]
        found = []
        for mixture in self.sets:
            for celsius in self.temperatures:
                if (mixture.precursors, celsius) in tried:
                    continue
                heating = Heating(mixture, celsius, self.hours)
                off = _correction(heating, errors)
                shares = [share + off for share in foreseen[mixture.precursors, celsius]]
                chance = mean(SURE.cdf(share - self.enough) for share in shares)
                force = self.driving_force(mixture, celsius)
                found.append(Choice(heating, chance, min(max(mean(shares), 0.0), 1.0), force))
        return sorted(
            found, key=lambda c: (-round(c.chance, 3), c.driving_force, c.heating.celsius)
        )

    def _foreseen(self, foresight: Foresight) -> dict[tuple[tuple[str, ...], float], list[float]]:
        """Weight fractions of the target in all possible worlds."""
        found: dict[tuple[tuple[str, ...], float], list[float]] = {}
        for mixture in self.sets:
            for world in range(WORLDS):
                gives = foresight.outcomes(mixture, self.temperatures, world)
                for celsius in self.temperatures:
                    made = gives[celsius].get(self.target, 0.0)
                    found.setdefault((mixture.precursors, celsius), []).append(made)
        return found


def _key(outcome: Outcome) -> tuple[tuple[str, ...], float]:
    return outcome.heating.mixture.precursors, outcome.heating.celsius


def _correction(heating: Heating, errors: Sequence[tuple[Heating, float]]) -> float:
    """Weight fraction by which experiments like this one differed from what was foreseen."""
    weight, total = 1.0, 0.0
    own = {*heating.mixture.precursors}
    for other, error in errors:
        theirs = {*other.mixture.precursors}
        alike = len(own & theirs) / len(own | theirs)
        near = exp(-abs(heating.celsius - other.celsius) / NEAR)
        weight, total = weight + near * alike, total + near * alike * error
    return total / weight


def _at(
    solids: Solids, celsius: float, pressures: Mapping[str, float], target: str, wanted: set[str]
) -> AtTemperature:
    """Phases on the hull at a temperature, and those that are wanted anyway.

    A target that lies above the hull is put just below it, as if it could be made.
    """
    phases = with_target(in_gas(solids, celsius + KELVIN, pressures), target)
    above = Hull(phases).e_above_hull(phases.composition, phases.formation_energy_per_atom)
    single = (phases.composition > 0).sum(axis=1) == 1
    names = phases.ids.tolist()
    rows = [i for i, name in enumerate(names) if above[i] <= 1e-9 or single[i] or name in wanted]
    return AtTemperature(phases.take(rows))

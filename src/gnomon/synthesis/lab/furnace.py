"""A simulated furnace: what comes out of a mixture after heating, in a world that is made up.

Phases react in pairs, or by themselves with the gas, towards the hull at each temperature, as fast
as a law of ``kinetics`` says.  The world's energies differ from the table's by a hidden error, some
oxides evaporate, the thermocouple is off by some degrees.  Nothing here is a prediction for a real
furnace; it is a place to learn in whose rules are stated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, expm1

import numpy as np

from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases
from gnomon.synthesis.lab.crucible import KELVIN, in_gas, weight_fractions
from gnomon.synthesis.lab.events import TRACE, AtTemperature, advanced
from gnomon.synthesis.lab.kinetics import LAWS, chance, normal, rate
from gnomon.synthesis.lab.sets import Heating, PrecursorSet, weighed
from gnomon.synthesis.solids import Solids

LADDER = tuple(range(300, 1500, 100))
"""°C at which the way up is told; a furnace is not hotter."""

PACE = 300.0
"""°C/h on the way up."""

ERROR = 0.01
"""eV/atom: standard deviation of the world's energies about the table's."""

OFF = 8.0
"""°C: standard deviation of the temperature about what was set."""

STEPS_UP, STEPS_HELD = 2, 8
"""Steps in which 100 °C of the way up, and the time at the end, are told."""

FLIES = {
    **{"Hg": 500, "Se": 700, "Tl": 700, "Te": 800, "Cs": 800, "Cd": 900, "Rb": 850, "K": 900},
    **{"Pb": 900, "Na": 950, "Li": 1000, "Bi": 1000, "Zn": 1250},
}
"""°C at which a tenth of what holds the element alone is lost in an hour; made up."""

FLIGHT = 2.5
"""eV: barrier of evaporation."""

HELD_BACK = 0.1
"""How fast an element leaves a compound, relative to what holds it alone."""

LEFT_OUT = 0.1
"""eV/atom above the hull of the table: phases that lie higher are not of this world."""


class Furnace:
    """One world: a chemical system, a law, a seed."""

    def __init__(
        self,
        solids: Solids,
        names: Sequence[str],
        pressures: Mapping[str, float],
        law: str = "diffusion",
        seed: int = 0,
    ) -> None:
        """Lay down the world.

        Args:
            solids: of the elements of all mixtures.
            names: reduced formulas of precursors and targets, which are of this world anyway.
            pressures: of the gases, bar.
            law: name of a law of ``kinetics``.
            seed: of everything that is hidden.

        Raises:
            ValueError: for an unknown law, and as ``in_gas``.
        """
        if law not in LAWS:
            raise ValueError(f"no law {law!r}: there are {', '.join(LAWS)}")
        self.law, self.seed, self.pressures = LAWS[law], seed, dict(pressures)
        self.solids = _erring(solids, seed)
        self._worlds: dict[int, AtTemperature] = {}
        here = {*names}
        for celsius in LADDER:
            phases = in_gas(self.solids, celsius + KELVIN, pressures)
            above = Hull(phases).e_above_hull(phases.composition, phases.formation_energy_per_atom)
            here |= {str(phases.ids[row]) for row in np.flatnonzero(above <= 1e-9)}
        known = {str(name) for name in self.solids.phases.reduced_formulas}
        if strange := sorted({*names} - known):
            raise ValueError(f"the table has no phase {', '.join(strange)}")
        self.here = here
        self._ways_up: dict[PrecursorSet, list[dict[str, float]]] = {}

    def heat(self, heating: Heating) -> dict[str, float]:
        """Weight fractions of what comes out, the largest first: the truth of this world.

        Raises:
            ValueError: for a temperature that the furnace does not reach.
        """
        if not LADDER[0] <= heating.celsius <= LADDER[-1]:
            raise ValueError(
                f"{heating.celsius:g} °C: the simulated furnace goes from {LADDER[0]} to "
                f"{LADDER[-1]} °C"
            )
        rungs = [c for c in LADDER if c < heating.celsius]
        way = self._ways_up.setdefault(heating.mixture, [weighed(heating.mixture, self.pressures)])
        for celsius in rungs[len(way) - 1 :]:
            way.append(self._burnt(way[-1], celsius, float(celsius), 100.0 / PACE, STEPS_UP))
        off = OFF * normal(self.seed, "off", str(heating.mixture), heating.celsius, heating.hours)
        nominal = 100 * round(heating.celsius / 100)
        pot = self._burnt(
            way[len(rungs)], nominal, heating.celsius + off, heating.hours, STEPS_HELD
        )
        return weight_fractions(pot, self.pressures)

    def _world(self, celsius: int) -> AtTemperature:
        if celsius not in self._worlds:
            phases = in_gas(self.solids, celsius + KELVIN, self.pressures)
            rows = [i for i, name in enumerate(phases.ids) if str(name) in self.here]
            elements = np.count_nonzero(phases.composition, axis=1) == 1
            rows = sorted({*rows, *np.flatnonzero(elements).tolist()})
            self._worlds[celsius] = AtTemperature(phases.take(rows))
        return self._worlds[celsius]

    def _burnt(
        self, pot: Mapping[str, float], nominal: int, celsius: float, hours: float, steps: int
    ) -> dict[str, float]:
        """What is left after some hours; energies are of the nominal temperature."""
        world, now, kelvin = self._world(nominal), dict(pot), celsius + KELVIN
        for _ in range(steps):
            present = frozenset(now)
            wanted = []
            for group in world.groups(present, self.law.at_once, now):
                rates = self.law.rates(group, present, kelvin, self.seed)
                for event, k in zip(group, rates, strict=True):
                    pairs = zip(event.reactants, event.shares, strict=True)
                    most = min(now[name] / share for name, share in pairs)
                    wanted.append((event, most * -expm1(-k * hours / steps)))
            now = advanced(now, wanted)
            now = self._flown(now, world, kelvin, hours / steps)
        return now

    def _flown(
        self, pot: Mapping[str, float], world: AtTemperature, kelvin: float, hours: float
    ) -> dict[str, float]:
        """What is left when some of the volatile elements are gone."""
        now = dict(pot)
        for name, amount in pot.items():
            volatile = {s: t for s, t in FLIES.items() if world.holds(name, s)}
            if not volatile:
                continue
            symbol = min(volatile, key=lambda s: volatile[s])
            alone = world.alone(name)
            at_point = rate(FLIGHT, volatile[symbol] + KELVIN)
            k = 0.1 * rate(FLIGHT, kelvin) / at_point * (1.0 if alone else HELD_BACK)
            gone = amount * -expm1(-k * hours)
            if gone < TRACE / 10:
                continue
            now[name] = now.get(name, 0.0) - gone
            for other, share in world.without(name, symbol).items():
                now[other] = now.get(other, 0.0) + gone * share
        return {name: amount for name, amount in now.items() if amount > TRACE}


def _erring(solids: Solids, seed: int) -> Solids:
    """The solids with the hidden errors of a world; those far above the hull are left out."""
    phases = solids.phases
    hull = Hull(phases)
    above = hull.e_above_hull(phases.composition, phases.formation_energy_per_atom)
    near = solids.take(np.flatnonzero(above <= LEFT_OUT))
    names = near.phases.reduced_formulas.tolist()
    compound = np.count_nonzero(near.phases.composition, axis=1) > 1
    errors = np.array([ERROR * normal(seed, "energy", name) for name in names]) * compound
    erring = Phases(
        near.phases.ids,
        near.phases.composition,
        near.phases.formation_energy_per_atom + errors,
        f"{near.phases.scheme}, simulated",
    )
    return replace(near, phases=erring)


def seen(
    fractions: Mapping[str, float], seed: int, *names: object, limit: float = 0.02
) -> dict[str, float]:
    """What an analysis that errs would say: 10 % off each, less than ``limit`` not seen."""
    noisy = {
        name: fraction * exp(0.1 * normal(seed, "seen", name, *names))
        for name, fraction in fractions.items()
        if fraction >= limit * (0.5 + chance(seed, "limit", name, *names))
    }
    total = sum(noisy.values())
    return {n: f / total for n, f in sorted(noisy.items(), key=lambda item: -item[1])}

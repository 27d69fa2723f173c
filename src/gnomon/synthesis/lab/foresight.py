"""What a heating will probably give, from what pairs are known to do and what is likely of others.

A pair reacts from some temperature on, to the end.  Where lessons do not say from which, it is
drawn: normal about a mean that falls with the driving force, between the temperatures at which the
pair was seen to be inert and to react.  On the way up the pair that begins first reacts first.
Many such draws are many possible worlds, and the share of them in which a heating succeeds is its
chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, log
from statistics import NormalDist

from gnomon.synthesis.lab.crucible import weight_fractions
from gnomon.synthesis.lab.events import AtTemperature, Event, advanced, keys_of
from gnomon.synthesis.lab.kinetics import chance
from gnomon.synthesis.lab.lessons import Lesson, Pair
from gnomon.synthesis.lab.sets import PrecursorSet, weighed

USUAL, WEAK, SPREAD = 700.0, 20.0, 200.0
"""°C: a pair begins at USUAL + WEAK / (driving force in eV/atom), give or take SPREAD: at 800 °C
with 0.2 eV/atom, at 1,100 °C with the 0.05 below which steps of the A-Lab were slow (Szymanski et
al., Nature 624, 86 (2023))."""

DOUBT = 0.03
"""eV/atom by which energies of products may be off against each other."""

EVIDENCE = 4.0
"""Pairs that must have been seen for their mean to count as much as what was expected."""

REACTIONS = 12
"""At one temperature."""


class Foresight:
    """Possible worlds that agree with the lessons."""

    def __init__(
        self,
        thermodynamics: Mapping[float, AtTemperature],
        lessons: Mapping[Pair, Lesson],
        pressures: Mapping[str, float],
        seed: int = 0,
    ) -> None:
        """Take what is known.

        Args:
            thermodynamics: by °C, of all steps on the way up.
            lessons: what pairs are known to do.
            pressures: of the gases, bar.
            seed: of the draws.
        """
        self.thermodynamics = dict(sorted(thermodynamics.items()))
        self.lessons, self.pressures, self.seed = lessons, pressures, seed
        self.shift = self._shift()
        self._onsets: dict[tuple[int, Pair], float] = {}
        self._choices: dict[tuple[int, Pair, float], Event] = {}

    def outcomes(
        self, mixture: PrecursorSet, wanted: Sequence[float], world: int
    ) -> dict[float, dict[str, float]]:
        """Weight fractions that a mixture gives at wanted temperatures in one possible world."""
        pot, found = weighed(mixture, self.pressures), {}
        for celsius, thermo in self.thermodynamics.items():
            if celsius > max(wanted):
                break
            for _ in range(REACTIONS):
                known = {name: n for name, n in pot.items() if name in thermo.place}
                event = self._first(frozenset(known), celsius, thermo, world)
                if event is None:
                    break
                pairs = zip(event.reactants, event.shares, strict=True)
                pot = advanced(pot, [(event, min(pot[name] / share for name, share in pairs))])
            if celsius in wanted:
                found[celsius] = weight_fractions(pot, self.pressures)
        return found

    def _first(
        self, present: frozenset[str], celsius: float, thermo: AtTemperature, world: int
    ) -> Event | None:
        """The reaction that began first of those that have begun."""
        best: tuple[float, Event] | None = None
        keys = keys_of(present)
        for key, events in zip(keys, thermo.events(keys), strict=True):
            onset = self._onset(key, events, world) if events else inf
            if onset <= celsius and (best is None or onset < best[0]):
                best = onset, self._chosen(key, events, world, celsius)
        return None if best is None else best[1]

    def _onset(self, key: Pair, events: Sequence[Event], world: int) -> float:
        """°C from which on a pair reacts in a possible world."""
        if (world, key) not in self._onsets:
            known = self.lessons.get(key, Lesson())
            usual = NormalDist(expected(events) + self.shift, SPREAD)
            low, high = usual.cdf(known.inert), usual.cdf(known.reacts)
            u = low + (high - low) * chance(self.seed, "onset", world, key)
            inside = usual.inv_cdf(min(max(u, 1e-9), 1 - 1e-9))
            self._onsets[world, key] = min(max(inside, known.inert + 1.0), known.reacts)
        return self._onsets[world, key]

    def _chosen(self, key: Pair, events: Sequence[Event], world: int, celsius: float) -> Event:
        """The products that were seen, or those that gain most if energies are off a little."""
        if (world, key, celsius) in self._choices:
            return self._choices[world, key, celsius]
        products = frozenset(self.lessons.get(key, Lesson()).products)

        def merit(event: Event) -> tuple[float, float]:
            there = frozenset(event.products)
            alike = len(there & products) / len(there | products)
            luck = -log(max(-log(chance(self.seed, "to", world, key, event.products)), 1e-300))
            return alike, -event.energy + DOUBT * luck

        return self._choices.setdefault((world, key, celsius), max(events, key=merit))

    def _shift(self) -> float:
        """How much later than expected the pairs of this system begin, °C."""
        off, weight = 0.0, EVIDENCE
        for key, known in self.lessons.items():
            events = self._some_events(key)
            if not events or (known.inert == -inf and known.reacts == inf):
                continue
            usual = NormalDist(expected(events), SPREAD)
            low, high = usual.cdf(known.inert), usual.cdf(known.reacts)
            middle = usual.inv_cdf(min(max((low + high) / 2, 1e-6), 1 - 1e-6))
            off, weight = off + middle - usual.mean, weight + 1.0
        return off / weight

    def _some_events(self, key: Pair) -> list[Event]:
        for thermo in self.thermodynamics.values():
            if all(name in thermo.place for name in key) and (found := thermo.events([key])[0]):
                return found
        return []


def expected(events: Sequence[Event]) -> float:
    """°C at which a pair of such reactions usually begins."""
    return USUAL + WEAK / max(-min(event.energy for event in events), 1e-3)

"""What outcomes teach: which pairs of phases react, from how many °C on, to what.

Of an outcome two things are sure: phases that lie beside each other in the end have not reacted, or
not to the end, at this temperature; and what was weighed in and is gone has reacted.  With whom, is
explained step by step by the reactions that thermodynamics allows: at each step the one whose
products were seen, of several the one that gains most (after ARROWS3, Szymanski et al., Nat.
Commun. 14, 6956 (2023), which leaves ambiguous cases open).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf

from gnomon.synthesis.lab.events import AtTemperature, Event, advanced, keys_of
from gnomon.synthesis.lab.sets import Heating, weighed

PRESENT = 0.03
"""Weight fraction from which on a phase is there: less may be an error of the analysis."""

STEPS = 10
"""Reactions that one heating is explained by."""

Pair = frozenset[str]
"""Two phases that lie side by side, or one and the gas."""


@dataclass(frozen=True)
class Outcome:
    """What came out of a heating.

    Attributes:
        heating: what was done.
        fractions: weight fractions of the phases that were recognized.
        source: what says so: a person, a scan, a simulation.
    """

    heating: Heating
    fractions: Mapping[str, float]
    source: str = ""

    @property
    def present(self) -> frozenset[str]:
        """Phases that are there."""
        return frozenset(name for name, f in self.fractions.items() if f >= PRESENT)


@dataclass(frozen=True)
class Lesson:
    """What is known of a pair.

    Attributes:
        inert: °C up to which it was seen not to react, or not to the end.
        reacts: °C from which on it was seen to react.
        products: that were seen, if they were.
    """

    inert: float = -inf
    reacts: float = inf
    products: tuple[str, ...] = ()


def learn(
    outcomes: Iterable[Outcome],
    thermodynamics: Mapping[float, AtTemperature],
    pressures: Mapping[str, float],
) -> dict[Pair, Lesson]:
    """What all outcomes teach together; their order does not matter.

    Args:
        outcomes: of one laboratory.
        thermodynamics: by °C; the nearest is that of an outcome.
        pressures: of the gases, bar.
    """
    lessons: dict[Pair, Lesson] = {}
    for one in sorted(outcomes, key=lambda o: (o.heating.celsius, o.heating.mixture.precursors)):
        celsius = one.heating.celsius
        world = thermodynamics[min(thermodynamics, key=lambda c: abs(c - celsius))]
        present = frozenset(name for name in one.present if name in world.place)
        if not present:
            continue
        for key in keys_of(present):
            known = lessons.get(key, Lesson())
            reacts = known.reacts if known.reacts > celsius else inf
            lessons[key] = replace(known, inert=max(known.inert, celsius), reacts=reacts)
        for event in explained(one, world, pressures):
            key = frozenset(event.reactants)
            known = lessons.get(key, Lesson())
            reacts = celsius if known.inert < celsius else known.reacts
            lessons[key] = Lesson(known.inert, min(known.reacts, reacts), event.products)
    return lessons


def explained(
    outcome: Outcome, world: AtTemperature, pressures: Mapping[str, float]
) -> list[Event]:
    """Reactions that lead from what was weighed in to what came out, in their order."""
    present = outcome.present
    pot = weighed(outcome.heating.mixture, pressures)
    found: list[Event] = []
    if any(name not in world.place for name in pot):
        return found
    for _ in range(STEPS):
        here = frozenset(pot)
        new = present - here
        if not new and here <= present:
            break
        keys = [key for key in keys_of(here) if new or not key <= present]
        events = [event for group in world.events(keys) for event in group if event not in found]
        if not events:
            break
        best = max(events, key=lambda event: _merit(event, present, new))
        if _merit(best, present, new)[0] < 0:
            break
        found.append(best)
        whole = min(pot[n] / s for n, s in zip(best.reactants, best.shares, strict=True))
        pot = advanced(pot, [(best, whole)])
    return found


def _merit(event: Event, present: frozenset[str], new: frozenset[str]) -> tuple[int, float]:
    """How well an event explains: products seen anew less those not seen, then what it gains."""
    products = frozenset(event.products)
    return len(products & new) - len(products - present), -event.energy

"""Kinetic laws of the simulated furnace.  They are made up, and say so.

What is hidden of a world (barriers, how inert a phase is) is drawn once from its seed and the names
concerned: the same in every experiment, and nowhere to be looked up.  Rates are per hour,

    k = PREFACTOR exp(-barrier / k_B T)

with a prefactor that makes a barrier of 2.1 eV go at 1/h at 855 °C.  With ``diffusion`` a barrier
is the sum of how immobile both reactants are, less the driving force, and among the products of a
pair the one of the largest driving force forms.  With ``nucleation`` it grows as 1/(driving force)²
as in classical nucleation, for each product by itself.  In both, what two phases do depends on
these two and on the temperature alone.  ``collective`` is the world in which that is wrong: what a
pair does depends on which other phases lie beside it, and all phases of a mixture may react at
once.

How hard the worlds are was set before there was anything that learns in them: of targets that can
be made at all, 27 to 35 % of experiments at 600 to 1,100 °C give them with 90 % of the weight,
about as often as recipes of the A-Lab did (Szymanski et al., Nature 624, 86 (2023)).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import exp, inf
from statistics import NormalDist

from gnomon.synthesis.lab.events import Event

BOLTZMANN = 8.617333262e-5
"""eV/K, exact in the SI of 2019."""

PREFACTOR = 2.4e9
"""1/h."""

SELECTIVE = 0.02
"""eV/atom by which one product must beat another to form e times as fast, with ``diffusion``."""

STEEP = 0.15
"""eV/atom: the driving force at which a nucleation barrier is what its product says."""


Rates = Callable[[Sequence[Event], frozenset[str], float, int], list[float]]
"""Rates (1/h) of events of the same reactants: beside these phases, at so many K, of this seed."""


@dataclass(frozen=True)
class Law:
    """How fast things go.

    Attributes:
        name: of the law.
        rates: of the events of the same reactants.
        at_once: whether all phases of a mixture may react together.
    """

    name: str
    rates: Rates
    at_once: bool = False


def chance(seed: int, *names: object) -> float:
    """A number from 0 to 1 that the seed and some names fix."""
    text = json.dumps([seed, *names], default=sorted)
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") / 2**64


def normal(seed: int, *names: object) -> float:
    """A number of the normal distribution that the seed and some names fix."""
    return NormalDist().inv_cdf(min(max(chance(seed, *names), 1e-12), 1 - 1e-12))


def rate(barrier: float, kelvin: float) -> float:
    """1/h of a barrier in eV."""
    return PREFACTOR * exp(-barrier / (BOLTZMANN * kelvin))


def diffusion(
    events: Sequence[Event], present: frozenset[str], kelvin: float, seed: int
) -> list[float]:
    """Of two phases 1.6 to 3.8 eV, of one 1.3 to 2.4, less the driving force of an atom."""
    return _shared(events, _immobile(events[0].reactants, seed), kelvin)


def nucleation(
    events: Sequence[Event], present: frozenset[str], kelvin: float, seed: int
) -> list[float]:
    """1.6 to 2.6 eV of the pair, and 0.1 to 0.9 eV (0.15 eV / driving force)² of the products."""
    own = 1.6 + chance(seed, "meet", sorted(events[0].reactants))
    rates = []
    for event in events:
        surface = 0.1 + 0.8 * chance(seed, "surface", sorted(event.products))
        driven = -event.energy / STEEP
        rates.append(rate(own + (surface / driven**2 if driven > 0 else inf), kelvin))
    return rates


def collective(
    events: Sequence[Event], present: frozenset[str], kelvin: float, seed: int
) -> list[float]:
    """As ``diffusion``, but 0.5 eV more or less by what else is there; three or more at once."""
    if len(events[0].reactants) > 2:
        return [rate(2.0 + 1.0 * chance(seed, "at once", sorted(present)), kelvin)]
    beside = 2 * chance(seed, "beside", sorted(events[0].reactants), sorted(present)) - 1
    return _shared(events, _immobile(events[0].reactants, seed) + 0.5 * beside, kelvin)


def _immobile(reactants: Sequence[str], seed: int) -> float:
    least = 1.6 if len(reactants) > 1 else 1.3
    return least + 1.1 * sum(chance(seed, "immobile", name) for name in reactants)


def _shared(events: Sequence[Event], barrier: float, kelvin: float) -> list[float]:
    lowest = min(event.energy for event in events)
    total = rate(barrier + lowest, kelvin)
    weights = [exp((lowest - event.energy) / SELECTIVE) for event in events]
    return [total * w / sum(weights) for w in weights]


LAWS = {
    law.name: law
    for law in (
        Law("diffusion", diffusion),
        Law("nucleation", nucleation),
        Law("collective", collective, at_once=True),
    )
}
"""By name; the last one breaks what a learner of pairs assumes."""

"""What phases do at one temperature by thermodynamics alone: reactions of pairs, closed atoms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64

from gnomon.elements import atomic_number
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, atom_fractions
from gnomon.synthesis.reactions import pair_reactions

TRACE = 1e-6
"""Of all atoms: less of a phase is nothing."""


@dataclass(frozen=True)
class Event:
    """A reaction at a temperature, of one atom (of the closed elements) of what reacts.

    Attributes:
        reactants: formulas of one or more phases.
        shares: of each in the atoms.
        products: formulas.
        amounts: of each in the atoms.
        energy: eV/atom, below 0.
    """

    reactants: tuple[str, ...]
    shares: tuple[float, ...]
    products: tuple[str, ...]
    amounts: tuple[float, ...]
    energy: float


class AtTemperature:
    """The phases at one temperature, and what they do."""

    def __init__(self, phases: Phases) -> None:
        """Take phases of closed elements, which their ids name, each element among them."""
        self.phases, self.hull = phases, Hull(phases)
        self.place = {str(name): i for i, name in enumerate(phases.ids)}
        self.fractions = atom_fractions(phases.composition)
        self._events: dict[frozenset[str], list[Event]] = {}
        self._done: set[frozenset[str]] = set()
        self._without: dict[tuple[str, str], dict[str, float]] = {}

    def groups(
        self, present: frozenset[str], at_once: bool, pot: Mapping[str, float]
    ) -> list[list[Event]]:
        """Events of what is there, those of the same reactants together."""
        found = [events for events in self.events(keys_of(present)) if events]
        if at_once and len(present) > 2 and (event := self._all_at_once(pot)):
            found.append([event])
        return found

    def events(self, keys: Sequence[frozenset[str]]) -> list[list[Event]]:
        """What each pair, or phase by itself, can do; nothing where it stays as it is."""
        self._find([key for key in keys if key not in self._done])
        return [self._events.get(key, []) for key in keys]

    def _find(self, keys: Sequence[frozenset[str]]) -> None:
        pairs = [sorted(self.place[n] for n in [*key, *key][:2]) for key in keys]
        self._done |= {*keys}
        if not pairs:
            return
        for one in pair_reactions(self.phases, np.array(pairs, np.int64)):
            names = tuple(str(self.phases.ids[i]) for i in one.reactants)
            shares = (1.0,) if len(names) == 1 else (1 - one.share, one.share)
            mixed = np.array(shares) @ self.fractions[list(one.reactants)]
            amounts = np.linalg.lstsq(self.fractions[list(one.products)].T, mixed, rcond=None)[0]
            products = tuple(str(self.phases.ids[i]) for i in one.products)
            if (amounts < -1e-6).any() or abs(amounts.sum() - 1) > 1e-6:
                continue
            event = Event(names, shares, products, tuple(amounts.tolist()), one.energy)
            group = self._events.setdefault(frozenset(names), [])
            if event not in group:
                group.append(event)

    def _all_at_once(self, pot: Mapping[str, float]) -> Event | None:
        names = sorted(pot)
        rows = [self.place[name] for name in names]
        shares = np.array([pot[name] for name in names])
        shares /= shares.sum()
        products, amounts, energy = self._lowest(shares @ self.fractions[rows])
        energy -= float(shares @ self.phases.formation_energy_per_atom[rows])
        if energy > -1e-4:
            return None
        return Event(tuple(names), tuple(shares.tolist()), products, amounts, energy)

    def _lowest(
        self, composition: Float64[np.ndarray, " 119"]
    ) -> tuple[tuple[str, ...], tuple[float, ...], float]:
        rows, shares = self.hull.mixtures(composition[None])
        there = shares[0] > TRACE
        energy = float(self.hull.energy(composition[None])[0])
        names = tuple(str(self.phases.ids[i]) for i in rows[0][there])
        return names, tuple(shares[0][there].tolist()), energy

    def holds(self, name: str, symbol: str) -> bool:
        """Whether a phase holds an element."""
        return bool(self.fractions[self.place[name], atomic_number(symbol)] > 0)

    def alone(self, name: str) -> bool:
        """Whether a phase holds one element besides those of the gas."""
        return int(np.count_nonzero(self.fractions[self.place[name]])) == 1

    def without(self, name: str, symbol: str) -> dict[str, float]:
        """What an atom of a phase becomes when an element has left it."""
        if (name, symbol) not in self._without:
            rest = self.fractions[self.place[name]].copy()
            rest[atomic_number(symbol)] = 0.0
            left: dict[str, float] = {}
            if rest.sum() > TRACE:
                products, amounts, _ = self._lowest(rest / rest.sum())
                left = {p: a * float(rest.sum()) for p, a in zip(products, amounts, strict=True)}
            self._without[name, symbol] = left
        return self._without[name, symbol]


def keys_of(present: Iterable[str]) -> list[frozenset[str]]:
    """All pairs of what is there, and each by itself."""
    names = sorted(present)
    pairs = [frozenset(pair) for pair in combinations(names, 2)]
    return pairs + [frozenset([name]) for name in names]


def advanced(pot: Mapping[str, float], wanted: Sequence[tuple[Event, float]]) -> dict[str, float]:
    """Amounts after events that want to go so far, all less where a phase would not suffice."""
    taken = dict.fromkeys(pot, 0.0)
    for event, extent in wanted:
        for name, share in zip(event.reactants, event.shares, strict=True):
            taken[name] += share * extent
    enough = {name: pot[name] / t if t > pot[name] else 1.0 for name, t in taken.items()}
    now = dict(pot)
    for event, extent in wanted:
        goes = extent * min(enough[name] for name in event.reactants)
        for name, share in zip(event.reactants, event.shares, strict=True):
            now[name] -= share * goes
        for name, share in zip(event.products, event.amounts, strict=True):
            now[name] = now.get(name, 0.0) + share * goes
    return {name: amount for name, amount in now.items() if amount > TRACE}

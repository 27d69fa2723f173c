"""Routes from precursors to a target: the cheapest ways through a network of reactions.

A reaction needs all of its reactants, so a route is not a path of phases but a tree: its leaves are
precursors, and each phase in it is made by one reaction (a hyperpath).  The cost of a phase is

    C(p) = min over reactions r that give p of  c(r) + sum over reactants q of C(q)

which Knuth's generalization of Dijkstra's algorithm finds (Inf. Process. Lett. 6, 1 (1977)); the
k best follow by leaving out one reaction of a route after the other (Lawler, Manag. Sci. 18, 401
(1972)).  A reaction costs

    c(r) = STEP + ln(1 + (273 K / T) exp((E + max(0, E - E_best)) / SCALE))

after McDermott et al., Nat. Commun. 12, 3097 (2021), equation 3: E is its energy an atom, and
E_best that of the best other reaction of the same reactants, which competes with it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np

from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, compositions
from gnomon.hull.reservoirs import open_to
from gnomon.synthesis.balance import Reaction, with_gases
from gnomon.synthesis.reactions import PairReaction, exact, pair_reactions
from gnomon.synthesis.solids import Solids
from gnomon.synthesis.thermo import gas_gibbs

STEP = 0.05
"""What a reaction costs however much it gains: between equal routes the shorter one is meant."""

SCALE = 0.05
"""eV/atom of driving force that matter: steps of less were slow in the A-Lab (Szymanski et al.,
Nature 624, 86 (2023))."""

BELOW = 1e-3
"""eV/atom by which a target is put below the hull of the others, as if it could be made."""

ROUNDS = 3
"""Times that what has formed may react with all that is there."""


@dataclass(frozen=True)
class Step:
    """One reaction of a route.

    Attributes:
        reaction: in whole numbers; None where its amounts are not determined.
        reactants: formulas.
        products: formulas.
        energy: eV per atom of what reacts.
        competing: energy of the best other reaction of the same reactants; None where there is
            none.
        cost: of the network.
    """

    reaction: Reaction | None
    reactants: tuple[str, ...]
    products: tuple[str, ...]
    energy: float
    competing: float | None
    cost: float

    def __str__(self) -> str:
        """As a chemist reads it."""
        said = self.reaction or f"{' + '.join(self.reactants)} → {' + '.join(self.products)}"
        rival = f", competing {1000 * self.competing:+.0f}" if self.competing is not None else ""
        return f"{said} ({1000 * self.energy:+.0f} meV/atom{rival})"


@dataclass(frozen=True)
class Route:
    """Reactions in the order in which they are run.

    Attributes:
        target: formula.
        steps: of which the last one gives the target.
        cost: of all steps, those of shared intermediates each time.
        overall: from the precursors to the target in whole numbers, if the amounts allow it.
        side_products: solids that stay, and gases.
    """

    target: str
    steps: tuple[Step, ...]
    cost: float
    overall: Reaction | None
    side_products: tuple[str, ...]

    @property
    def intermediates(self) -> tuple[str, ...]:
        """Phases that one step gives and another takes."""
        taken = {name for step in self.steps for name in step.reactants}
        return tuple(dict.fromkeys(p for step in self.steps for p in step.products if p in taken))

    def __str__(self) -> str:
        """As a chemist reads it."""
        lines = [f"{i}. {step}" for i, step in enumerate(self.steps, 1)]
        if self.overall is not None and len(self.steps) > 1:
            lines.append(f"   in all: {self.overall}")
        if self.side_products:
            lines.append(f"   beside the target: {', '.join(self.side_products)}")
        return "\n".join(lines)


class Network:
    """What forms out of some precursors, and by which reactions."""

    def __init__(
        self,
        solids: Solids,
        precursors: Sequence[str],
        target: str,
        temperature: float,
        pressures: Mapping[str, float],
    ) -> None:
        """Let all that is there react, and what has formed too, ``ROUNDS`` times.

        Args:
            solids: of the elements of precursors and target.
            precursors: reduced formulas; each a phase of the solids.
            target: reduced formula of a phase of the solids.
            temperature: K.
            pressures: of gases in bar; O2 among them may enter and leave freely.

        Raises:
            ValueError: for a formula without a phase.
        """
        self.target, self.temperature = target, temperature
        whole = solids.at(temperature, pressures)
        self.open = {}
        has_oxygen = bool((compositions([*precursors, target])[:, 8] > 0).any())
        if "O2" in pressures and has_oxygen:
            self.open = {"O": gas_gibbs("O2", temperature, pressures["O2"]) / 2}
        closed = open_to(whole, self.open) if self.open else whole
        self.phases = with_target(closed, target)
        names = {str(name): i for i, name in enumerate(self._names)}
        if absent := [name for name in (*precursors, target) if name not in names]:
            raise ValueError(
                f"the table has no phase {', '.join(absent)}: a route leads through phases of it"
            )
        self.start = tuple(names[name] for name in dict.fromkeys(precursors))
        self.goal = names[target]
        self.gases = ("O2",) if self.open else ()
        self.reactions = self._grown()

    @property
    def _names(self) -> list[str]:
        return [str(name) for name in self.phases.ids]

    def _grown(self) -> list[PairReaction]:
        reached, done = set(self.start), set[tuple[int, int]]()
        found: list[PairReaction] = []
        for _ in range(ROUNDS):
            pairs = {(a, b) for a in reached for b in reached if a < b} - done
            if not pairs:
                break
            done |= pairs
            new = pair_reactions(self.phases, np.array(sorted(pairs), np.int64))
            found += new
            reached |= {p for reaction in new for p in reaction.products}
        unique = {(one.reactants, one.products): one for one in found}
        return list(unique.values())

    @cached_property
    def _rivals(self) -> dict[tuple[int, ...], list[float]]:
        rivals: dict[tuple[int, ...], list[float]] = {}
        for one in self.reactions:
            rivals.setdefault(one.reactants, []).append(one.energy)
        return {key: sorted(energies)[:2] for key, energies in rivals.items()}

    def competing(self, reaction: PairReaction) -> float | None:
        """Energy of the best other reaction of the same reactants, eV/atom."""
        best = self._rivals[reaction.reactants]
        if len(best) < 2:
            return None
        return best[1] if best[0] == reaction.energy else best[0]

    def cost(self, reaction: PairReaction) -> float:
        """Of one reaction; see the module."""
        rival = self.competing(reaction)
        behind = 0.0 if rival is None else max(0.0, reaction.energy - rival)
        exponent = (reaction.energy + behind) / SCALE
        return STEP + float(np.log1p(273.0 / self.temperature * np.exp(min(exponent, 50.0))))

    @cached_property
    def _costs(self) -> list[float]:
        return [self.cost(one) for one in self.reactions]

    def routes(self, k: int = 5) -> list[Route]:
        """The k cheapest routes to the target, none twice; fewer where there are not so many."""
        ties, heap = count(), list[tuple[float, int, tuple[int, ...], frozenset[int]]]()
        tried: set[frozenset[int]] = set()

        def ask(without: frozenset[int]) -> None:
            if without not in tried:
                tried.add(without)
                best = self._cheapest(without)
                if best is not None:
                    heapq.heappush(heap, (best[0], next(ties), best[1], without))

        ask(frozenset())
        found: dict[frozenset[int], Route] = {}
        while heap and len(found) < k:
            cost, _, steps, without = heapq.heappop(heap)
            if frozenset(steps) not in found:
                found[frozenset(steps)] = self._told(steps, cost)
            for step in steps:
                ask(without | {step})
        return list(found.values())

    def _cheapest(self, without: Collection[int]) -> tuple[float, tuple[int, ...]] | None:
        """Cost and reactions, in order, of the cheapest route that leaves some reactions out."""
        cost = dict.fromkeys(self.start, 0.0)
        by: dict[int, int] = {}
        users: dict[int, list[int]] = {}
        for i, one in enumerate(self.reactions):
            if i not in without:
                for q in one.reactants:
                    users.setdefault(q, []).append(i)
        lacking = {i: len(one.reactants) for i, one in enumerate(self.reactions)}
        heap = [(0.0, p) for p in self.start]
        settled: set[int] = set()
        while heap:
            _, phase = heapq.heappop(heap)
            if phase in settled:
                continue
            settled.add(phase)
            if phase == self.goal:
                return cost[phase], self._ordered(phase, by)
            for i in users.get(phase, ()):
                lacking[i] -= 1
                if lacking[i]:
                    continue
                total = self._costs[i] + sum(cost[q] for q in self.reactions[i].reactants)
                for product in self.reactions[i].products:
                    if product not in settled and total < cost.get(product, np.inf):
                        cost[product], by[product] = total, i
                        heapq.heappush(heap, (total, product))
        return None

    def _ordered(self, phase: int, by: Mapping[int, int]) -> tuple[int, ...]:
        if phase not in by:
            return ()
        before = [i for q in self.reactions[by[phase]].reactants for i in self._ordered(q, by)]
        return tuple(dict.fromkeys((*before, by[phase])))

    def _told(self, route: Sequence[int], cost: float) -> Route:
        names = self._names
        steps = []
        for i in route:
            one = self.reactions[i]
            steps.append(
                Step(
                    exact(self.phases_as_named, one, self.gases),
                    tuple(names[q] for q in one.reactants),
                    tuple(names[p] for p in one.products),
                    one.energy,
                    self.competing(one),
                    self._costs[i],
                )
            )
        taken = {q for i in route for q in self.reactions[i].reactants}
        made = {p for i in route for p in self.reactions[i].products}
        used = [names[p] for p in self.start if p in taken]
        return Route(
            self.target,
            tuple(steps),
            cost,
            with_gases(used, self.target),
            tuple(sorted(names[p] for p in made - taken - {self.goal})),
        )

    @cached_property
    def phases_as_named(self) -> Phases:
        """The phases with what is open in them too."""
        return Phases(
            self.phases.ids,
            compositions(self._names),
            self.phases.formation_energy_per_atom,
            self.phases.scheme,
        )


def with_target(phases: Phases, target: str) -> Phases:
    """Phases with the one of this id just on the hull, if it is there and above it."""
    row = np.flatnonzero(phases.ids == target)
    if not len(row):
        return phases
    own = phases.take(row[:1])
    rest = phases.take(np.flatnonzero(phases.ids != target))
    below = float(Hull(rest).energy(own.composition)[0]) - BELOW
    energy = np.minimum(own.formation_energy_per_atom, below)
    return Phases.concatenate([Phases(own.ids, own.composition, energy, own.scheme), rest])

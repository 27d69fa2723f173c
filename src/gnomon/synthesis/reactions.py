"""All reactions of pairs of phases: what two of them become along the line of their mixtures.

The hull along the mixtures (1 - x) A + x B is a chain of straight pieces, and a reaction is where
two meet: there the products are fewer than elsewhere, and no other ratio of A to B gives them all
(Richards et al., Chem. Mater. 28, 266 (2016)).  On one piece the phases of the mixture stay and
their shares are linear in x, so one facet of the hull tells a whole piece and where it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, atom_fractions
from gnomon.hull.simplex import lowest_mixtures
from gnomon.synthesis.balance import Reaction, balance

SHARE = 1e-6
"""Shares of the atoms below this are none; a mixing ratio nearer to 0 or 1 is an end."""

ENERGY = 1e-4
"""eV/atom: a reaction that gains less is none."""

PIECES = 12
"""Times that what is left of a line is halved; a line with more pieces is not told whole."""

LINES, CHUNK, ASKED = 20_000, 2_000, 64
"""Lines at once, mixtures at once, and mixtures of which programs are solved at once."""

REGULAR, STEEP, INSIDE = 1e-12, 1e-12, 1e-9
"""Least determinant of a facet, least slope of a share, and how far below 0 a share may be."""


@dataclass(frozen=True)
class PairReaction:
    """What two phases become, energies in eV per atom of what reacts (open elements not counted).

    Attributes:
        reactants: indices of one or two phases.
        products: indices of phases.
        energy: of the reaction, below 0.
        share: of the second reactant in the atoms.
    """

    reactants: tuple[int, ...]
    products: tuple[int, ...]
    energy: float
    share: float


def pair_reactions(phases: Phases, pairs: Int64[np.ndarray, "p 2"]) -> list[PairReaction]:
    """All reactions of these pairs, and how phases above the hull among them fall apart.

    Args:
        phases: of one temperature; what is open has been taken out (``gnomon.hull.reservoirs``).
        pairs: indices.

    Raises:
        MissingElementError: if an element has no phase of its own.
    """
    lines = _Lines(phases)
    found = lines.decompositions(np.unique(pairs))
    masks = lines.masks[pairs[:, 0]] | lines.masks[pairs[:, 1]]
    for mask in np.unique(masks).tolist():
        chosen = pairs[masks == mask]
        found += lines.reactions(mask, chosen)
    return found


def all_pairs(n: int) -> Int64[np.ndarray, "p 2"]:
    """Indices of all pairs of n phases."""
    return np.column_stack(np.triu_indices(n, 1)).astype(np.int64)


class _Lines:
    """Phases, and those of them that are on the hull, by the elements that they hold."""

    def __init__(self, phases: Phases) -> None:
        self.phases = phases
        self.hull = Hull(phases)
        self.columns = np.flatnonzero(phases.composition.any(axis=0))
        self.fractions = atom_fractions(phases.composition)[:, self.columns]
        self.energies = phases.formation_energy_per_atom
        bits = 1 << np.arange(len(self.columns), dtype=np.int64)
        self.masks = (self.fractions > 0) @ bits
        self.above = self.hull.e_above_hull(phases.composition, self.energies)
        lowest = self.hull.find(phases.composition)
        own = np.arange(len(phases)) == lowest
        self.stable = np.flatnonzero(own & (self.above <= 1e-9))
        self.elements = np.array(
            [self.hull.find(np.eye(phases.composition.shape[1])[[z]])[0] for z in self.columns]
        )

    def decompositions(self, rows: Int64[np.ndarray, " r"]) -> list[PairReaction]:
        """How phases above the hull fall apart by themselves."""
        rows = rows[self.above[rows] > ENERGY]
        if not len(rows):
            return []
        mixed, shares = self.hull.mixtures(self.phases.composition[rows])
        return [
            PairReaction(
                (int(row),),
                tuple(sorted(m[s > SHARE].tolist())),
                -float(self.above[row]),
                0.0,
            )
            for row, m, s in zip(rows, mixed, shares, strict=True)
        ]

    def reactions(self, mask: int, pairs: Int64[np.ndarray, "p 2"]) -> list[PairReaction]:
        """The reactions of pairs that hold the same elements together."""
        inside = np.array([i for i in range(len(self.columns)) if mask >> i & 1])
        rows = self.stable[(self.masks[self.stable] & ~np.int64(mask)) == 0]
        elements = self.elements[inside]
        rows = np.concatenate([elements, rows[~np.isin(rows, elements)]])
        shares, energies = self.fractions[rows][:, inside], self.energies[rows]
        facets = _Facets(shares, energies)
        found: list[PairReaction] = []
        for start in range(0, len(pairs), LINES):
            part = pairs[start : start + LINES]
            ends = self.fractions[part][:, :, inside]
            for line, x, basis, weights in _kinks(facets, ends[:, 0], ends[:, 1]):
                found += self._told(part[line], x, rows[basis], weights, energies[basis])
        return found

    def _told(
        self,
        pairs: Int64[np.ndarray, "k 2"],
        x: Float64[np.ndarray, " k"],
        products: Int64[np.ndarray, "k m"],
        weights: Float64[np.ndarray, "k m"],
        energies: Float64[np.ndarray, "k m"],
    ) -> list[PairReaction]:
        ends = self.energies[pairs]
        gain = (weights * energies).sum(1) - (1 - x) * ends[:, 0] - x * ends[:, 1]
        told = []
        for row in np.flatnonzero(gain < -ENERGY).tolist():
            there = products[row][weights[row] > SHARE]
            first, second = pairs[row].tolist()
            new = tuple(sorted({*there.tolist()} - {first, second}))
            if new:
                told.append(PairReaction((first, second), new, float(gain[row]), float(x[row])))
        return list({(one.reactants, one.products): one for one in told}.values())


class _Facets:
    """The facets of the hull of some elements that were met so far.

    A basis that is optimal at one mixture is so wherever its shares are positive, so that most
    mixtures are answered by one product of matrices, and a program is solved once a facet.
    """

    def __init__(self, shares: Float64[np.ndarray, "k m"], energies: Float64[np.ndarray, " k"]):
        self.shares, self.energies = shares, energies
        m = shares.shape[1]
        self.bases = np.zeros((0, m), np.int64)
        self.inverses = np.zeros((0, m, m))

    def locate(
        self, targets: Float64[np.ndarray, "b m"]
    ) -> tuple[Int64[np.ndarray, " b"], Float64[np.ndarray, "b m"]]:
        """The facet of each mixture, and the shares of its phases; -1 where it has no corners."""
        facet = np.full(len(targets), -1)
        weights = np.zeros_like(targets)
        waiting = np.arange(len(targets))
        known = 0
        while len(waiting):
            self._match(targets, waiting, known, facet, weights)
            waiting = waiting[facet[waiting] < 0]
            known = len(self.bases)
            asked = waiting[:: max(1, len(waiting) // ASKED)]
            if not len(asked):
                break
            self._add(targets[asked])
            self._match(targets, asked, known, facet, weights)
            lost = asked[facet[asked] < 0]
            waiting = waiting[~np.isin(waiting, lost) & (facet[waiting] < 0)]
        return facet, weights

    def _match(
        self,
        targets: Float64[np.ndarray, "b m"],
        rows: Int64[np.ndarray, " r"],
        first: int,
        facet: Int64[np.ndarray, " b"],
        weights: Float64[np.ndarray, "b m"],
    ) -> None:
        """Write down for these mixtures those of the facets from ``first`` on that they lie in."""
        for start in range(first, len(self.bases), ASKED):
            open_ = rows[facet[rows] < 0]
            inverses = self.inverses[start : start + ASKED]
            for low in range(0, len(open_), CHUNK):
                some = open_[low : low + CHUNK]
                found = np.tensordot(targets[some], inverses, axes=(1, 2))
                least = found.min(axis=2)
                best = least.argmax(axis=1)
                inside = np.take_along_axis(least, best[:, None], 1)[:, 0] > -INSIDE
                facet[some[inside]] = start + best[inside]
                weights[some[inside]] = found[inside, best[inside]]

    def _add(self, targets: Float64[np.ndarray, "b m"]) -> None:
        n = len(targets)
        shares = np.broadcast_to(self.shares, (n, *self.shares.shape)).copy()
        energies = np.broadcast_to(self.energies, (n, len(self.energies))).copy()
        bases = np.unique(np.sort(lowest_mixtures(shares, energies, targets)[0], axis=1), axis=0)
        matrices = np.swapaxes(self.shares[bases], 1, 2)
        regular = np.abs(np.linalg.det(matrices)) > REGULAR
        self.bases = np.concatenate([self.bases, bases[regular]])
        self.inverses = np.concatenate([self.inverses, np.linalg.inv(matrices[regular])])


def _kinks(
    facets: _Facets, first: Float64[np.ndarray, "p m"], second: Float64[np.ndarray, "p m"]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Where the hull bends along lines: lines, mixing ratios, phases and their shares there."""
    line = np.arange(len(first))
    low, high = np.zeros(len(first)), np.ones(len(first))
    found = []
    for _ in range(PIECES):
        if not len(line):
            break
        x = (low + high) / 2
        facet, weights = facets.locate(
            (1 - x)[:, None] * first[line] + x[:, None] * second[line],
        )
        there = facet >= 0
        direction = (second - first)[line]
        slope = np.where(
            there[:, None], np.einsum("bij,bj->bi", facets.inverses[facet], direction), 0.0
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = -np.maximum(weights, 0) / slope
        left = np.where(slope > STEEP, reach, -np.inf).max(axis=1)
        right = np.where(slope < -STEEP, reach, np.inf).min(axis=1)
        start = np.where(there, np.clip(x + left, low, x), x)
        end = np.where(there, np.clip(x + right, x, high), x)
        for at, side in ((start, low), (end, high)):
            bends = there & (at > SHARE) & (at < 1 - SHARE) & (np.abs(at - side) > SHARE)
            some = np.flatnonzero(bends)
            there_weights = (weights + (at - x)[:, None] * slope)[some]
            found.append((line[some], at[some], facets.bases[facet[some]], there_weights))
        before, after = start - low > SHARE, high - end > SHARE
        line, low, high = (
            np.concatenate([line[before], line[after]]),
            np.concatenate([low[before], end[after]]),
            np.concatenate([start[before], high[after]]),
        )
    return found


def exact(phases: Phases, reaction: PairReaction, gases: Sequence[str] = ()) -> Reaction | None:
    """A reaction of phases in whole numbers, with open gases where they are needed.

    Args:
        phases: that the indices mean, with their whole compositions.
        reaction: of them.
        gases: molecules that the surroundings give and take freely.

    Returns:
        None where the amounts are not determined by the formulas.
    """
    names = phases.reduced_formulas
    left = sorted(str(names[i]) for i in reaction.reactants)
    right = sorted(str(names[i]) for i in reaction.products)
    for size in range(len(gases) + 1):
        for chosen in combinations([g for g in gases if g not in (*left, *right)], size):
            found = balance(left, [*right, *chosen])
            if found is not None:
                return found
    return None

"""``Hull``: the lower convex hull of a set of phases, in every chemical system that they cover."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64, Int64, Real, Shaped

from gnomon.elements import SYMBOLS, atomic_number
from gnomon.hull.blocks import Block, Elements, SparseFractions, blocks_of
from gnomon.hull.phases import MissingElementError, Phases, common_scheme
from gnomon.hull.plot import hull_figure
from gnomon.hull.simplex import lowest_mixtures

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROUND_OFF = 1e-9
"""Distances (eV/atom) and fractions smaller than this are zero: ten times the solver's error."""

SAME_COMPOSITION = 1e-9
"""Atom fractions that differ by less are of one composition."""

ENTRIES = 1 << 17
"""Numbers in the tableaux that are pivoted together: 1 MB, which stays in the cache of a core."""

SYSTEMS = 20_000
"""Chemical systems whose phases are remembered, so that a screen of millions stays in memory."""

Without = Sequence[Collection[str]] | None
"""For each query the ids of the phases that are not to count; None leaves out nothing."""

Rows = Int64[np.ndarray, " _"]
"""Indices of phases, each list of its own length."""


class Hull:
    """The lower convex hull of a set of phases, in every chemical system that they cover.

    >>> from gnomon.hull.phases import compositions
    >>> ids = np.array(["gold", "copper", "ordered"], dtype=object)
    >>> energies = np.array([0, 0, -0.05])  # eV/atom
    >>> hull = Hull(Phases(ids, compositions(["Au", "Cu", "AuCu"]), energies, "demo"))
    >>> hull.e_above_hull(compositions(["AuCu3"]), np.array([-0.02])).round(6).tolist()
    [0.005]
    >>> hull.decomposition(compositions(["AuCu3"]))
    [{'copper': 0.5, 'ordered': 0.5}]
    """

    def __init__(self, phases: Phases) -> None:
        """Sort the phases by element set; nothing is solved before it is asked for.

        Args:
            phases: n of them, of ONE energy scheme; (n, 119) compositions and eV/atom.

        Raises:
            MissingElementError: when asked about an element that has no phase of its own.
        """
        sparse = SparseFractions.of(phases.composition)
        energies = phases.formation_energy_per_atom
        blocks = blocks_of(sparse, energies, np.arange(len(phases)))
        self._assemble((phases,), sparse, phases.ids, energies, blocks)

    def _assemble(
        self,
        parts: tuple[Phases, ...],
        sparse: SparseFractions,
        ids: Shaped[np.ndarray, " n"],
        energies: Float64[np.ndarray, " n"],
        blocks: dict[Elements, Block],
    ) -> None:
        self._parts = parts
        self._sparse = sparse
        self._ids = ids
        self._energies = energies
        self._blocks = blocks
        self._systems: dict[Elements, Rows] = {}

    @cached_property
    def phases(self) -> Phases:
        """All phases, in the order in which they were given."""
        return self._parts[0] if len(self._parts) == 1 else Phases.concatenate(self._parts)

    def answering(self) -> Hull:
        """The same hull without its phases in full, 1 kB each: it answers, and takes no others."""
        hull = Hull.__new__(Hull)
        hull._assemble((), self._sparse, self._ids, self._energies, self._blocks)
        return hull

    def with_phases(self, phases: Phases) -> Hull:
        """The hull of these phases too; of the systems only those that they touch are done again.

        Raises:
            SchemeMismatch: if their energies come from another scheme.
        """
        common_scheme([self._parts[0], phases])
        new = SparseFractions.of(phases.composition)
        sparse = self._sparse.followed_by(new)
        energies = np.concatenate([self._energies, phases.formation_energy_per_atom])
        touched = set(new.element_sets())
        rows = [self._blocks[key].rows for key in touched if key in self._blocks]
        rows.append(np.arange(len(self._ids), len(energies)))
        changed = blocks_of(sparse, energies, np.sort(np.concatenate(rows)))
        hull = Hull.__new__(Hull)
        hull._assemble(
            (*self._parts, phases),
            sparse,
            np.concatenate([self._ids, phases.ids]),
            energies,
            {**self._blocks, **changed},
        )
        for system, lowest in self._systems.items():
            if touched.isdisjoint(_subsets(system)):
                hull._systems[system] = lowest
        return hull

    def members(self, elements: Collection[str]) -> Int64[np.ndarray, " k"]:
        """Indices of the phases that hold no other elements than these, in order."""
        key = tuple(sorted(atomic_number(symbol) for symbol in elements))
        rows = [block.rows for block in self._blocks_within(key)]
        return np.sort(np.concatenate(rows)) if rows else np.zeros(0, np.int64)

    def find(self, composition: Real[np.ndarray, "q 119"]) -> Int64[np.ndarray, " q"]:
        """Index of the lowest phase of each composition, -1 where there is none."""
        queries = SparseFractions.of(np.asarray(composition, dtype=np.float64))
        found = np.full(len(queries.elements), -1)
        for i, elements in enumerate(queries.element_sets()):
            if (block := self._blocks.get(elements)) is not None:
                m = len(elements)
                fractions = self._sparse.fractions[block.lowest, :m]
                near = np.abs(fractions - queries.fractions[i, :m]).max(axis=1) < SAME_COMPOSITION
                if near.any():
                    found[i] = block.lowest[near.argmax()]
        return found

    def energy(
        self, composition: Real[np.ndarray, "q 119"], *, without: Without = None
    ) -> Float64[np.ndarray, " q"]:
        """Hull energy in eV/atom at each composition.

        Args:
            composition: (q, 119), atoms by atomic number, on any scale.
            without: for each query the ids of phases that do not count, such as the queried phase.

        Returns:
            (q,), eV/atom; inf for an element all of whose own phases were left out.

        Raises:
            MissingElementError: if an element of a query has no phase of its own.
        """
        rows, weights = self.mixtures(composition, without=without)
        energies = np.einsum("qw,qw->q", self._energies[rows], weights)
        return np.where(weights.any(axis=1), energies, np.inf)

    def e_above_hull(
        self,
        composition: Real[np.ndarray, "q 119"],
        formation_energy_per_atom: Float[np.ndarray, " q"],
        *,
        without: Without = None,
    ) -> Float64[np.ndarray, " q"]:
        """Distance of each energy from the hull, in eV/atom.

        At least 0 for a phase of the hull itself; below 0 for a candidate that would break the
        hull, and for a stable phase measured ``without`` its own id.

        Args:
            composition: (q, 119), atoms by atomic number, on any scale.
            formation_energy_per_atom: (q,), eV/atom, in the scheme of the hull.
            without: for each query the ids of phases that do not count.

        Raises:
            MissingElementError: if an element of a query has no phase of its own.
        """
        distance = formation_energy_per_atom - self.energy(composition, without=without)
        distance[np.abs(distance) < ROUND_OFF] = 0.0
        return distance

    def decomposition(
        self, composition: Real[np.ndarray, "q 119"], *, without: Without = None
    ) -> list[dict[str, float]]:
        """The mixture of phases that each composition falls into: {id: fraction of the atoms}.

        Fractions sum to 1.  Where several mixtures are equally low, one of them is given.  Empty
        for an element all of whose own phases were left out.

        Raises:
            MissingElementError: if an element of a query has no phase of its own.
        """
        rows, weights = self.mixtures(composition, without=without)
        parts: list[dict[str, float]] = []
        for names, shares in zip(self._ids[rows].tolist(), weights.tolist(), strict=True):
            mixture: dict[str, float] = {}
            for name, share in zip(names, shares, strict=True):
                if share > ROUND_OFF:
                    mixture[name] = mixture.get(name, 0.0) + share
            parts.append(mixture)
        return parts

    def plot(
        self,
        system: str | None = None,
        *,
        rows: Sequence[int] | None = None,
        new: Sequence[bool] | None = None,
        details: Sequence[Sequence[str]] | None = None,
    ) -> go.Figure:
        """The hull diagram of two or three elements: formation energies, or a triangle.

        >>> from gnomon.hull.phases import compositions
        >>> ids = np.array(["gold", "copper", "ordered"], dtype=object)
        >>> energies = np.array([0, 0, -0.05])  # eV/atom
        >>> hull = Hull(Phases(ids, compositions(["Au", "Cu", "AuCu"]), energies, "demo"))
        >>> figure = hull.plot("Au-Cu")
        >>> [trace.name for trace in figure.data]
        ['hull', 'on the hull']

        Args:
            system: such as ``Ti-O``, in the order of the axes; all elements unless given.
            rows: (k,), indices of the phases that are drawn; all within the system unless given.
            new: (k,), which of these are finds, and marked so.
            details: (k,), further lines about each, shown when one points at its mark.

        Returns:
            A Plotly figure: ``show()`` opens it, ``write_html(path)`` keeps it.

        Raises:
            ValueError: if there are fewer than two or more than three elements.
            MissingElementError: if an element has no phase of its own.
        """
        columns = np.flatnonzero(self.phases.composition.any(axis=0))
        elements = system.split("-") if system else sorted(SYMBOLS[z] for z in columns)
        if len(elements) not in (2, 3):
            raise ValueError(
                f"a hull of {len(elements)} elements ({', '.join(elements)}) has no flat diagram: "
                "name two or three of them, as in hull.plot('Ti-O')"
            )
        drawn = self.members(elements) if rows is None else np.asarray(rows, dtype=np.int64)
        return hull_figure(self, elements, drawn, new or [False] * len(drawn), details)

    # --- the phases of a question -----------------------------------------------------------------

    def _blocks_within(self, elements: Elements) -> list[Block]:
        """The phases of a system and of all systems within it, those of fewest elements first."""
        if 2 ** len(elements) > len(self._blocks):
            keys = [key for key in self._blocks if set(key) <= set(elements)]
            keys.sort(key=lambda key: (len(key), key))
        else:
            keys = [key for key in _subsets(elements) if key in self._blocks]
        return [self._blocks[key] for key in keys]

    def _lowest(self, elements: Elements) -> Rows:
        """The lowest phase of each composition of a system, its elements first and in order."""
        found = self._systems.get(elements)
        if found is None:
            blocks = self._blocks_within(elements)
            found = np.concatenate([np.zeros(0, np.int64), *(block.lowest for block in blocks)])
            if len(self._systems) >= SYSTEMS:
                self._systems.clear()
            self._systems[elements] = found
        return found

    @cached_property
    def _by_id(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for i, name in enumerate(self._ids.tolist()):
            rows.setdefault(name, []).append(i)
        return rows

    def _lowest_without(self, elements: Elements, names: Collection[str]) -> Rows:
        """The same, but for phases left out the next one of their composition, if there is one."""
        left_out = {row for name in names for row in self._by_id.get(name, ())}
        rows = []
        for row in self._lowest(elements).tolist():
            if row not in left_out:
                rows.append(row)
                continue
            block = self._blocks[self._sparse.element_set(row)]
            rows += [r for r in block.same_composition(row).tolist() if r not in left_out][:1]
        return np.array(rows, dtype=np.int64)

    def _question(self, elements: Elements, names: Collection[str]) -> Rows:
        """The phases among which the lowest mixture is sought, the elements first.

        Empty for an element all of whose own phases were left out.
        """
        rows = self._lowest_without(elements, names) if names else self._lowest(elements)
        m = len(elements)
        if tuple(self._sparse.elements[rows[:m], 0].tolist()) == elements and not (
            self._sparse.elements[rows[:m], 1:2].any()
        ):
            return rows
        if m == 1 and names:
            return rows
        alone = {self._sparse.element_set(row) for row in rows.tolist()}
        symbols = ", ".join(SYMBOLS[z] for z in elements if (z,) not in alone)
        raise MissingElementError(
            f"the hull has no elemental phase of {symbols}: add the element's own lowest phase in "
            f"the scheme {self._parts[0].scheme!r} (0 eV/atom where it is the reference)"
        )

    # --- answers ----------------------------------------------------------------------------------

    def mixtures(
        self, composition: Real[np.ndarray, "q 119"], *, without: Without = None
    ) -> tuple[Int64[np.ndarray, "q w"], Float64[np.ndarray, "q w"]]:
        """``decomposition`` in columns: indices of phases, and their shares of the atoms.

        As many columns as elements at most; phases of share 0 are not part of a mixture, and all
        shares are 0 for an element all of whose own phases were left out.

        Raises:
            MissingElementError: if an element of a query has no phase of its own.
        """
        queries = SparseFractions.of(np.asarray(composition, dtype=np.float64))
        n = len(queries.elements)
        left_out = [()] * n if without is None else list(without)
        if len(left_out) != n:
            raise ValueError(f"`without` has {len(left_out)} entries for {n} queries")
        names = [(ids,) if isinstance(ids, str) else tuple(ids) for ids in left_out]
        # polymorphs ask the same question, which is then solved once
        first: dict[tuple[bytes, bytes, tuple[str, ...]], int] = {}
        asked = []
        for i in range(n):
            question = (queries.elements[i].tobytes(), queries.fractions[i].tobytes(), names[i])
            asked.append(first.setdefault(question, i))
        index = np.array(list(first.values()), dtype=np.int64)
        mixed, shares = (
            np.zeros(queries.elements.shape, np.int64),
            np.zeros(queries.fractions.shape),
        )
        candidates = [self._question(queries.element_set(i), names[i]) for i in index.tolist()]
        lengths = np.array([len(rows) for rows in candidates], dtype=np.int64)
        for chosen in _chunks(queries.n_elements[index], lengths):
            rows, weights = self._solve(queries, index[chosen], [candidates[i] for i in chosen])
            mixed[index[chosen], : rows.shape[1]] = rows
            shares[index[chosen], : rows.shape[1]] = weights
        return mixed[asked], shares[asked]

    def _solve(
        self, queries: SparseFractions, index: Int64[np.ndarray, " b"], candidates: Sequence[Rows]
    ) -> tuple[Int64[np.ndarray, "b m"], Float64[np.ndarray, "b m"]]:
        """Mixtures of queries of equally many elements among their candidates."""
        m = int(queries.n_elements[index[0]])
        lengths = np.array([len(rows) for rows in candidates])
        there = np.arange(int(lengths.max())) < lengths[:, None]
        rows = np.zeros(there.shape, np.int64)
        rows[there] = np.concatenate(candidates)
        column = np.full((len(index), len(SYMBOLS)), m)  # of nothing, element 0, is dropped
        each = np.arange(len(index))[:, None]
        column[each, queries.elements[index, :m]] = np.arange(m)
        shares = np.zeros((*there.shape, m + 1))
        where = column[each[:, :, None], self._sparse.elements[rows, :m]]
        np.put_along_axis(shares, where, self._sparse.fractions[rows, :m], axis=2)
        shares = np.where(there[:, :, None], shares[:, :, :m], 0.0)
        energies = np.where(there, self._energies[rows], 0.0)
        basis, weights = lowest_mixtures(shares, energies, queries.fractions[index, :m])
        return np.take_along_axis(rows, basis, axis=1), weights


def _subsets(elements: Elements) -> Iterator[Elements]:
    """All sets of these elements but the empty one, the smallest first."""
    for size in range(1, len(elements) + 1):
        yield from combinations(elements, size)


def _chunks(
    n_elements: Int64[np.ndarray, " q"], n_phases: Int64[np.ndarray, " q"]
) -> Iterator[Int64[np.ndarray, " b"]]:
    """Indices of queries of equally many elements and about equally many phases, by the chunk."""
    order = np.lexsort((n_phases, n_elements))
    order = order[n_phases[order] > 0]
    start = 0
    while start < len(order):
        m = n_elements[order[start]]
        sizes = (m + 1) * (n_phases[order[start:]] + 1) * np.arange(1, len(order) - start + 1)
        fits = (sizes <= ENTRIES) & (n_elements[order[start:]] == m)
        length = len(fits) if fits.all() else max(1, int(fits.argmin()))
        yield order[start : start + length]
        start += length

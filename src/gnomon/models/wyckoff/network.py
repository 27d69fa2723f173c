"""The transformer: first which orbits, then the cell, then the coordinates, each after the last.

One causal sequence says a crystal: conditions, space group, orbits (an element on a Wyckoff
position), an end; then the cell, and the free orbits once more with their coordinates, so that
coordinates are drawn by what knows the whole composition.  Space group, element and position are
categorical, under masks of what symmetry allows; the cell is a mixture of Gaussians and coordinates
one of von Mises densities, as in CrystalFormer (Cao et al., arXiv:2403.15734), number by number.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gnomon.elements import MAX_Z, element_facts
from gnomon.models.wyckoff.layers import (
    FORBIDDEN,
    NOTHING_LOST,
    WAVES,
    Block,
    Dropout,
    Linear,
    Mixtures,
    WyckoffConfig,
    gaussians,
    harmonics,
    log_gaussians,
    log_on_circle,
    normal,
    normalised,
    on_circle,
)
from gnomon.models.wyckoff.rules import END
from gnomon.models.wyckoff.sequences import (
    HULL_EDGES,
    LETTERS,
    MAX_ORBITS,
    SIZES,
    Batch,
    Conditions,
    Tables,
)
from gnomon.structure.asymmetric_unit import element_order
from gnomon.structure.systems import free_cell

BUCKETS = 8
"""Buckets of a property, at most, and the absent one."""


class Embedded(NamedTuple):
    """Vectors of what tokens are made of: elements, space groups and their positions."""

    elements: Float[Array, "119 d"]
    groups: Float[Array, "231 d"]
    positions: Float[Array, "231 27 d"]


class Losses(NamedTuple):
    """Nats a crystal: all, and its parts."""

    all: Float[Array, ""]
    space_group: Float[Array, ""]
    elements: Float[Array, ""]
    positions: Float[Array, ""]
    cell: Float[Array, ""]
    coordinates: Float[Array, ""]


class Wyckoff(eqx.Module):
    """The whole network."""

    config: WyckoffConfig = eqx.field(static=True)
    tables: Tables
    element: Float[Array, "119 d"]
    element_facts: Linear
    group: Float[Array, "231 d"]
    group_facts: Linear
    position: Float[Array, "6237 d"]
    position_facts: Linear
    wanted: Float[Array, "2 119 d"]
    given: Float[Array, "3 d"]
    hull: Float[Array, "_ d"]
    values: Float[Array, "p _ d"]
    most: Float[Array, "_ d"]
    place: Float[Array, "_ d"]
    kind: Float[Array, "4 d"]
    size: Linear
    cell: Linear
    coordinate: Linear
    coming: Linear
    blocks: Block
    final: Float[Array, " d"]
    to_group: Linear
    to_element: Linear
    to_position: tuple[Linear, Linear]
    to_cell: Mixtures
    to_coordinates: Mixtures

    def __init__(
        self, config: WyckoffConfig, known: Tables, seed: int = 0, properties: int = 1
    ) -> None:
        """Random weights.

        Args:
            config: size.
            known: tables of all space groups.
            seed: of the weights.
            properties: how many can be asked for.
        """
        d, rng = config.width, np.random.default_rng(seed)

        def table(*shape: int) -> Array:
            return normal(rng, *shape, d, scale=0.3)

        self.config, self.tables = config, Tables(*map(jnp.asarray, known))
        self.element = table(MAX_Z + 1)
        self.element_facts = Linear(facts_of_elements().shape[1], d, rng)
        self.group, self.group_facts = table(231), Linear(13, d, rng)
        self.position, self.position_facts = table(231 * LETTERS), Linear(20, d, rng)
        self.wanted, self.given = table(2, MAX_Z + 1), table(3)
        self.hull, self.values = table(len(HULL_EDGES) + 2), table(properties, BUCKETS + 1)
        self.most = table(len(SIZES) + 1)
        self.place, self.kind = table(MAX_ORBITS + 1), table(4)
        self.size, self.cell = Linear(2, d, rng), Linear(12, d, rng)
        self.coordinate, self.coming = Linear(6 * WAVES, d, rng), Linear(d, d, rng)
        blocks = [Block(config, rng) for _ in range(config.layers)]
        self.blocks = jax.tree.map(lambda *each: jnp.stack(each), *blocks)
        self.final = jnp.ones(d)
        self.to_group, self.to_element = Linear(d, 231, rng), Linear(d, MAX_Z + 1, rng)
        self.to_position = (Linear(2 * d, d, rng), Linear(d, d, rng))
        self.to_cell = Mixtures(config, 6, 0, rng)
        self.to_coordinates = Mixtures(config, 3, WAVES, rng)

    # --- tokens -----------------------------------------------------------------------------------

    def embedded(self) -> Embedded:
        """What tokens are made of: a vector of each, and what its facts say."""
        known = self.tables
        there = (known.multiplicity > 0)[..., None]
        angle = 2 * np.pi / 48 * known.offset
        facts = jnp.concatenate(
            [
                jnp.log2(jnp.maximum(known.multiplicity, 1))[..., None] / 3,
                jnp.log2(jnp.maximum(known.multiplicity / known.centring[:, None], 1))[..., None]
                / 3,
                known.free,
                jnp.cos(angle),
                jnp.sin(angle),
                known.basis.astype(jnp.float32),
            ],
            axis=-1,
        )
        positions = self.position.reshape(231, LETTERS, -1) + self.position_facts(facts)
        number = np.arange(231)
        systems = np.searchsorted([1, 3, 16, 75, 143, 168, 195], number, side="right")
        order = jnp.max(known.multiplicity, axis=1) / known.centring
        groups = jnp.concatenate(
            [
                jax.nn.one_hot(systems, 8),
                jnp.log2(jnp.maximum(order, 1))[:, None] / 3,
                jnp.log2(known.centring)[:, None],
                known.polar,
            ],
            axis=-1,
        )
        return Embedded(
            self.element + self.element_facts(jnp.asarray(facts_of_elements())),
            self.group + self.group_facts(groups),
            jnp.where(there, positions, 0),
        )

    def conditioned(self, told: Conditions) -> Float[Array, "B d"]:
        """What is asked, in one vector that every token carries."""
        present = (told.fractions > 0).astype(jnp.float32)
        both = jnp.where(
            (told.given == 2)[:, None],
            told.fractions @ self.wanted[1] * 3 + present @ self.wanted[0],
            present @ self.wanted[0],
        )
        values = self.values[jnp.arange(len(self.values)), told.values]
        found = both + self.given[told.given] + self.hull[told.hull] + values.sum(axis=1)
        return found + self.most[told.size]

    def orbit_tokens(
        self,
        emb: Embedded,
        group: Int[Array, " B"],
        elements: Int[Array, "B N"],
        positions: Int[Array, "B N"],
        places: Int[Array, "B N"],
    ) -> Float[Array, "B N d"]:
        """An element on a position, the how-manieth of the crystal."""
        at = emb.positions[group[:, None], positions]
        return emb.elements[elements] + at + self.place[places]

    def cell_token(self, group: Int[Array, " B"], cell: Float[Array, "B 6"]) -> Float[Array, "B d"]:
        """The cell; what is not free counts as nothing."""
        free = jnp.asarray(free_cells())[group]
        return self.cell(jnp.concatenate([cell * free, free], axis=-1)) + self.kind[2]

    def size_token(
        self, group: Int[Array, " B"], elements: Int[Array, "B N"], positions: Int[Array, "B N"]
    ) -> Float[Array, "B d"]:
        """The end of the orbits: how many atoms and orbits there are."""
        there = elements > 0
        atoms = jnp.sum(self.tables.multiplicity[group[:, None], positions] * there, axis=1)
        counts = jnp.stack(
            [jnp.log2(jnp.maximum(atoms, 1)), jnp.log2(jnp.maximum(there.sum(1), 1))], -1
        )
        return self.size(counts / 3) + self.kind[1]

    def heard(
        self, x: Float[Array, "B T d"], seen: Bool[Array, "B T T"], lost: Dropout = NOTHING_LOST
    ) -> Float[Array, "B T d"]:
        """Tokens after all blocks."""
        arrays, rest = eqx.partition(self.blocks, eqx.is_array)

        def layer(x: Float[Array, "B T d"], part: Any) -> tuple[Float[Array, "B T d"], None]:
            block = eqx.combine(part[0], rest)
            queries, keys, values = block.parts(x)
            return block(x, keys, values, queries, seen, lost._replace(key=part[1])), None

        each = None if lost.key is None else jax.random.split(lost.key, self.config.layers)
        return normalised(jax.lax.scan(layer, x, (arrays, each))[0]) * self.final

    def heard_next(
        self,
        x: Float[Array, "B d"],
        memory: Float[Array, "L 2 B T h w"],
        at: Int[Array, ""],
        seen: Bool[Array, "B T"],
    ) -> tuple[Float[Array, "B d"], Float[Array, "L 2 B T h w"]]:
        """One more token after all blocks, and keys and values of the tokens so far."""
        arrays, rest = eqx.partition(self.blocks, eqx.is_array)

        def layer(x: Float[Array, "B 1 d"], part: Any) -> tuple[Float[Array, "B 1 d"], Any]:
            block = eqx.combine(part[0], rest)
            made = block.parts(x)
            kept = jax.lax.dynamic_update_slice_in_dim(part[1], made[1:], at, axis=2)
            return block(x, kept[0], kept[1], made[0], seen[:, None]), kept

        found, memory = jax.lax.scan(layer, x[:, None], (arrays, memory))
        return normalised(found[:, 0]) * self.final, memory

    # --- what comes next --------------------------------------------------------------------------

    def position_logits(
        self,
        emb: Embedded,
        h: Float[Array, "B N d"],
        group: Int[Array, " B"],
        elements: Int[Array, "B N"],
    ) -> Float[Array, "B N 27"]:
        """Of the position of an orbit whose element is known."""
        first, second = self.to_position
        asked = second(jax.nn.gelu(first(jnp.concatenate([h, emb.elements[elements]], axis=-1))))
        return jnp.einsum("bnd,bkd->bnk", asked, emb.positions[group]) / np.sqrt(h.shape[-1])

    def losses(self, batch: Batch, lost: Dropout = NOTHING_LOST) -> Float[Array, "B 5"]:
        """Nats of each crystal: space group, elements, positions, cell, coordinates."""
        emb = self.embedded()
        group, elements, positions = batch.space_group, batch.elements, batch.positions
        n, m = elements.shape[1], batch.order.shape[1]
        there = elements > 0
        tokens, seen = self._sequence(emb, batch, there)
        h = self.heard(lost(tokens, 0), seen, lost)
        of_group = jax.nn.log_softmax(self.to_group(h[:, 0]))
        found = [-jnp.take_along_axis(of_group, group[:, None], axis=1)[:, 0]]

        allowed, letters = _allowed(self.tables, group, elements, positions, there)
        logits = jnp.where(allowed, self.to_element(h[:, 1 : n + 2]), FORBIDDEN)
        wanted = jnp.pad(elements, ((0, 0), (0, 1)))
        counted = jnp.pad(there, ((0, 0), (1, 0)), constant_values=True)
        each = jnp.take_along_axis(jax.nn.log_softmax(logits), wanted[..., None], axis=-1)[..., 0]
        found.append(-jnp.sum(each * counted, axis=1))

        at = self.position_logits(emb, h[:, 1 : n + 1], group, elements)
        each = jax.nn.log_softmax(jnp.where(letters, at, FORBIDDEN))
        each = jnp.take_along_axis(each, positions[..., None], axis=-1)[..., 0]
        found.append(-jnp.sum(each * there, axis=1))

        free = jnp.asarray(free_cells())[group]
        cell = batch.cell * free
        drawn = gaussians(self.to_cell(h[:, n + 2], cell[..., None]))
        found.append(-jnp.sum(log_gaussians(cell, drawn) * free, axis=1))

        rows = jnp.maximum(batch.order, 0)
        own = jnp.take_along_axis(batch.coordinates, rows[..., None], axis=1)
        at_free = jnp.take_along_axis(positions, rows, axis=1)
        axes = self.tables.free[group[:, None], at_free] & (batch.order >= 0)[..., None]
        parts = self.to_coordinates(h[:, n + 3 : n + 3 + m], harmonics(own) * axes[..., None])
        found.append(-jnp.sum(log_on_circle(own, on_circle(parts)) * axes, axis=(1, 2)))
        return jnp.stack(found, axis=1)

    def _sequence(
        self, emb: Embedded, batch: Batch, there: Bool[Array, "B N"]
    ) -> tuple[Float[Array, "B T d"], Bool[Array, "B T T"]]:
        """Tokens of N + M + 3, and which of them each sees."""
        group, elements, positions = batch.space_group, batch.elements, batch.positions
        size, n = elements.shape
        m = batch.order.shape[1]
        places = jnp.broadcast_to(jnp.arange(n), (size, n))
        orbits = self.orbit_tokens(emb, group, elements, positions, places)
        rows = jnp.maximum(batch.order, 0)
        is_free = batch.order >= 0
        bare = jnp.take_along_axis(orbits, rows[..., None], axis=1) * is_free[..., None]
        own = jnp.take_along_axis(batch.coordinates, rows[..., None], axis=1)
        axes = self.tables.free[group[:, None], jnp.take_along_axis(positions, rows, axis=1)]
        filled = bare + self.filled(own, axes)
        coming = self.coming(bare)
        tail = jnp.concatenate(
            [self.cell_token(group, batch.cell)[:, None], filled[:, :-1]], axis=1
        )
        tokens = jnp.concatenate(
            [
                jnp.broadcast_to(self.kind[0], (size, 1, self.config.width)),
                emb.groups[group][:, None],
                orbits,
                self.size_token(group, elements, positions)[:, None],
                tail + coming,
            ],
            axis=1,
        )
        tokens = tokens + self.conditioned(batch.told)[:, None]
        always = jnp.ones((size, 2), bool)
        valid = jnp.concatenate([always, there, always[:, :1], is_free], axis=1)
        causal = jnp.tril(jnp.ones((n + m + 3, n + m + 3), bool))
        return tokens, causal & (valid[:, None] | jnp.eye(n + m + 3, dtype=bool))

    def filled(
        self, coordinates: Float[Array, "*b 3"], axes: Bool[Array, "*b 3"]
    ) -> Float[Array, "*b d"]:
        """What coordinates add to an orbit's token."""
        seen = harmonics(coordinates) * axes[..., None]
        return self.coordinate(seen.reshape(*coordinates.shape[:-1], -1)) + self.kind[3]


def _allowed(
    known: Tables,
    group: Int[Array, " B"],
    elements: Int[Array, "B N"],
    positions: Int[Array, "B N"],
    there: Bool[Array, "B N"],
) -> tuple[Bool[Array, "B M 119"], Bool[Array, "B N 27"]]:
    """Elements (or the end) that may come next, and positions that an orbit may take.

    Elements come in one order, of one element positions do; what has no freedom is taken once.
    """
    ranks = jnp.asarray(element_order())
    own = jnp.where(there, ranks[elements], 0)
    before = jnp.pad(own, ((0, 0), (1, 0)))
    may = (ranks >= before[..., None]) & (np.arange(MAX_Z + 1) != END)
    may = may.at[..., END].set(jnp.arange(before.shape[1]) > 0)
    letters = np.arange(LETTERS)
    taken = jax.nn.one_hot(positions, LETTERS, dtype=jnp.int32) * there[..., None]
    taken = jnp.cumsum(taken, axis=1) - taken > 0
    points = known.multiplicity[group] > 0
    fixed = ~known.free[group].any(-1)
    same = jnp.pad(elements[:, 1:] == elements[:, :-1], ((0, 0), (1, 0)))
    last = jnp.pad(positions[:, :-1], ((0, 0), (1, 0)))
    later = ~same[..., None] | (letters >= last[..., None])
    return may, points[:, None] & ~(taken & fixed[:, None]) & later


@cache
def facts_of_elements() -> Float[np.ndarray, "119 k"]:
    """Group and period as flags, electronegativity, radius and Mendeleev's number, scaled."""
    facts = element_facts(("X", "mendeleev_no", "atomic_radius_calculated", "group", "row"))
    scaled = (facts[:, :3] - facts[1:, :3].mean(axis=0)) / facts[1:, :3].std(axis=0)
    flags = [np.eye(19)[facts[:, 3].astype(int)], np.eye(10)[facts[:, 4].astype(int)]]
    found = np.concatenate([scaled, *flags], axis=1).astype(np.float32)
    found[0] = 0
    return found


@cache
def free_cells() -> Bool[np.ndarray, "231 6"]:
    """``free_cell`` of each space group."""
    return np.array([np.zeros(6, bool), *(free_cell(number) for number in range(1, 231))])

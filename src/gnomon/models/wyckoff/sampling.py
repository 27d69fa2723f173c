"""Crystals drawn from the transformer, many at once, under masks of what symmetry allows."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int, Int64

from gnomon.models.wyckoff.layers import (
    Drawn,
    gaussians,
    harmonics,
    log_gaussians,
    log_on_circle,
    on_circle,
)
from gnomon.models.wyckoff.network import Embedded, Wyckoff, free_cells
from gnomon.models.wyckoff.rules import END, Orbits
from gnomon.models.wyckoff.sequences import MAX_ORBITS, Conditions, unit_of
from gnomon.structure.asymmetric_unit import AsymmetricUnit
from gnomon.structure.cells import lattice_of

TOKENS = 2 * MAX_ORBITS + 3
"""Of the longest sequence: conditions, space group, orbits, their end, the cell, free orbits."""

TOGETHER = 64
"""Rows whose coordinates are drawn together: those with as many free orbits, so that few wait for
longer ones."""

FLAT = 0.05
"""Volume of a cell over the product of its lengths, at least."""


@dataclass(frozen=True)
class Sharpness:
    """How far draws keep to what is likely.

    Attributes:
        temperature: of space groups, elements and positions; below 1 prefers what is likely.
        top_p: the likeliest choices of this probability altogether are drawn from.
        number_temperature: of the widths of cells and coordinates.
        tries: how often cell and coordinates are drawn for the same orbits.

    Raises:
        ValueError: for a temperature that is not positive, a share outside 0 to 1, or no try.
    """

    temperature: float = 1.0
    top_p: float = 0.98
    number_temperature: float = 0.7
    tries: int = 1

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and self.number_temperature > 0):
            raise ValueError("temperatures must be positive")
        if self.tries < 1:
            raise ValueError(f"cells and coordinates are drawn at least once, not {self.tries}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in 0 to 1, not {self.top_p}")


PLAIN = Sharpness()
"""As a rule."""


class Sampled(NamedTuple):
    """What was drawn for n rows.

    Attributes:
        units: for each try, asymmetric units in order, None where a draw came to nothing.
        log_probability: of space group, elements and positions, which all tries share.
        log_density: (tries, n), of cell and coordinates.
    """

    units: list[list[AsymmetricUnit | None]]
    log_probability: Float64[np.ndarray, " n"]
    log_density: Float64[np.ndarray, "tries n"]


def sample(
    network: Wyckoff,
    told: Conditions,
    rules: Orbits,
    groups: Int64[np.ndarray, " n"],
    rng: np.random.Generator,
    sharp: Sharpness = PLAIN,
) -> Sampled:
    """One crystal for each row of conditions, and as many cells and coordinates as tries.

    Args:
        network: trained.
        told: what the network is told.
        rules: what the orbits of each must obey; used up.
        groups: space groups that are asked for, 0 for any.
        rng: source of all draws.
        sharp: how far draws keep to what is likely.
    """
    draw = _Draw(network, told, rng, sharp)
    group = draw.groups(groups)
    rules.begin(group)
    _orbits(draw, rules, group)
    before, units, densities = (draw.memory, draw.seen.copy()), [], []
    for _ in range(sharp.tries):
        draw.memory, draw.seen = before[0], before[1].copy()
        draw.log_density = np.zeros(len(group))
        cell = _cell(draw, rules, group)
        coordinates = _coordinates(draw, rules, group, cell)
        units.append(_units(rules, group, cell, coordinates))
        densities.append(draw.log_density)
    return Sampled(units, draw.log_probability, np.array(densities))


def _units(
    rules: Orbits,
    group: Int64[np.ndarray, " n"],
    cell: Float64[np.ndarray, "n 6"],
    coordinates: Float64[np.ndarray, "n N 3"],
) -> list[AsymmetricUnit | None]:
    found: list[AsymmetricUnit | None] = []
    for i, m in enumerate(rules.count.tolist()):
        if not rules.complete[i]:
            found.append(None)
            continue
        parts = rules.elements[i, :m], rules.positions[i, :m], coordinates[i, :m]
        unit = unit_of(int(group[i]), *parts, cell[i])
        found.append(unit if _is_cell(unit) else None)
    return found


def _is_cell(unit: AsymmetricUnit) -> bool:
    """Whether a cell has these angles, and is not as good as flat."""
    try:
        lattice = lattice_of(unit.cell)
    except ValueError:
        return False
    return bool(np.linalg.det(lattice) > FLAT * np.prod(unit.cell[:3]))


class _Draw:
    """The network with the tokens of all rows so far."""

    def __init__(
        self, network: Wyckoff, told: Conditions, rng: np.random.Generator, sharp: Sharpness
    ) -> None:
        self.network, self.rng, self.sharp = network, rng, sharp
        n, config = len(told.given), network.config
        self.emb, self.asked = _begin(network, Conditions(*map(jnp.asarray, told)))
        shape = (config.layers, 2, n, TOKENS, config.heads, config.width // config.heads)
        self.memory: Any = jnp.zeros(shape)
        self.seen = np.zeros((n, TOKENS), bool)
        self.log_probability = np.zeros(n)
        self.log_density = np.zeros(n)

    def some(self, rows: Int64[np.ndarray, " m"]) -> _Draw:
        """These rows alone, with densities of their own."""
        part = copy(self)
        part.asked, part.memory = self.asked[rows], self.memory[:, :, rows]
        part.seen, part.log_density = self.seen[rows], np.zeros(len(rows))
        return part

    def hear(self, token: Any, at: int, there: Bool[np.ndarray, " n"] | None = None) -> Any:
        """What the network makes of the next token of every row, and keeps where it is there."""
        seen = self.seen.copy()
        seen[:, at] = True
        heard, self.memory = _hear(
            self.network, token + self.asked, self.memory, jnp.asarray(at), jnp.asarray(seen)
        )
        self.seen[:, at] = True if there is None else there
        return heard

    def groups(self, asked: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Space groups: those that are asked for, others drawn."""
        heard = self.hear(self.network.kind[0], 0)
        logits = np.array(self.network.to_group(heard), np.float64)
        logits[:, 0] = -np.inf
        found = np.where(asked > 0, asked, self.choose(logits, asked == 0))
        return found.astype(np.int64)

    def choose(
        self, logits: Float64[np.ndarray, "n k"], counted: Bool[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " n"]:
        """One choice a row; forbidden ones have logits of -inf."""
        scaled = logits / self.sharp.temperature
        odds = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        order = np.argsort(-odds, axis=1, kind="stable")
        ranked = np.take_along_axis(odds, order, axis=1)
        ranked[np.cumsum(ranked, axis=1) - ranked >= self.sharp.top_p] = 0
        steps = np.cumsum(ranked, axis=1)
        at = (self.rng.random(len(odds))[:, None] * steps[:, -1:] >= steps).sum(axis=1)
        chosen = np.take_along_axis(order, np.minimum(at, odds.shape[1] - 1)[:, None], axis=1)
        own = np.take_along_axis(odds, chosen, axis=1)[:, 0]
        self.log_probability[counted] += np.log(own[counted])
        return chosen[:, 0]

    def number(
        self, drawn: Drawn, counted: Bool[np.ndarray, " n"], *, circle: bool
    ) -> Float64[np.ndarray, " n"]:
        """One number a row from mixtures, 0 where it does not count."""
        weights, places, widths = (np.asarray(part, np.float64) for part in drawn)
        steps = np.cumsum(np.exp(weights), axis=1)
        at = (self.rng.random(len(steps))[:, None] * steps[:, -1:] >= steps).sum(axis=1)
        chosen = np.minimum(at, steps.shape[1] - 1)[:, None]
        place, width = (np.take_along_axis(p, chosen, axis=1)[:, 0] for p in (places, widths))
        spread = self.sharp.number_temperature
        if circle:
            turned = self.rng.vonmises(2 * np.pi * place, width / spread**2)
            found, density = turned / (2 * np.pi) % 1, log_on_circle
        else:
            found = place + spread * width * self.rng.standard_normal(len(place))
            density = log_gaussians
        found = np.where(counted, found, 0)
        cost = density(jnp.asarray(found, jnp.float32), drawn)
        self.log_density[counted] += np.asarray(cost, np.float64)[counted]
        return found


def _orbits(draw: _Draw, rules: Orbits, group: Int64[np.ndarray, " n"]) -> None:
    """Element and position after element and position, until all rows have ended."""
    network, emb, rows = draw.network, draw.emb, jnp.asarray(group)
    heard = draw.hear(emb.groups[rows], 1)
    for at in range(MAX_ORBITS + 1):
        allowed = rules.elements_allowed()
        going = np.asarray(allowed.any(axis=1))
        allowed[~going, END] = True
        logits = np.where(allowed, np.asarray(network.to_element(heard), np.float64), -np.inf)
        element = draw.choose(logits, going)
        going &= element != END
        rules.end(element == END)
        if not going.any() or at == MAX_ORBITS:
            break
        at_which = _position(network, emb, heard, rows, jnp.asarray(element))
        allowed = rules.positions_allowed(element)
        allowed[~going, 0] = True
        logits = np.where(allowed, np.asarray(at_which, np.float64), -np.inf)
        position = draw.choose(logits, going)
        rules.add(going, element, position)
        parts = (jnp.asarray(element), jnp.asarray(position), jnp.asarray(at))
        token = _orbit(network, emb, rows, *parts)
        heard = draw.hear(token, 2 + at, going)


def _cell(draw: _Draw, rules: Orbits, group: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n 6"]:
    parts = (jnp.asarray(group), jnp.asarray(rules.elements), jnp.asarray(rules.positions))
    heard = draw.hear(_size(draw.network, *parts), MAX_ORBITS + 2)
    free, cell = free_cells()[group], np.zeros((len(group), 6))
    for k in range(6):
        drawn = _cell_number(draw.network, heard, jnp.asarray(cell, jnp.float32), jnp.asarray(k))
        cell[:, k] = draw.number(drawn, free[:, k], circle=False)
    return cell


def _coordinates(
    draw: _Draw, rules: Orbits, group: Int64[np.ndarray, " n"], cell: Float64[np.ndarray, "n 6"]
) -> Float64[np.ndarray, "n N 3"]:
    free = rules.known.free[group[:, None], rules.positions] & (rules.elements > 0)[..., None]
    found = np.zeros(free.shape)
    by_length = np.argsort(free.any(axis=2).sum(axis=1), kind="stable")
    for first in range(0, len(group), TOGETHER):
        rows = by_length[first : first + TOGETHER]
        if free[rows].any():
            part = draw.some(rows)
            orbits = rules.elements[rows], rules.positions[rows], free[rows]
            found[rows] = _coordinates_of(part, group[rows], cell[rows], *orbits)
            draw.log_density[rows] += part.log_density
    return found


def _coordinates_of(
    draw: _Draw,
    group: Int64[np.ndarray, " n"],
    cell: Float64[np.ndarray, "n 6"],
    elements: Int64[np.ndarray, "n N"],
    positions: Int64[np.ndarray, "n N"],
    free: Bool[np.ndarray, "n N 3"],
) -> Float64[np.ndarray, "n N 3"]:
    """Orbit after orbit of those with a free coordinate, until all rows have ended."""
    network, rows = draw.network, np.arange(len(group))
    order = np.argsort(~free.any(axis=2), axis=1, kind="stable")
    found, own = np.zeros(free.shape), np.zeros((len(group), 3))
    tokens = (network, draw.emb, jnp.asarray(group))
    for j in range(int(free.any(axis=2).sum(axis=1).max())):
        last, now = order[:, max(j - 1, 0)], order[:, j]
        there = np.asarray(free[rows, now].any(axis=1))
        steps = tuple(
            (*(jnp.asarray(c[rows, at]) for c in (elements, positions)), jnp.asarray(at))
            for at in (last, now)
        )
        if j == 0:
            token = _first_token(*tokens, steps[1], jnp.asarray(cell, jnp.float32))
        else:
            token = _next_token(*tokens, steps, jnp.asarray(own, jnp.float32))
        heard = draw.hear(token, MAX_ORBITS + 3 + j, there)
        own, axes = np.zeros((len(group), 3)), free[rows, now]
        for k in range(3):
            if axes[:, k].any():
                parts = _coordinate(
                    network, heard, jnp.asarray(own, jnp.float32), jnp.asarray(axes), jnp.asarray(k)
                )
                own[:, k] = draw.number(parts, axes[:, k], circle=True)
        found[rows[there], now[there]] = own[there]
    return found


# --- compiled parts -------------------------------------------------------------------------------


@eqx.filter_jit
def _begin(network: Wyckoff, told: Conditions) -> tuple[Embedded, Float[Array, "n d"]]:
    return network.embedded(), network.conditioned(told)


@eqx.filter_jit
def _hear(
    network: Wyckoff,
    token: Float[Array, "n d"],
    memory: Float[Array, "L 2 n T h w"],
    at: Int[Array, ""],
    seen: Bool[Array, "n T"],
) -> tuple[Float[Array, "n d"], Float[Array, "L 2 n T h w"]]:
    return network.heard_next(token, memory, at, seen)


@eqx.filter_jit
def _position(
    network: Wyckoff,
    emb: Embedded,
    heard: Float[Array, "n d"],
    group: Int[Array, " n"],
    element: Int[Array, " n"],
) -> Float[Array, "n 27"]:
    return network.position_logits(emb, heard[:, None], group, element[:, None])[:, 0]


@eqx.filter_jit
def _orbit(
    network: Wyckoff,
    emb: Embedded,
    group: Int[Array, " n"],
    element: Int[Array, " n"],
    position: Int[Array, " n"],
    place: Int[Array, ...],
) -> Float[Array, "n d"]:
    places = jnp.broadcast_to(place, group.shape)[:, None]
    return network.orbit_tokens(emb, group, element[:, None], position[:, None], places)[:, 0]


@eqx.filter_jit
def _size(
    network: Wyckoff,
    group: Int[Array, " n"],
    elements: Int[Array, "n N"],
    positions: Int[Array, "n N"],
) -> Float[Array, "n d"]:
    return network.size_token(group, elements, positions)


@eqx.filter_jit
def _cell_number(
    network: Wyckoff, heard: Float[Array, "n d"], cell: Float[Array, "n 6"], k: Int[Array, ""]
) -> Drawn:
    parts = network.to_cell(heard, cell[..., None])
    return gaussians(jnp.take(parts, k, axis=1))


@eqx.filter_jit
def _coordinate(
    network: Wyckoff,
    heard: Float[Array, "n d"],
    own: Float[Array, "n 3"],
    axes: Bool[Array, "n 3"],
    k: Int[Array, ""],
) -> Drawn:
    parts = network.to_coordinates(heard, harmonics(own) * axes[..., None])
    return on_circle(jnp.take(parts, k, axis=1))


@eqx.filter_jit
def _first_token(
    network: Wyckoff,
    emb: Embedded,
    group: Int[Array, " n"],
    now: tuple[Int[Array, " n"], ...],
    cell: Float[Array, "n 6"],
) -> Float[Array, "n d"]:
    """The cell, and which orbit comes."""
    return network.cell_token(group, cell) + network.coming(_orbit(network, emb, group, *now))


@eqx.filter_jit
def _next_token(
    network: Wyckoff,
    emb: Embedded,
    group: Int[Array, " n"],
    steps: tuple[tuple[Int[Array, " n"], ...], ...],
    own: Float[Array, "n 3"],
) -> Float[Array, "n d"]:
    """The orbit before with its coordinates, and which comes."""
    last, now = steps
    axes = network.tables.free[group, last[1]]
    before = _orbit(network, emb, group, *last) + network.filled(own, axes)
    return before + network.coming(_orbit(network, emb, group, *now))

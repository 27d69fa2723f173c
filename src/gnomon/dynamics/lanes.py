"""Lanes: the crystals of a batched relaxation on the host, packed for the device and back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Shaped

from gnomon.crystals import Crystals
from gnomon.dynamics.descent import HISTORY, Descent, Rows
from gnomon.dynamics.invariance import Invariance
from gnomon.potential.batch import AtomBatch, Shape, pack, rows_of
from gnomon.structure.neighbors import Neighbors, neighbors

ATOMS, CELLS, VALUES = -2, -3, -1
"""Where arrays count atoms, cells (3, 3), and values one for each crystal."""

_AXES: dict[str, Any] = dict.fromkeys(Descent._fields, VALUES)
_AXES |= dict.fromkeys(("lattice", "stress"), CELLS)
_AXES |= dict.fromkeys(("force", "step", "steps", "changes"), Rows(ATOMS, CELLS))
AXES = Descent(**_AXES | {"positions": ATOMS})
"""Along which axis the states of crystals are put together."""


class Pairs(NamedTuple):
    """Neighbours of one crystal, and the geometry in which they were found."""

    found: Neighbors
    crystal: Crystals
    rows: int


@dataclass(eq=False)
class Lane:
    """One crystal on its way.

    Attributes:
        index: of the crystal among those given.
        given: the crystal as given, wrapped.
        state: where it stands; positions, lattice and jacobian in double precision.
        invariance: what to keep of it.
        pairs: its neighbours, None where they have to be found.
        seconds: its share of the wall time so far.
        counted: without calls that compiled, which do not count towards its limit.
    """

    index: int
    given: Crystals
    state: Descent
    invariance: Invariance | None = None
    pairs: Pairs | None = None
    seconds: float = 0.0
    counted: float = 0.0

    @classmethod
    def at(cls, index: int, given: Crystals, invariance: Invariance | None) -> Lane:
        """A lane at its start: one crystal, and what to keep of it."""
        given = given.wrap()
        lattice, _, frac_coords = given.arrays(0)
        if invariance is not None:
            lattice, frac_coords = invariance.crystal(lattice, frac_coords)
        jacobian = given.volumes ** (1 / 3) * len(frac_coords) ** (1 / 6)
        state = resting(frac_coords @ lattice, np.array(lattice)[None], jacobian)
        return cls(index, given, state, invariance)

    @property
    def n_atoms(self) -> int:
        """Atoms of the cell."""
        return len(self.state.positions)

    @property
    def rows(self) -> int:
        """Of its neighbours, as far as they are known."""
        return self.pairs.rows if self.pairs is not None else 0

    @property
    def calls(self) -> int:
        """Evaluations so far."""
        return int(self.state.calls[0])

    @property
    def fmax(self) -> float:
        """The largest force at its lowest point so far, eV/Å."""
        return float(self.state.fmax[0])

    @property
    def growth(self) -> float:
        """Volume over that of the crystal as given."""
        return float(abs(np.linalg.det(self.state.lattice[0])) / self.given.volumes[0])

    @property
    def moved(self) -> bool:
        """Whether it has left where it was given."""
        return self.calls > 1 or self.invariance is not None

    @property
    def frac_coords(self) -> Float64[np.ndarray, "atoms 3"]:
        """Of its lowest point so far, not wrapped."""
        return np.asarray(self.state.positions @ np.linalg.inv(self.state.lattice[0]))

    def lowest(self) -> Crystals:
        """The crystal at its lowest point so far."""
        numbers = self.given.atomic_numbers
        return Crystals.single(self.state.lattice[0], numbers, self.frac_coords).wrap()

    def next_crystal(self) -> Crystals:
        """The crystal after its step, as the device will see it; coordinates not wrapped.

        Raises:
            ValueError: if a number is not finite or the cell is flat.
        """
        state = self.state
        strain = np.asarray(state.step.cells[0], np.float64) / state.jacobian[0]
        stretch = np.eye(3) + strain + 0.5 * strain @ strain
        positions = (state.positions + state.step.atoms) @ stretch
        lattice = state.lattice[0] @ stretch
        numbers = self.given.atomic_numbers
        return Crystals.single(lattice, numbers, positions @ np.linalg.inv(lattice))


def resting(
    positions: Float64[np.ndarray, "atoms 3"],
    lattice: Float64[np.ndarray, "k 3 3"],
    jacobian: Float64[np.ndarray, " k"],
) -> Descent:
    """The state of k crystals before the first evaluation."""
    k, n = len(lattice), len(positions)

    def rows(*ahead: int) -> Rows:
        atoms, cells = np.zeros((*ahead, n, 3)), np.zeros((*ahead, k, 3, 3))
        return Rows(atoms.astype(np.float32), cells.astype(np.float32))

    ones = np.ones(k, np.float32)
    return Descent(
        positions=positions,
        lattice=lattice,
        energy=0 * ones,
        force=rows(),
        stress=rows().cells,
        fmax=np.inf * ones,
        step=rows(),
        steps=rows(HISTORY),
        changes=rows(HISTORY),
        weight=np.zeros((HISTORY, k), np.float32),
        trust=ones,
        haste=ones,
        jacobian=jacobian,
        calls=np.zeros(k, np.int32),
        active=np.ones(k, bool),
    )


def find_pairs(lanes: Sequence[Lane], reach: float) -> None:
    """Neighbours of each lane within the reach (Å) of where it goes next."""
    crystals = [lane.next_crystal() for lane in lanes]
    found = neighbors(Crystals.concatenate(crystals), reach)
    ends = np.cumsum([0, *(lane.n_atoms for lane in lanes)])
    cuts = np.searchsorted(found.receivers, ends)
    for lane, crystal, first, (a, b) in zip(
        lanes, crystals, ends, itertools.pairwise(cuts), strict=False
    ):
        own = Neighbors(
            found.receivers[a:b] - first,
            found.senders[a:b] - first,
            found.distances[a:b],
            found.shifts[a:b],
        )
        lane.pairs = Pairs(own, crystal, int(rows_of(own, lane.n_atoms).sum()))


def shape_of(lanes: Sequence[Lane]) -> Shape:
    """What the lanes need; one atom and one crystal more, so that padding has its own."""
    return Shape(
        sum(lane.n_atoms for lane in lanes) + 1,
        sum(lane.rows for lane in lanes),
        len(lanes) + 1,
    )


def to_device(lanes: Sequence[Lane], shape: Shape) -> tuple[AtomBatch, Descent]:
    """A batch with the lanes' neighbours, and where each lane stands; padding does not move."""
    pairs = [lane.pairs for lane in lanes if lane.pairs is not None]
    starts = np.cumsum([0, *(lane.n_atoms for lane in lanes[:-1])])
    found = Neighbors(
        np.concatenate([p.found.receivers + s for p, s in zip(pairs, starts, strict=True)]),
        np.concatenate([p.found.senders + s for p, s in zip(pairs, starts, strict=True)]),
        np.concatenate([p.found.distances for p in pairs]),
        np.concatenate([p.found.shifts for p in pairs]),
    )
    crystals = Crystals.concatenate([p.crystal for p in pairs])
    batch = pack(crystals, found, shape=shape)
    spare_atoms, spare = shape.atoms - len(crystals.frac_coords), shape.crystals - len(lanes)
    padding = resting(np.zeros((spare_atoms, 3)), np.tile(np.eye(3), (spare, 1, 1)), np.ones(spare))
    states = [*(lane.state for lane in lanes), padding._replace(active=np.zeros(spare, bool))]
    return batch, jax.tree.map(_joined, AXES, *states)


def from_device(lanes: Sequence[Lane], state: Descent, serves: Bool[Array, " crystals"]) -> None:
    """Bring the lanes to where the device left them.

    Args:
        lanes: of the batch, in order.
        state: what ``descend`` came to.
        serves: where the neighbours still serve for the next step.
    """
    ends = np.cumsum([lane.n_atoms for lane in lanes])
    whole, tree = jax.tree.flatten(state)
    parts = [
        np.split(np.asarray(array), ends if axis == ATOMS else range(1, len(lanes) + 1), axis)
        for array, axis in zip(whole, jax.tree.leaves(AXES), strict=True)
    ]
    for lane, own, still in zip(lanes, zip(*parts, strict=True), np.asarray(serves), strict=False):
        before, now = lane.state, jax.tree.unflatten(tree, own)
        lane.state = now._replace(
            positions=_unless_same(before.positions, now.positions),
            lattice=_unless_same(before.lattice, now.lattice),
            jacobian=before.jacobian,
        )
        if not still:
            lane.pairs = None
        if lane.invariance is not None:
            _keep_symmetric(lane, lane.invariance)


def _keep_symmetric(lane: Lane, invariance: Invariance) -> None:
    """Remove what rounding has added to a symmetric crystal and its next step."""
    lattice, frac_coords = invariance.crystal(lane.state.lattice[0], lane.frac_coords)
    atoms, cell = (np.asarray(rows, np.float64) for rows in lane.state.step)
    atoms, strain = invariance.step(lattice, atoms, cell[0])
    lane.state = lane.state._replace(
        positions=frac_coords @ lattice,
        lattice=lattice[None],
        step=Rows(atoms.astype(np.float32), strain[None].astype(np.float32)),
    )


def _joined(axis: int, *parts: Shaped[np.ndarray, ...]) -> Array:
    """Arrays one after the other on the device, floats in single precision."""
    whole = np.concatenate(parts, axis)
    return jnp.asarray(whole.astype(np.float32) if whole.dtype == np.float64 else whole)


def _unless_same(
    old: Float64[np.ndarray, "*rows"], new: Float[np.ndarray, "*rows"]
) -> Float64[np.ndarray, "*rows"]:
    """The new numbers; the old ones, which have more digits, where they have not changed."""
    return np.where(old.astype(np.float32) == new, old, new.astype(np.float64))

"""Lanes: the crystals of a batched relaxation on the host, packed for the device and back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Float64

from gnomon.crystals import Crystals
from gnomon.dynamics.descent import HISTORY, Descent, Rows, on_device
from gnomon.dynamics.invariance import Invariance
from gnomon.potential.batch import ROW, AtomBatch, Shape, pack
from gnomon.structure.neighbors import Neighbors, neighbors


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
        positions, lattice: Å, of its lowest point so far.
        force, step: eV/Å and Å; of each atom and, in three more rows, of the cell.
        steps, changes, weight: what L-BFGS remembers (``Descent``).
        seconds: its share of the wall time so far.
        counted: without calls that compiled, which do not count towards its limit.
    """

    index: int
    given: Crystals
    positions: Float64[np.ndarray, "atoms 3"]
    lattice: Float64[np.ndarray, "3 3"]
    jacobian: float
    force: Float[np.ndarray, "rows 3"]
    step: Float[np.ndarray, "rows 3"]
    steps: Float[np.ndarray, "m rows 3"]
    changes: Float[np.ndarray, "m rows 3"]
    weight: Float[np.ndarray, " m"]
    invariance: Invariance | None = None
    energy: float = 0.0
    fmax: float = np.inf
    trust: float = 1.0
    haste: float = 1.0
    calls: int = 0
    active: bool = True
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
        n = len(frac_coords)
        return cls(
            index=index,
            given=given,
            positions=frac_coords @ lattice,
            lattice=np.array(lattice),
            jacobian=float(given.volumes[0] ** (1 / 3) * n ** (1 / 6)),
            force=np.zeros((n + 3, 3), np.float32),
            step=np.zeros((n + 3, 3), np.float32),
            steps=np.zeros((HISTORY, n + 3, 3), np.float32),
            changes=np.zeros((HISTORY, n + 3, 3), np.float32),
            weight=np.zeros(HISTORY, np.float32),
            invariance=invariance,
        )

    @property
    def n_atoms(self) -> int:
        """Atoms of the cell."""
        return len(self.positions)

    @property
    def rows(self) -> int:
        """Of its neighbours, as far as they are known."""
        return self.pairs.rows if self.pairs is not None else 0

    @property
    def growth(self) -> float:
        """Volume over that of the crystal as given."""
        return float(abs(np.linalg.det(self.lattice)) / self.given.volumes[0])

    @property
    def moved(self) -> bool:
        """Whether it has left where it was given."""
        return self.calls > 1 or self.invariance is not None

    def next_crystal(self) -> Crystals:
        """The crystal after its step, as the device will see it; coordinates not wrapped.

        Raises:
            ValueError: if a number is not finite or the cell is flat.
        """
        strain = self.step[-3:].astype(np.float64) / self.jacobian
        stretch = np.eye(3) + strain + 0.5 * strain @ strain
        positions = (self.positions + self.step[:-3]) @ stretch
        lattice = self.lattice @ stretch
        numbers = self.given.atomic_numbers
        return Crystals.single(lattice, numbers, positions @ np.linalg.inv(lattice))


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
        degree = np.bincount(own.receivers, minlength=lane.n_atoms)
        lane.pairs = Pairs(own, crystal, int((-(-degree // ROW)).sum()))


def shape_of(lanes: Sequence[Lane]) -> Shape:
    """What the lanes need; one atom and one crystal more, so that padding has its own."""
    return Shape(
        sum(lane.n_atoms for lane in lanes) + 1,
        sum(lane.rows for lane in lanes),
        len(lanes) + 1,
    )


def to_device(lanes: Sequence[Lane], reach: float, shape: Shape) -> tuple[AtomBatch, Descent]:
    """A batch with the lanes' neighbours, and where each lane stands."""
    pairs = [lane.pairs for lane in lanes if lane.pairs is not None]
    starts = np.cumsum([0, *(lane.n_atoms for lane in lanes[:-1])])
    found = Neighbors(
        np.concatenate([p.found.receivers + s for p, s in zip(pairs, starts, strict=True)]),
        np.concatenate([p.found.senders + s for p, s in zip(pairs, starts, strict=True)]),
        np.concatenate([p.found.distances for p in pairs]),
        np.concatenate([p.found.shifts for p in pairs]),
    )
    crystals = Crystals.concatenate([p.crystal for p in pairs])
    batch = pack(crystals, reach, found=found, shape=shape)

    def each(values: Sequence[float], fill: float) -> Float[Array, " crystals"]:
        padded = np.full(shape.crystals, fill, np.float32)
        padded[: len(values)] = values
        return on_device(padded)

    lattice = np.tile(np.eye(3, dtype=np.float32), (shape.crystals, 1, 1))
    lattice[: len(lanes)] = [lane.lattice for lane in lanes]
    positions = np.zeros((shape.atoms, 3), np.float32)
    positions[: shape_of(lanes).atoms - 1] = np.concatenate([lane.positions for lane in lanes])
    weight = np.zeros((HISTORY, shape.crystals), np.float32)
    weight[:, : len(lanes)] = np.stack([lane.weight for lane in lanes], axis=1)
    calls = np.zeros(shape.crystals, np.int32)
    calls[: len(lanes)] = [lane.calls for lane in lanes]
    return batch, Descent(
        positions=on_device(positions),
        lattice=on_device(lattice),
        energy=each([lane.energy for lane in lanes], 0.0),
        force=_rows([lane.force for lane in lanes], shape),
        fmax=each([lane.fmax for lane in lanes], 0.0),
        step=_rows([lane.step for lane in lanes], shape),
        steps=_rows([lane.steps for lane in lanes], shape),
        changes=_rows([lane.changes for lane in lanes], shape),
        weight=on_device(weight),
        trust=each([lane.trust for lane in lanes], 1.0),
        haste=each([lane.haste for lane in lanes], 1.0),
        jacobian=each([lane.jacobian for lane in lanes], 1.0),
        calls=on_device(calls),
        active=on_device(np.arange(shape.crystals) < len(lanes)),
    )


def from_device(lanes: Sequence[Lane], state: Descent, serves: Bool[Array, " crystals"]) -> None:
    """Bring the lanes to where the device left them.

    Args:
        lanes: of the batch, in order.
        state: what ``descend`` came to.
        serves: where the neighbours still serve for the next step.
    """
    positions, lattice = np.asarray(state.positions), np.asarray(state.lattice)
    kept = [_on_host(rows) for rows in (state.force, state.step, state.steps, state.changes)]
    weight, energy, fmax = (np.asarray(a) for a in (state.weight, state.energy, state.fmax))
    trust, haste = np.asarray(state.trust), np.asarray(state.haste)
    calls, active = np.asarray(state.calls), np.asarray(state.active)
    still = np.asarray(serves)
    start = 0
    for i, lane in enumerate(lanes):
        atoms = slice(start, start + lane.n_atoms)
        start = atoms.stop

        lane.positions = _unless_same(lane.positions, positions[atoms])
        lane.lattice = _unless_same(lane.lattice, lattice[i])
        lane.force, lane.step, lane.steps, lane.changes = (
            np.concatenate([on_atoms[..., atoms, :], on_cells[..., i, :, :]], axis=-2)
            for on_atoms, on_cells in kept
        )
        lane.weight = weight[:, i]
        lane.energy, lane.fmax = float(energy[i]), float(fmax[i])
        lane.trust, lane.haste = float(trust[i]), float(haste[i])
        lane.calls, lane.active = int(calls[i]), bool(active[i])
        if not still[i]:
            lane.pairs = None
        if lane.invariance is not None:
            _keep_symmetric(lane, lane.invariance)


def _keep_symmetric(lane: Lane, invariance: Invariance) -> None:
    """Remove what rounding has added to a symmetric crystal and its next step."""
    frac_coords = lane.positions @ np.linalg.inv(lane.lattice)
    lane.lattice, frac_coords = invariance.crystal(lane.lattice, frac_coords)
    lane.positions = frac_coords @ lane.lattice
    rows = lane.step.astype(np.float64)
    lane.step = np.concatenate(invariance.step(lane.lattice, rows[:-3], rows[-3:])).astype(
        np.float32
    )


def _rows(rows: Sequence[Float[np.ndarray, "*m _ 3"]], shape: Shape) -> Rows:
    """Rows of several lanes, those of the cells apart, padded with zeros."""
    ahead = rows[0].shape[:-2]
    atoms = np.zeros((*ahead, shape.atoms, 3), np.float32)
    cells = np.zeros((*ahead, shape.crystals, 3, 3), np.float32)
    real = np.concatenate([r[..., :-3, :] for r in rows], axis=-2)
    atoms[..., : real.shape[-2], :] = real
    cells[..., : len(rows), :, :] = np.stack([r[..., -3:, :] for r in rows], axis=-3)
    return Rows(on_device(atoms), on_device(cells))


def _on_host(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(rows.atoms), np.asarray(rows.cells)


def _unless_same(
    old: Float64[np.ndarray, "rows 3"], new: Float[np.ndarray, "rows 3"]
) -> Float64[np.ndarray, "rows 3"]:
    """The new numbers; the old ones, which have more digits, where they have not changed."""
    return np.where(old.astype(np.float32) == new, old, new.astype(np.float64))

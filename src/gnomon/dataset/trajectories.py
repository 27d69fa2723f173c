"""Partial relaxations whose steps are labels: FIRE on many crystals at once, cells included.

A label is computed at every step in any case, so a few of each trajectory are kept: the far start,
some on the way, the last.  Relaxations whose end matters belong to ``gnomon.evaluate``.
FIRE: Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006), with ASE's parameters.  The cell moves as
a deformation gradient D, positions being kept in the undeformed frame: Tadmor et al., Phys. Rev. B
59, 235 (1999), as in ASE's ``UnitCellFilter``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gnomon.crystals import Crystals, ragged_take
from gnomon.dataset.labellers import Labeller, Labels, judge, largest_forces

TIME_STEP, MAX_TIME_STEP, MAX_STEP = 0.1, 1.0, 0.2  # ASE's; MAX_STEP in Å over all coordinates
DELAY, FASTER, SLOWER, MIXING, LESS_MIXING = 5, 1.1, 0.5, 0.1, 0.99
MAX_VOLUME_FACTOR = 2.5
"""A cell that grows or shrinks beyond this factor has left the crystal that it was."""


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Frames of several relaxations, in the order of the steps.

    Attributes:
        crystals: their geometries.
        labels: aligned with them; unusable ones have a reason.
        start: (k,), index of the crystal that each trajectory started from.
        step: (k,), 0 for the start itself.
    """

    crystals: Crystals
    labels: Labels
    start: Int64[np.ndarray, " k"]
    step: Int64[np.ndarray, " k"]


class _Step(NamedTuple):
    """What was labelled at one step, and which of the given crystals it was."""

    active: Int64[np.ndarray, " a"]
    crystals: Crystals
    labels: Labels


def relax_partially(
    crystals: Crystals, labeller: Labeller, *, steps: int, frames: int, fmax: float
) -> Trajectories:
    """Relax positions and cells for up to ``steps`` steps; keep up to ``frames`` of each way.

    A crystal leaves when its forces fall below ``fmax`` (eV/Å; the cell's too), when its labels are
    unusable (that frame is its last, with the reason) or when its volume runs away.

    Args:
        crystals: the unrelaxed starts.
        labeller: what moves and labels them.
        steps: steps of FIRE; 0 labels the starts alone.
        frames: frames kept of each crystal: the first, the last, and evenly between.
        fmax: force below which a crystal counts as relaxed, eV/Å.
    """
    state = _State.begin(crystals)
    active = np.arange(len(crystals))
    taken = np.zeros(len(crystals), np.int64)
    history: list[_Step] = []
    for step in range(steps + 1):
        now = state.crystals() if step else crystals  # the start, to the last bit
        labels = labeller.label(now)
        history.append(_Step(active, now, labels))
        taken[active] = step + 1
        reasons = judge(now, labels)
        usable = np.flatnonzero(reasons == "")
        if step == steps or not len(usable):
            break
        state, atoms = state.take(usable)
        state, keep = state.moved(labels.forces[atoms], labels.stress[usable], fmax)
        active = active[usable][keep]
        state, _ = state.take(np.flatnonzero(keep))
        if not len(active):
            break
    return _kept(history, taken, frames)


def _kept(
    history: list[_Step],
    taken: Int64[np.ndarray, " n"],
    frames: int,
) -> Trajectories:
    """The chosen frames: evenly spaced over what each crystal went through."""
    wanted = np.zeros((len(taken), len(history)), bool)
    for share in np.linspace(0, 1, frames) if frames > 1 else [0.0]:
        wanted[np.arange(len(taken)), np.rint(share * (taken - 1)).astype(np.int64)] = True
    crystals, labels, starts, numbers = [], [], [], []
    for step, (active, now, found) in enumerate(history):
        chosen = np.flatnonzero(wanted[active, step])
        atoms, _ = ragged_take(now.offsets, chosen)
        crystals.append(now.take(chosen))
        labels.append((found.energy[chosen], found.forces[atoms], found.stress[chosen]))
        starts.append(active[chosen])
        numbers.append((np.full(len(chosen), step), found.reasons[chosen]))
    energy, forces, stress = (np.concatenate(column) for column in zip(*labels, strict=True))
    step_of, reasons = (np.concatenate(column) for column in zip(*numbers, strict=True))
    return Trajectories(
        Crystals.concatenate(crystals),
        Labels(energy, forces, stress, reasons),
        np.concatenate(starts),
        step_of,
    )


@dataclass(frozen=True, eq=False)
class _State:
    """FIRE's state of n crystals: each has its own time step, mixing and count of good steps."""

    first: Crystals  # with the undeformed cells
    x: Float64[np.ndarray, "atoms 3"]  # positions in the undeformed frame, Å
    d: Float64[np.ndarray, "n 3 3"]  # deformation gradient; lattice = first.lattice @ d.T
    v_x: Float64[np.ndarray, "atoms 3"]
    v_d: Float64[np.ndarray, "n 3 3"]
    dt: Float64[np.ndarray, " n"]
    mixing: Float64[np.ndarray, " n"]
    good: Int64[np.ndarray, " n"]

    @classmethod
    def begin(cls, crystals: Crystals) -> _State:
        n, x = len(crystals), crystals.cart_coords
        return cls(
            crystals,
            x,
            np.tile(np.eye(3), (n, 1, 1)),
            np.zeros_like(x),
            np.zeros((n, 3, 3)),
            np.full(n, TIME_STEP),
            np.full(n, MIXING),
            np.zeros(n, np.int64),
        )

    def take(self, index: Int64[np.ndarray, " k"]) -> tuple[_State, Int64[np.ndarray, " atoms_k"]]:
        """The state of these crystals, and which atoms were theirs."""
        atoms, _ = ragged_take(self.first.offsets, index)
        rows = (self.dt[index], self.mixing[index], self.good[index])
        taken = _State(
            self.first.take(index),
            self.x[atoms],
            self.d[index],
            self.v_x[atoms],
            self.v_d[index],
            *rows,
        )
        return taken, atoms

    def crystals(self) -> Crystals:
        """The crystals as they are now."""
        inverse = np.linalg.inv(self.first.lattice)[self.first.crystal_index]
        frac = np.einsum("ai,aij->aj", self.x, inverse)
        lattice = self.first.lattice @ self.d.transpose(0, 2, 1)
        return self.first.with_lattice(lattice).with_frac_coords(frac)

    def moved(
        self,
        forces: Float64[np.ndarray, "atoms 3"],
        stress: Float64[np.ndarray, "n 3 3"],
        fmax: float,
    ) -> tuple[_State, Bool[np.ndarray, " n"]]:
        """The state a step later, and which crystals still have a way to go."""
        crystal, n = self.first.crystal_index, self.first.n_atoms[:, None, None]
        volume = self.first.volumes * np.linalg.det(self.d)
        # the cell's coordinate is n d, as in ASE: its steps and forces then weigh as an atom's
        f_d = -volume[:, None, None] * stress @ np.linalg.inv(self.d).transpose(0, 2, 1) / n
        f_x = np.einsum("ai,aij->aj", forces, self.d[crystal])
        cell_force = np.linalg.norm(f_d, axis=2).max(axis=1, initial=0)
        relaxed = np.maximum(largest_forces(self.first, f_x), cell_force) < fmax

        def dot(a_x: np.ndarray, a_d: np.ndarray, b_x: np.ndarray, b_d: np.ndarray) -> np.ndarray:
            of_atoms = np.bincount(crystal, weights=(a_x * b_x).sum(axis=1), minlength=len(self.d))
            return of_atoms + (a_d * b_d).sum(axis=(1, 2))

        downhill = dot(f_x, f_d, self.v_x, self.v_d) > 0
        speed = np.sqrt(dot(self.v_x, self.v_d, self.v_x, self.v_d))
        force = np.sqrt(dot(f_x, f_d, f_x, f_d)) + 1e-300
        keep, turn = (1 - self.mixing) * downhill, self.mixing * speed / force * downhill
        settled = downhill & (self.good > DELAY)
        dt = np.where(settled, np.minimum(self.dt * FASTER, MAX_TIME_STEP), self.dt)
        # a crystal at rest has not gone uphill: its first step is not shortened
        dt = np.where(downhill | (speed == 0), dt, dt * SLOWER)
        v_x = keep[crystal, None] * self.v_x + (turn + dt)[crystal, None] * f_x
        v_d = keep[:, None, None] * self.v_d + (turn + dt)[:, None, None] * f_d
        length = dt * np.sqrt(dot(v_x, v_d, v_x, v_d)) + 1e-300
        reach = dt * np.minimum(1.0, MAX_STEP / length)
        d = self.d + reach[:, None, None] * v_d / n
        growth = np.linalg.det(d)
        whole = (growth < MAX_VOLUME_FACTOR) & (growth > 1 / MAX_VOLUME_FACTOR)
        state = _State(
            self.first,
            self.x + reach[crystal, None] * v_x,
            d,
            v_x,
            v_d,
            dt,
            np.where(downhill, np.where(settled, self.mixing * LESS_MIXING, self.mixing), MIXING),
            np.where(downhill, self.good + 1, 0),
        )
        return state, ~relaxed & whole

"""Molecular dynamics of many crystals at once with one potential, that goes on after a kill.

Crystals share batches; neighbours are found anew when an atom of one of them has moved by half the
skin.  What becomes of a crystal does not depend on those beside it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import units
from ase.data import atomic_masses
from jaxtyping import Bool, Float64

from gnomon.crystals import Crystals
from gnomon.dynamics.md import HOT, Ensemble, MDConfig
from gnomon.dynamics.motion import LINKS, Laws, Motion, advance
from gnomon.dynamics.trajectory import Trajectory
from gnomon.potential.batch import AtomBatch, Shape, needed, pack, padded
from gnomon.potential.calculator import HEADROOM
from gnomon.potential.predict import LoadedPotential
from gnomon.run.claim import claim
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.neighbors import neighbors

SKIN = 0.3
"""Å; neighbours are found so far beyond the cutoff."""

WIDEST = 2.0
"""Å; skin in which an atom that moves out of it in one step has come apart."""

ROWS = 16
"""Rows of a batch come in so many, so that few shapes come up."""


def simulate(
    crystals: Crystals,
    potential: LoadedPotential,
    config: MDConfig,
    folder: Path,
    *,
    capacity: Shape | None = None,
    skin: float = SKIN,
    listener: Listener = SILENT,
) -> Iterator[Trajectory]:
    """Molecular dynamics of crystals; yields their trajectories in order.

    Args:
        crystals: what moves; supercells, as a cell sees its own images.
        potential: what draws the atoms.
        config: the run, without a barostat.  Velocities are drawn from its seed and the crystal.
        folder: of trajectories, ``ID.parquet`` each, written at every frame; the same request goes
            on with those that are there, or takes them as they are.
        capacity: size of a batch (by default the potential's own); a single crystal may exceed it.
        skin: Å.
        listener: hears of progress.

    Raises:
        ClaimError: if the folder holds trajectories of other settings or another potential.
        ValueError: for ``npt``.
    """
    if config.ensemble is Ensemble.NPT:
        raise ValueError("npt is not for many crystals at once: choose nve or an nvt ensemble")
    request = {**config.model_dump(mode="json", exclude={"steps"}), "potential": potential.scheme}
    claim(folder, request)
    capacity = capacity or potential.capacity
    work = _Work(potential, config, folder, capacity, skin, listener)
    started = [work.opened(crystal) for crystal in crystals]
    for group in _groups(started, potential.cutoff + skin, capacity):
        work.run([one for one in group if not one.message])
        yield from group


def _groups(
    trajectories: Sequence[Trajectory], reach: float, capacity: Shape
) -> Iterator[list[Trajectory]]:
    """Runs of trajectories that fit into a batch, by an estimate of their rows."""
    group: list[Trajectory] = []
    filled = np.zeros(3)
    for one in trajectories:
        n = len(one.velocities)
        near = n * 4 / 3 * math.pi * reach**3 / float(one.crystal.volumes[0])
        size = np.array([n, n * math.ceil(near / 16), 1])
        if group and (filled + size > capacity).any():
            yield group
            group, filled = [], np.zeros(3)
        group.append(one)
        filled += size
    if group:
        yield group


@dataclass(eq=False)
class _Work:
    """What all groups share."""

    potential: LoadedPotential
    config: MDConfig
    folder: Path
    capacity: Shape
    skin: float
    listener: Listener

    def opened(self, crystal: Crystals) -> Trajectory:
        """The trajectory as far as it has come."""
        path = self._path(crystal)
        if path.exists():
            return Trajectory.load(path, crystal)
        numbers = crystal.atomic_numbers
        found = Trajectory(crystal, drawn(crystal, self.config))
        if foreign := self.potential.foreign(numbers):
            found.message = f"{self.potential.name} does not know {foreign}"
        return found

    def run(self, group: Sequence[Trajectory]) -> None:
        """Let all of a group come to the last step, frame by frame."""
        lanes = [_Lane(one) for one in group]
        batch = _Batch(self, lanes)
        if fresh := [lane for lane in lanes if not lane.trajectory.steps]:
            batch.advance(fresh, 0)
            self._record(fresh)
        last = self.config.steps
        while left := [lane for lane in lanes if lane.step < last and not lane.message]:
            earliest = min(lane.step for lane in left)
            goal = min(last, (earliest // self.config.interval + 1) * self.config.interval)
            moving = [lane for lane in left if lane.step == earliest]
            batch.advance(moving, goal)
            self._record(moving)
            self.listener.tick("molecular dynamics", goal, last)

    def _record(self, lanes: Sequence[_Lane]) -> None:
        for lane in lanes:
            lane.record()
            lane.trajectory.save(self._path(lane.trajectory.crystal))

    def _path(self, crystal: Crystals) -> Path:
        return self.folder / f"{crystal.ids[0]}.parquet"


@dataclass(eq=False)
class _Lane:
    """A crystal in motion; positions in double precision."""

    trajectory: Trajectory

    def __post_init__(self) -> None:
        self.crystal, one = self.trajectory.crystal, self.trajectory
        n = len(one.velocities)
        self.positions = one.frames[-1] if one.frames else np.array(self.crystal.cart_coords)
        self.velocities, self.rates = one.velocities, one.rates
        self.forces = np.zeros((n, 3), np.float32) if one.forces is None else one.forces
        self.energy = one.energies[-1] if one.energies else math.nan
        self.step = one.steps[-1] if one.steps else 0
        self.message = one.message
        self.masses = atomic_masses[self.crystal.atomic_numbers]

    @property
    def temperature(self) -> float:
        """K."""
        twice = (self.masses[:, None] * self.velocities.astype(np.float64) ** 2).sum()
        return float(twice / (3 * len(self.masses) * units.kB))

    def placed(self) -> Crystals:
        """The crystal as it is now, wrapped."""
        lattice = self.crystal.lattice[0]
        frac_coords = self.positions @ np.linalg.inv(lattice)
        return Crystals.single(lattice, self.crystal.atomic_numbers, frac_coords).wrap()

    def record(self) -> None:
        """A frame of where it is; where it came apart, only that."""
        one = self.trajectory
        one.message = self.message
        one.velocities, one.forces, one.rates = self.velocities, self.forces, self.rates
        if self.message and one.steps:
            one.frames[-1], one.steps[-1] = self.positions, self.step
            one.energies[-1], one.temperatures[-1] = self.energy, self.temperature
            return
        one.steps.append(self.step)
        one.energies.append(self.energy)
        one.temperatures.append(self.temperature)
        one.frames.append(self.positions)


class _Batch:
    """The lanes of a group, and the shape that has served so far."""

    def __init__(self, work: _Work, lanes: Sequence[_Lane]) -> None:
        self.work, self.lanes, self.shape = work, lanes, Shape(0, 0, 0)

    def advance(self, moving: Sequence[_Lane], goal: int) -> None:
        """Let some of them come to a step (they are all at one), or, at 0, find their forces."""
        wanted, skin = set(map(id, moving)), self.work.skin
        steps = 1 if goal == 0 else goal - moving[0].step
        while steps > 0 and wanted:
            batch = self._listed(skin)
            active = np.array([id(lane) in wanted for lane in self.lanes])
            before = [lane.step for lane in moving]
            laws = self._laws(goal > 0, steps, skin)
            ensemble = self.work.config.ensemble
            motion, serves = advance(
                self.work.potential.potential, batch, self._motion(active), laws, ensemble
            )
            self._back(jax.tree.map(np.asarray, motion), active)
            wanted &= {id(lane) for lane in self.lanes if not lane.message}
            taken = max(lane.step - b for lane, b in zip(moving, before, strict=True))
            steps -= 1 if goal == 0 else taken
            skin = self.work.skin
            if goal and not taken and wanted:
                skin = self._wider(laws, np.asarray(serves), wanted)

    def _wider(self, laws: Laws, serves: Bool[np.ndarray, " crystals"], wanted: set[int]) -> float:
        """A skin for a step that goes farther than this one; who leaves the widest is out."""
        skin = 2 * float(laws.skin)
        if skin > WIDEST:
            for lane, still in zip(self.lanes, serves, strict=False):
                if not still:
                    lane.message = came_apart(
                        lane.step + 1, f"an atom moves {WIDEST / 2:g} Å at once"
                    )
                    wanted.discard(id(lane))
            skin = self.work.skin
        return skin

    def _listed(self, skin: float) -> AtomBatch:
        """A batch with the neighbours of now, in the shape from before if that still fits."""
        crystals = Crystals.concatenate([lane.placed() for lane in self.lanes])
        found = neighbors(crystals, self.work.potential.cutoff + skin)
        least = needed(crystals, found)
        least = Shape(least.atoms + 1, least.rows, least.crystals + 1)
        if not self.shape.covers(least):
            rows = ROWS * math.ceil(HEADROOM * least.rows / ROWS)
            self.shape = least._replace(rows=rows)
        return pack(crystals, found, shape=self.shape)

    def _laws(self, moves: bool, steps: int, skin: float) -> Laws:
        config = self.work.config
        masses = np.concatenate([lane.masses for lane in self.lanes])
        seeds = [noise_seeds(lane.crystal, config) for lane in self.lanes]
        return Laws(
            timestep=np.float32(config.timestep * units.fs * moves),
            thermal=np.float32(config.temperature * units.kB),
            time=np.float32(config.thermostat_time * units.fs),
            hottest=np.float32(1.5 * units.kB * HOT),
            skin=np.float32(skin),
            steps=np.int32(steps),
            masses=padded(masses.astype(np.float32), self.shape.atoms, 1),
            seeds=padded(np.concatenate(seeds), self.shape.atoms, 0),
        )

    def _motion(self, active: Bool[np.ndarray, " lanes"]) -> Motion:
        atoms, crystals = self.shape.atoms, self.shape.crystals
        count = len(self.lanes)
        return Motion(
            moved=jnp.zeros((atoms, 3), jnp.float32),
            velocities=padded(np.concatenate([x.velocities for x in self.lanes]), atoms, 0),
            forces=padded(np.concatenate([x.forces for x in self.lanes]), atoms, 0),
            energy=padded(np.array([x.energy for x in self.lanes], np.float32), crystals, 0),
            rates=padded(np.array([x.rates for x in self.lanes]), crystals, 0),
            step=padded(np.array([x.step for x in self.lanes], np.int32), crystals, 0),
            active=np.concatenate([active, np.zeros(crystals - count, bool)]),
        )

    def _back(self, motion: Motion, active: Bool[np.ndarray, " lanes"]) -> None:
        """Bring the lanes to where the device left them."""
        ends = np.cumsum([0, *(len(lane.masses) for lane in self.lanes)])
        for i, (lane, (a, b)) in enumerate(zip(self.lanes, itertools.pairwise(ends), strict=True)):
            if not active[i]:
                continue
            lane.positions = lane.positions + motion.moved[a:b].astype(np.float64)
            lane.velocities, lane.forces = motion.velocities[a:b], motion.forces[a:b]
            lane.energy, lane.rates = float(motion.energy[i]), motion.rates[i]
            lane.step = int(motion.step[i])
            if not motion.active[i]:
                lane.message = came_apart(lane.step + 1, f"from {lane.temperature:.3g} K")


def came_apart(step: int, how: str) -> str:
    """What is said of a crystal that exploded."""
    hint = "take a smaller timestep, or relax the structure first"
    return f"exploded in step {step} ({how}): {hint}"


def drawn(crystal: Crystals, config: MDConfig) -> Any:
    """Velocities of the temperature, whose centre of mass rests, in ASE's units, single precision.

    Args:
        crystal: one.
        config: temperature and seed.
    """
    masses = atomic_masses[crystal.atomic_numbers][:, None]
    rng = np.random.default_rng([config.seed, int(str(crystal.ids[0])[:12], 16)])
    found: Float64[np.ndarray, "atoms 3"] = rng.normal(size=(len(masses), 3))
    found = found * np.sqrt(units.kB * config.temperature / masses)
    if len(masses) > 1:
        found = found - (masses * found).sum(axis=0) / masses.sum()
    return found.astype(np.float32)


def noise_seeds(crystal: Crystals, config: MDConfig) -> Any:
    """(atoms,) seeds of the noise of a crystal's atoms, 32 bits."""
    rng = np.random.default_rng([config.seed, int(str(crystal.ids[0])[:12], 16), LINKS])
    return rng.integers(0, 2**32, len(crystal.atomic_numbers), dtype=np.uint32)

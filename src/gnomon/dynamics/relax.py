"""Batched relaxation: positions and cells of many crystals at once with one potential.

Crystals share batches of one size.  Those that are done leave, and the next ones enter, so that
the batch stays full; neighbours are found anew only where atoms have moved too far.  The optimizer
is L-BFGS on the device (``descent.py``).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import jax
import numpy as np

from gnomon.crystals import Crystals
from gnomon.dynamics.descent import Limits, descend
from gnomon.dynamics.invariance import Invariance
from gnomon.dynamics.lanes import Lane, find_pairs, from_device, shape_of, to_device
from gnomon.dynamics.nonsense import MAX_VOLUME_FACTOR, alone, nonsense
from gnomon.dynamics.result import Relaxation, Status
from gnomon.dynamics.settings import RelaxConfig
from gnomon.potential.batch import ROW, Shape
from gnomon.potential.predict import LoadedPotential
from gnomon.structure.neighbors import neighbors

SKIN = 0.2
"""Å; neighbours are found so far beyond the cutoff.

At a cutoff of 6 Å, 0.1, 0.2, 0.5 and 1 Å cost 2, 7, 19 and 45 % more rows; finding neighbours anew
costs 0.4 ms a crystal, less than a hundredth of a step with the published networks on two cores."""

STEPS_AT_ONCE = 8
"""Steps on the device before the host looks at the clock."""

ENDED_SHARE = 8
"""One crystal in so many may end before the host fills its place."""

MAX_ROWS = 1 << 13
"""Rows of neighbours of the largest crystal: 10 GB with the published networks, of which XLA says
that 1,024 rows take 1.27 GB."""

MAX_PAIRS = 10_000_000
"""Pairs of atoms that a search for neighbours of one crystal may look at: about a gigabyte."""

MAX_LENGTH = 1000.0
"""Å; longest lattice vector: single precision then still tells 1e-4 Å."""

ON_TOP = 0.1
"""Å; atoms closer than this are on top of each other."""

NARROW = 256
"""Rows of a batch on a processor, where a row costs the same in one of 64, 256 or 1,024: what a few
late crystals leave empty is less of a small batch."""


Watch = Callable[[int, int, Crystals], None]
"""Hears which crystal has taken how many steps, and its lowest point so far."""


def relax(
    crystals: Crystals,
    potential: LoadedPotential,
    config: RelaxConfig,
    *,
    capacity: Shape | None = None,
    skin: float = SKIN,
    watch: Watch | None = None,
) -> Iterator[Relaxation]:
    """Relax crystals in batches and yield their results in order, each once it is there.

    Later crystals are in work already while earlier ones end.

    Args:
        crystals: what to relax.
        potential: what draws the atoms.
        config: when to stop and what to keep.  ``max_seconds`` is a crystal's share of the wall
            time of its batches, by its rows of neighbours; calls that compile do not count.
        capacity: size of a batch (by default the potential's own, on a processor ``NARROW``).
        skin: Å; none where a crystal is evaluated once.
        watch: hears of every single step, which costs some time.
    """
    if capacity is None:
        narrow = jax.default_backend() == "cpu"
        capacity = potential.holding(NARROW) if narrow else potential.capacity
    work = _Work(crystals, potential, config, capacity, skin, watch)
    for index in range(len(crystals)):
        while index not in work.results:
            work.advance()
        yield work.results.pop(index)


@dataclass(eq=False)
class _Work:
    """Crystals that wait, are in work, and are done."""

    crystals: Crystals
    potential: LoadedPotential
    config: RelaxConfig
    capacity: Shape
    skin: float
    watch: Watch | None
    lanes: list[Lane] = field(default_factory=list)
    results: dict[int, Relaxation] = field(default_factory=dict)
    seen: set[Shape] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.waiting = deque(range(len(self.crystals)))
        self.reach = self.potential.cutoff + self.skin * (self.config.max_steps > 0)

    def advance(self) -> None:
        """Fill the batch, take some steps with it, and take out what is done."""
        self._admit()
        self._find_pairs()
        lanes = self._chosen()
        if not lanes:
            return
        began = time.monotonic()
        shares = np.array([lane.rows + 1 for lane in lanes], dtype=np.float64)
        shape = self.capacity.fitting(shape_of(lanes))
        batch, start = to_device(lanes, shape)
        state, serves = descend(self.potential.potential, batch, start, self._limits(lanes))
        from_device(lanes, state, serves)
        seconds = (time.monotonic() - began) * shares / shares.sum()
        for lane, spent in zip(lanes, seconds, strict=True):
            lane.seconds += float(spent)
            lane.counted += float(spent) if shape in self.seen else 0.0
            if self.watch is not None:
                self.watch(lane.index, lane.calls - 1, lane.lowest())
            self._judge(lane)
        self.seen.add(shape)

    def _admit(self) -> None:
        """Start on crystals until the next batch is full, by an estimate of their rows."""
        sphere = 4 / 3 * np.pi * self.reach**3
        capacity = self.capacity
        rows = sum(lane.rows for lane in self.lanes)
        atoms = sum(lane.n_atoms for lane in self.lanes)
        while (
            self.waiting
            and rows < capacity.rows
            and atoms < capacity.atoms
            and len(self.lanes) < capacity.crystals
        ):
            lane = self._opened(self.waiting.popleft())
            if lane is not None:
                self.lanes.append(lane)
                atoms += lane.n_atoms
                density = lane.n_atoms / float(lane.given.volumes[0])
                rows += int(lane.n_atoms * (sphere * density / ROW + 0.5))

    def _opened(self, index: int) -> Lane | None:
        """A lane for the crystal, or none, and a result that says why."""
        crystal = self.crystals[index]
        wrong = self._unfit(crystal)
        invariance = None
        if not wrong and self.config.symmetry and self.config.max_steps > 0:
            try:
                invariance = Invariance.of(crystal)
            except ValueError as error:
                wrong = str(error)
        if wrong:
            self.results[index] = Relaxation(crystal, Status.INVALID_INPUT, wrong)
            return None
        return Lane.at(index, crystal, invariance)

    def _unfit(self, crystal: Crystals) -> str:
        """Why a crystal cannot be relaxed, or empty."""
        potential = self.potential
        if foreign := potential.foreign(crystal.atomic_numbers):
            return f"{potential.name} does not know {foreign}"
        longest = float(np.linalg.norm(crystal.lattice[0], axis=1).max())
        if longest > MAX_LENGTH:
            return f"a lattice vector of {longest:.0f} Å, more than {MAX_LENGTH:.0f}"
        if (pairs := pairs_expected(crystal, self.reach)) > MAX_PAIRS:
            return f"about {pairs:.1g} pairs of atoms to look at, more than {MAX_PAIRS:.0e}"
        closest = neighbors(crystal, ON_TOP).distances
        if len(closest):
            return f"two atoms on top of each other, {closest.min():.3f} Å apart"
        return ""

    def _find_pairs(self) -> None:
        """Neighbours for all lanes that lack them; a lane that has collapsed ends."""
        ready = []
        for lane in [lane for lane in self.lanes if lane.pairs is None]:
            try:
                expected = pairs_expected(lane.next_crystal(), self.reach)
            except ValueError as error:
                self._end(lane, Status.EXPLODED, str(error))
                continue
            if expected > MAX_PAIRS:
                self._end(lane, Status.EXPLODED, "the cell collapsed")
            else:
                ready.append(lane)
        if ready:
            find_pairs(ready, self.reach)
        for lane in ready:
            if lane.rows > MAX_ROWS:
                status = Status.EXPLODED if lane.calls else Status.INVALID_INPUT
                self._end(
                    lane,
                    status,
                    f"{lane.rows} rows of {ROW} neighbours, more than {MAX_ROWS}: too many atoms, "
                    "or too dense",
                )

    def _chosen(self) -> list[Lane]:
        """Lanes of the next batch, first come, first served; one alone may exceed the capacity."""
        chosen: list[Lane] = []
        for lane in self.lanes:
            if chosen and not self.capacity.covers(shape_of([*chosen, lane])):
                break
            chosen.append(lane)
        return chosen

    def _limits(self, lanes: list[Lane]) -> Limits:
        single = self.watch is not None or any(lane.invariance is not None for lane in lanes)
        return Limits(
            fmax=np.float32(self.config.fmax),
            calls=np.int32(self.config.max_steps + 1),
            steps=np.int32(1 if single else STEPS_AT_ONCE),
            finished=np.int32(max(1, len(lanes) // ENDED_SHARE)),
            cutoff=np.float32(self.potential.cutoff),
            reach=np.float32(self.reach),
            relax_cell=np.float32(self.config.relax_cell),
        )

    def _judge(self, lane: Lane) -> None:
        """End the lane if it has ended."""
        config = self.config
        if not np.isfinite(lane.fmax):
            self._end(lane, Status.EXPLODED, "its energy or a force is not finite")
        elif lane.growth > MAX_VOLUME_FACTOR:
            self._end(lane, Status.EXPLODED)
        elif lane.fmax < config.fmax or config.max_steps == 0:
            self._end(lane, Status.CONVERGED)
        elif lane.calls > config.max_steps:
            self._end(lane, Status.NOT_CONVERGED)
        elif not lane.state.active[0]:
            self._end(lane, Status.EXPLODED, "energies or forces around it are not finite")
        elif lane.counted > config.max_seconds:
            self._end(lane, Status.TIMEOUT)

    def _end(self, lane: Lane, status: Status, message: str = "") -> None:
        """Put the lane's result where it is fetched."""
        state, numbers = lane.state, lane.given.atomic_numbers
        energy = float(state.energy[0]) / lane.n_atoms if np.isfinite(lane.fmax) else np.nan
        if not message:
            volume = float(lane.given.volumes[0])
            message = nonsense(volume, energy, state.lattice[0], numbers, lane.frac_coords)
            status = Status.EXPLODED if message else status
        none = bool(message)
        relaxed = lane.lowest() if lane.moved else self.crystals[lane.index]
        if status is Status.CONVERGED and (message := alone(relaxed, self.potential.cutoff)):
            status = Status.ISOLATED
        self.lanes.remove(lane)
        self.results[lane.index] = Relaxation(
            relaxed,
            status,
            message,
            np.nan if none else energy,
            max(lane.calls - 1, 0),
            lane.fmax if np.isfinite(lane.fmax) else np.nan,
            lane.seconds,
            None if none else state.force.atoms.astype(np.float64),
            None if none else state.stress[0].astype(np.float64),
        )


def pairs_expected(crystal: Crystals, cutoff: float) -> float:
    """Pairs that the search for neighbours of one crystal looks at, at most about."""
    n = int(crystal.n_atoms[0])
    return n**2 * (1 + 4 / 3 * np.pi * cutoff**3 / float(crystal.volumes[0]))

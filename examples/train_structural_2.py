r"""A structural ensemble that has seen unstable crystals: what structural-2 is.

    python examples/train_structural_2.py structures.parquet frames/* --teacher TEACHER.nqx \
        --start structural-1.gnomon --members 10 12 --minutes 50 --seed 1 --out a.gnomon
    ... and once more from --members 11 13 with --seed 2 --out b.gnomon
    gnomon model join a.gnomon b.gnomon --data structures.parquet --out structural-2.gnomon
    gnomon model calibrate structural-2.gnomon structures.parquet --unlike a.unstable.parquet

``structural-1.gnomon`` is the ensemble that ``formation_energies_of_frames.py`` makes; its members
10 to 13 learned relaxed crystals of the Materials Project alone, and say too low an energy of what
is far above the hull.  They go on over those crystals and frames of ``gnomon label`` together.

Energies.  The teacher's are uncorrected PBE(+U) totals.  Its single points of relaxed Materials
Project crystals of up to 12 atoms, 40 of each element where there are so many, with MP2020
corrections, are compared with the Materials Project's formation energies, and energies of the
elements fitted by least squares (twice, the second time without what is 0.2 eV/atom off).  A frame
counts with the energy that it has, at its own geometry.

Rows.  A Materials Project crystal (formula hash below 75) comes three times an epoch; a frame once
if it is near a minimum (rms force below 0.2 eV/Å, pressure within 15 GPa), 0.35 times if it is
less near (1 eV/Å, 60 GPa); 0.4 of that from 0.5 eV/atom above the hull of those crystals, 0.15 from
1 eV/atom.  Compounds of formula hashes 70 to 74 are left out of the frames: those near a minimum,
less than 0.5 eV/atom above the hull and of a formula that ``structures.parquet`` lacks go to
``*.unstable.parquet`` for the intervals.  ``--without`` names files whose formulas are left out.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from formation_energies_of_frames import rms_force

from gnomon.crystals import Crystals
from gnomon.evaluate.corrections import mp2020_correction_per_atom
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, missing_elements
from gnomon.io import from_arrow, to_arrow
from gnomon.io.frames import read_frames
from gnomon.learn.fit import Session, fit
from gnomon.learn.optimize import OptimizerConfig, State, advance_members, initial_state
from gnomon.learn.split import SplitConfig, formula_hashes
from gnomon.models.card import Labelled, Task
from gnomon.models.structural.model import StructuralModel
from gnomon.models.target import Target
from gnomon.potential.predict import load_potential
from gnomon.represent.graphs import batch_size, build_graphs, pack
from gnomon.run.files import sha256_of
from gnomon.run.writing import write_parquet

SCHEME = "Materials Project (PBE and PBE+U, MP2020 corrections)"
GPA = 160.21766
"""In one eV/Å^3."""
OPTIMIZER = OptimizerConfig(
    method="muon",
    batch=192,
    learning_rate=6e-3,
    weight_decay=(0.01, 0.1),
    averaging=0.999,
    warm_up=0.02,
)


class Rows(NamedTuple):
    """Crystals, formation energies (eV/atom) and how often an epoch has each."""

    crystals: Crystals
    energies: np.ndarray
    visits: np.ndarray


class JointConfig(SplitConfig):
    """What is on the card."""

    started_from: str
    of_members: tuple[int, ...]
    optimizer: OptimizerConfig = OPTIMIZER
    minutes: float
    frames: int
    teacher: str
    seed: int


def fractions(crystals: Crystals) -> np.ndarray:
    """Of atoms, by atomic number."""
    return np.asarray(crystals.composition / crystals.n_atoms[:, None])


def element_energies(data: Labelled, teacher: Any) -> np.ndarray:
    """Of the teacher, eV/atom, NaN for elements of no crystal."""
    small = np.flatnonzero(data.crystals.n_atoms <= 12)
    there, counts, chosen = data.crystals.composition > 0, np.zeros(119, int), []
    for i in np.random.default_rng(3).permutation(small):
        if (counts[there[i]] < 40).any():
            counts += there[i]
            chosen.append(i)
    some = data.take(np.array(chosen))
    energies = teacher.predict(some.crystals).energy / some.crystals.n_atoms
    wanted = energies + mp2020_correction_per_atom(some.crystals) - some.values
    x, use = fractions(some.crystals), np.ones(len(wanted), bool)
    for _ in range(2):
        zero = np.linalg.lstsq(x[use], wanted[use], rcond=None)[0]
        use = np.abs(wanted - x @ zero) < 0.2
    return np.where(x.any(axis=0), zero, np.nan)


def of_frames(
    paths: list[str], data: Labelled, zero: np.ndarray, without: set[str]
) -> tuple[Rows, Rows]:
    """Frames that train, and frames for the intervals."""
    frames = read_frames(paths).frames
    crystals, formulas = frames.crystals, frames.crystals.reduced_formulas
    compound = (crystals.composition > 0).sum(axis=1) > 1
    hashes, x = formula_hashes(formulas), fractions(crystals)
    force = rms_force(frames)
    pressure = np.abs(np.trace(frames.stress, axis1=1, axis2=2)) / 3 * GPA
    usable = ~x[:, np.isnan(zero)].any(axis=1) & (~compound | (hashes < 75))
    usable &= ~(compound & np.isin(formulas, list(without)))
    rows = np.flatnonzero(usable & (force < 1.0) & (pressure < 60))
    part = crystals.take(rows)
    energies = frames.energy_per_atom[rows] + mp2020_correction_per_atom(part)
    energies -= x[rows] @ np.nan_to_num(zero)
    held = compound[rows] & (hashes[rows] >= 70)
    near = (force[rows] < 0.2) & (pressure[rows] < 15)
    above = energies - hull_of(data, part)
    visits = np.where(near, 1.0, 0.35) * np.select([above < 0.5, above < 1], [1.0, 0.4], 0.15)
    new = ~np.isin(formulas[rows], data.crystals.reduced_formulas)

    def taken(mask: np.ndarray) -> Rows:
        i = np.flatnonzero(mask & (energies < 3))
        return Rows(part.take(i), energies[i], visits[i])

    return taken(~held), taken(held & new & near & (above < 0.5))


def hull_of(data: Labelled, crystals: Crystals) -> np.ndarray:
    """Energies of the hull of the training crystals, eV/atom."""
    known = Phases(data.crystals.ids, data.crystals.composition, data.values, data.scheme)
    elements = missing_elements(known, crystals.composition)
    return np.asarray(Hull(Phases.concatenate([known, elements])).energy(crystals.composition))


def train(start: StructuralModel, config: JointConfig, rows: Rows, partial: Path) -> Any:
    """Members of an ensemble go on over these rows."""
    first = np.cumsum([0, *(start.target.joined or (start.members,))])
    part = int(np.searchsorted(first, config.of_members[0], "right")) - 1
    target, x = start.target.targets[part], fractions(rows.crystals)
    target = Target(
        target.element_energies, target.seen | x.any(axis=0), target.shift, target.scale
    )
    chosen = np.array(config.of_members)
    networks = jax.tree.map(lambda a: a[chosen] if eqx.is_array(a) else a, start.networks)
    wanted = ((rows.energies - target.of_fractions(x)) / target.scale).astype(np.float32)
    graphs = build_graphs(rows.crystals)
    size = batch_size(graphs, config.optimizer.batch)
    state, static = initial_state(networks, config.optimizer, members=True)

    @eqx.filter_jit
    def step(state: State, batch: Any, rate: Any) -> tuple[State, Any]:
        def loss(params: Any) -> Any:
            batch_of, values = batch
            errors = jnp.abs(eqx.combine(params, static)(batch_of) - values)
            return jnp.sum(jnp.where(batch_of.real, errors, 0)) / jnp.sum(batch_of.real)

        return advance_members(state, rate, config.optimizer, loss)

    def batches(epoch: int, skip: int) -> Iterator[tuple[float, Any]]:
        rng = np.random.default_rng([config.seed, epoch])
        times = np.floor(rows.visits + rng.random(len(wanted))).astype(int)
        order = rng.permutation(np.repeat(np.arange(len(wanted)), times))

        def every() -> Iterator[tuple[float, Any]]:
            done = 0
            for index, batch in pack(graphs, order, size):
                values = np.zeros(len(batch.real), np.float32)
                values[: len(index)] = wanted[index]
                done += len(index)
                yield done / len(order), (batch, jnp.asarray(values))

        return islice(every(), skip, None)

    def told(found: Any) -> None:
        error = 1e3 * target.scale * found.losses
        print(f"{found.place.share:.1%}: {error:.1f} meV/atom", flush=True)

    fitted = fit(
        step,
        batches,
        state,
        config.optimizer,
        Session(partial=partial),
        run=config.model_dump(mode="json"),
        minutes=config.minutes,
        report=told,
    )
    networks = eqx.combine(fitted.state.average, static)
    return StructuralModel(networks, target), fitted.place.seconds


def main() -> None:
    """Everything in one go; the training goes on where it was stopped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("structures", type=Path)
    parser.add_argument("frames", nargs="+", help="folders of `gnomon label`")
    parser.add_argument("--teacher", required=True, help="weights that labelled the frames")
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--members", type=int, nargs="+", default=[10, 12])
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--without", type=Path, nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    table = pq.read_table(given.structures)
    energies = table["formation_energy_per_atom"].to_numpy()
    data = Labelled(from_arrow(table), energies, given.structures.name, SCHEME)
    trains = data.take(formula_hashes(data.crystals.reduced_formulas) < 75)
    teacher = load_potential(given.teacher)
    without = {f for p in given.without for f in pq.read_table(p)["reduced_formula"].to_pylist()}
    frames, held = of_frames(given.frames, trains, element_energies(trains, teacher), without)
    column = pa.array(held.energies)
    write_parquet(
        given.out.with_suffix(".unstable.parquet"),
        to_arrow(held.crystals).append_column("formation_energy_per_atom", column),
    )
    rows = Rows(
        Crystals.concatenate([trains.crystals, frames.crystals]),
        np.concatenate([trains.values, frames.energies]),
        np.concatenate([np.full(len(trains), 3.0), frames.visits]),
    )
    config = JointConfig(
        started_from=sha256_of(given.start),
        of_members=tuple(given.members),
        minutes=given.minutes,
        frames=len(frames.energies),
        teacher=teacher.scheme,
        seed=given.seed,
    )
    start = StructuralModel.load(given.start)
    model, seconds = train(start, config, rows, given.out.with_suffix(".partial"))
    card = Task.of(data, config).card("structural", model.predict(data.crystals), seconds)
    StructuralModel(model.networks, model.target, card).save(given.out, half=True)
    print(card.validation)


if __name__ == "__main__":
    main()

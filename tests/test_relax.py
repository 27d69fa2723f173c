"""Batched relaxation: the minima of ASE, each crystal by itself, no input that harms."""

from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import FIRE
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.dynamics import relax as relaxation
from gnomon.dynamics.descent import Limits, Rows, within_reach
from gnomon.dynamics.invariance import Invariance
from gnomon.dynamics.lanes import Lane, find_pairs, to_device
from gnomon.dynamics.relax import relax
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations, Evaluator, Status
from gnomon.evaluate.ase import AseEvaluator, relax_by_name
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.evaluate.cell_filter import CellFilter
from gnomon.evaluate.table import evaluate_all
from gnomon.io import to_ase
from gnomon.learn.compilation import cache_compilations
from gnomon.potential.batch import Shape, pack
from gnomon.potential.predict import LoadedPotential, compiled, load_potential
from gnomon.run.listener import SILENT
from gnomon.structure.neighbors import neighbors
from gnomon.structure.symmetry import space_groups
from tests.strategies import crystals, random_crystal, rngs
from tests.tiny_potentials import CURSED, CUTOFF, MORSE, REPELLING, tiny_potential

SAME_ENERGY = 1e-4
"""eV/atom; two relaxations to 0.002 eV/Å that met the same minimum agree better than this."""

SINGLE = 2e-5
"""eV/atom and eV/Å: sums of a few hundred terms in single precision."""

SMALL = Shape(32, 256, 8)


TINY = tiny_potential(n_layers=1, repulsion=True)


class Thin(Calculator):  # type: ignore[misc]  # ASE has no types
    """A loaded potential as ASE sees it."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, potential: LoadedPotential) -> None:
        super().__init__()
        self.potential = potential

    def calculate(
        self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        a = self.atoms
        one = Crystals.single(a.cell[:], a.numbers, a.get_scaled_positions(wrap=False))
        batch = pack(one, neighbors(one, self.potential.cutoff), shape=Shape(8, 128, 1))
        energy, forces, stress = (np.asarray(x) for x in compiled(self.potential.potential, batch))
        s = stress[0]
        self.results = {
            "energy": float(energy[0]),
            "forces": forces[: len(one.atomic_numbers)],
            "stress": s[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


def evaluate(batch: Crystals, potential: LoadedPotential = MORSE, **relax: Any) -> Evaluations:
    evaluator = BatchedEvaluator(potential, RelaxConfig(**relax), capacity=SMALL)
    return evaluate_all(batch, evaluator, SILENT)


def some_crystals(n: int, seed: int = 0, max_atoms: int = 5) -> Crystals:
    """Random crystals of elements without bad character."""
    rng = np.random.default_rng(seed)
    found = Crystals.concatenate([random_crystal(rng, max_atoms) for _ in range(n)])
    good = np.array([3, 8, 11, 13, 14, 17, 22, 26, 29, 47], np.uint8)
    return found.with_atomic_numbers(rng.choice(good, len(found.atomic_numbers)))


def cubic(z: int = 29, a: float = 3.7) -> Crystals:
    """Face-centred cubic, with its conventional cell."""
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Crystals.single(a * np.eye(3), [z] * 4, sites)


# --- minima ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("relax_cell", [True, False])
def test_minima_are_those_of_ase(relax_cell: bool) -> None:
    rng = np.random.default_rng(0)
    hcp = Crystals.single(
        [[2.7, 0, 0], [-1.35, 2.34, 0], [0, 0, 4.5]], [29, 47], [[0, 0, 0], [1 / 3, 2 / 3, 0.5]]
    )
    batch = Crystals.concatenate([cubic(a=3.8), hcp])
    batch = batch.with_frac_coords(batch.frac_coords + rng.normal(0, 0.02, (6, 3)))
    batch = batch.with_lattice(batch.lattice @ (np.eye(3) + rng.uniform(-0.02, 0.02, (2, 3, 3))))
    found = evaluate(batch, fmax=0.01, relax_cell=relax_cell)
    assert found.status.tolist() == ["converged"] * len(batch)
    for i, left in enumerate(to_ase(found.relaxed)):
        begun = to_ase(batch[i])[0]
        begun.calc = Thin(MORSE)
        FIRE(CellFilter(begun) if relax_cell else begun, logfile=None).run(0.01, 500)
        energy = begun.get_potential_energy() / len(begun)
        assert found.energy_per_atom[i] == pytest.approx(energy, abs=SAME_ENERGY)
        left.calc = Thin(MORSE)
        forces = (CellFilter(left) if relax_cell else left).get_forces().reshape(-1, 3)
        largest = np.linalg.norm(forces, axis=1).max()
        assert largest == pytest.approx(found.fmax[i], abs=1e-3)


def test_energy_and_force_in_a_row_are_those_of_its_relaxed_crystal() -> None:
    batch = some_crystals(6, seed=1)
    potential = TINY
    for steps in (0, 3, 200):
        found = evaluate(batch, potential, max_steps=steps)
        labels = potential.predict(found.relaxed, capacity=SMALL)
        answered = np.isfinite(found.energy_per_atom)
        assert answered.sum() >= 4
        energy = labels.energy / batch.n_atoms
        assert found.energy_per_atom[answered] == pytest.approx(energy[answered], abs=SINGLE)
        volumes = found.relaxed.volumes[:, None, None]
        pulls = np.linalg.norm(volumes * labels.stress, axis=2).max(axis=1) / batch.n_atoms
        forces = np.linalg.norm(labels.forces, axis=1)
        largest = np.maximum(np.maximum.reduceat(forces, batch.offsets[:-1]), pulls)
        assert found.fmax[answered] == pytest.approx(largest[answered], abs=1e-3, rel=1e-3)


def test_a_result_has_the_forces_and_stress_of_its_crystal() -> None:
    batch = some_crystals(4, seed=1)
    for cell in (True, False):
        config = RelaxConfig(max_steps=3, relax_cell=cell)
        for found in relax(batch, TINY, config, capacity=SMALL):
            assert found.forces is not None
            labels = TINY.predict(found.crystal, capacity=SMALL)
            assert found.forces == pytest.approx(labels.forces, abs=1e-3)
            assert found.stress == pytest.approx(labels.stress[0], abs=1e-4)


def test_who_watches_hears_of_every_step_on_the_way_down() -> None:
    batch = some_crystals(4, seed=2)
    heard: dict[int, list[tuple[int, Crystals]]] = {i: [] for i in range(4)}
    results = list(
        relax(
            batch,
            MORSE,
            RelaxConfig(max_steps=20),
            capacity=SMALL,
            watch=lambda i, step, crystal: heard[i].append((step, crystal)),
        )
    )
    for i, result in enumerate(results):
        assert [step for step, _ in heard[i]] == list(range(result.steps + 1))
        way = Crystals.concatenate([crystal for _, crystal in heard[i]])
        assert way.ids[-1] == result.crystal.ids[0]
        energy = MORSE.predict(way, capacity=SMALL).energy / batch.n_atoms[i]
        assert np.all(np.diff(energy) < SAME_ENERGY)


def test_relaxing_lowers_the_energy() -> None:
    batch = some_crystals(8, seed=2)
    before = evaluate(batch, max_steps=0)
    for steps in (1, 5, 50):
        after = evaluate(batch, max_steps=steps)
        assert np.all(after.energy_per_atom <= before.energy_per_atom + SAME_ENERGY)
        before = after
    assert np.all(after.steps <= 50)


def test_no_steps_take_single_points_and_leave_the_crystals_alone() -> None:
    batch = some_crystals(5, seed=3)
    found = evaluate(batch, max_steps=0)
    assert found.status.tolist() == ["converged"] * 5
    assert found.steps.tolist() == [0] * 5
    assert found.relaxed.ids.tolist() == batch.ids.tolist()
    energy = MORSE.predict(batch, capacity=SMALL).energy / batch.n_atoms
    assert found.energy_per_atom == pytest.approx(energy, abs=SINGLE)


def test_fixed_cells_stay_as_they_are() -> None:
    batch = some_crystals(5, seed=4)
    found = evaluate(batch, relax_cell=False)
    assert np.array_equal(found.relaxed.lattice, batch.lattice)
    assert np.all(found.steps[batch.n_atoms > 2] > 0)


# --- each by itself -------------------------------------------------------------------------------


def test_a_crystal_does_not_feel_its_companions() -> None:
    batch = some_crystals(12, seed=5)
    together = evaluate(batch, fmax=0.01)
    order = np.random.default_rng(0).permutation(len(batch))
    shuffled = evaluate(batch[order], fmax=0.01)
    alone = Evaluations.concatenate([evaluate(one, fmax=0.01) for one in batch])
    for other, at in ((alone, np.arange(len(batch))), (shuffled, np.argsort(order))):
        assert other.ids[at].tolist() == batch.ids.tolist()
        assert other.status[at].tolist() == together.status.tolist()
        assert np.array_equal(other.relaxed[at].atomic_numbers, batch.atomic_numbers)
        # rounding differs with the place in a batch, and a path may part at a ridge
        same = np.abs(other.energy_per_atom[at] - together.energy_per_atom) < SAME_ENERGY
        assert same.sum() >= len(batch) - 1


def test_results_come_in_order_with_their_forces_and_stresses() -> None:
    batch = some_crystals(9, seed=6)
    parts = list(BatchedEvaluator(MORSE, capacity=SMALL).evaluate(batch))
    assert [part.ids.tolist() for part in parts] == [[key] for key in batch.ids]
    found = Evaluations.concatenate(parts)
    expected = MORSE.predict(found.relaxed, capacity=SMALL)
    known = np.isfinite(found.stress).all(axis=(1, 2))
    assert known.sum() >= 8
    own = np.repeat(known, batch.n_atoms)
    np.testing.assert_allclose(found.forces[own], expected.forces[own], atol=1e-3)
    np.testing.assert_allclose(found.stress[known], expected.stress[known], atol=1e-4)
    assert np.array_equal(found.relaxed.atomic_numbers, batch.atomic_numbers)
    assert np.array_equal(found.relaxed.offsets, batch.offsets)


def test_nothing_to_relax() -> None:
    assert list(BatchedEvaluator(MORSE).evaluate(Crystals.empty())) == []


def test_it_is_an_evaluator_of_the_scheme_of_its_weights() -> None:
    evaluator = BatchedEvaluator(MORSE)
    assert isinstance(evaluator, Evaluator)
    assert evaluator.scheme == "morse (sha256 000000000000)"


# --- statuses -------------------------------------------------------------------------------------


def test_too_few_steps() -> None:
    found = evaluate(some_crystals(4, seed=7), max_steps=2, fmax=1e-3)
    moved = found.status == Status.NOT_CONVERGED
    assert moved.any()
    assert np.all(found.steps[moved] == 2)
    assert np.all(found.fmax[moved] > 1e-3)
    assert np.isfinite(found.energy_per_atom).all()


def test_too_little_time() -> None:
    """The first call of a shape compiles and does not count; the second one does."""
    found = evaluate(cubic(a=4.1), max_seconds=1e-9, fmax=1e-5)
    assert found.status.tolist() == ["timeout"]
    assert 0 < found.steps[0] <= 2 * relaxation.STEPS_AT_ONCE
    assert np.isfinite(found.energy_per_atom).all()


def test_energies_that_are_none_end_in_a_row_and_harm_no_other() -> None:
    good = some_crystals(4, seed=8)
    batch = Crystals.concatenate([good[:2], cubic(CURSED), good[2:], cubic(CURSED, 3.9)])
    found, expected = evaluate(batch), evaluate(good)
    bad = [2, 5]
    assert found.status[bad].tolist() == ["exploded"] * 2
    assert "not finite" in found.message[2]
    assert np.isnan(found.energy_per_atom[bad]).all()
    assert found.relaxed.ids[bad].tolist() == batch.ids[bad].tolist()
    assert found.energy_per_atom[[0, 1, 3, 4]] == pytest.approx(
        expected.energy_per_atom, abs=SAME_ENERGY
    )


def test_what_flies_apart() -> None:
    found = evaluate(Crystals.concatenate([cubic(REPELLING, 2.4), cubic()]), max_steps=500)
    assert found.status.tolist() == ["exploded", "converged"]
    assert found.message[0].startswith("the cell grew by a factor of")
    assert np.isnan(found.energy_per_atom[0])


def test_elements_that_the_potential_does_not_know() -> None:
    found = evaluate(Crystals.concatenate([cubic(92), cubic(), cubic(118)]))
    assert found.status.tolist() == ["invalid_input", "converged", "invalid_input"]
    assert found.message[[0, 2]].tolist() == ["morse does not know U", "morse does not know Og"]


def test_atoms_on_top_of_each_other() -> None:
    found = evaluate(Crystals.single(4 * np.eye(3), [29, 29], [[0, 0, 0], [0, 0, 0.99999]]))
    assert found.status.tolist() == ["invalid_input"]
    assert "on top of each other" in found.message[0]


@pytest.mark.parametrize(
    ("lattice", "sites", "reason"),
    [
        (np.diag([3.0, 3.0, 5000.0]), 1, "a lattice vector of 5000"),
        (0.2 * np.eye(3), 1, "too dense"),
        (np.diag([2.0, 2.0, 900.0]), 450, "rows of 16 neighbours"),
    ],
    ids=["long", "dense", "many"],
)
def test_what_does_not_fit(
    lattice: np.ndarray, sites: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaxation, "MAX_ROWS", 800)
    frac = np.stack([np.zeros(sites), np.zeros(sites), np.arange(sites) / sites], axis=1)
    found = evaluate(Crystals.single(lattice, [29] * sites, frac))
    assert found.status.tolist() == ["invalid_input"]
    assert reason in found.message[0]


def absurd() -> list[Crystals]:
    rng = np.random.default_rng(0)
    shaken = cubic(a=2.7).supercell(5)
    return [
        Crystals.single(4 * np.eye(3), [29, 29], [[0, 0, 0], [0, 0, 0.3 / 4]]),
        Crystals.single(200 * np.eye(3), [29], [[0.3, 0.3, 0.3]]),
        Crystals.single(200 * np.eye(3), [29] * 3, rng.uniform(size=(3, 3))),
        Crystals.single(np.diag([2.0, 2.0, 400.0]), [29] * 2, [[0, 0, 0], [0.5, 0.5, 0.003]]),
        Crystals.single(0.9 * np.eye(3), [29], [[0, 0, 0]]),
        cubic(a=1.0),
        cubic(a=7.0),
        Crystals.single([[3, 0, 0], [90, 3, 0], [0, -70, 3]], [29], [[0, 0, 0]]),
        Crystals.single(-3 * np.eye(3), [29, 8], [[0, 0, 0], [1e6, -1e6, 0.5]]),
        shaken.with_frac_coords(shaken.frac_coords + rng.normal(0, 0.01, (500, 3))),
    ]


@pytest.mark.parametrize("potential", [MORSE, TINY], ids=lambda p: p.name)
def test_no_crystal_however_absurd_hangs_or_harms_another(potential: LoadedPotential) -> None:
    good = some_crystals(3, seed=9)
    # the largest compiles programs of its own: one potential is enough
    strange = absurd() if potential is MORSE else absurd()[:-1]
    batch = Crystals.concatenate([good[:1], *strange, good[1:]])
    found = evaluate(batch, potential, max_steps=15)
    answered = np.isin(found.status, ["converged", "not_converged", "isolated"])
    assert np.array_equal(np.isfinite(found.energy_per_atom), answered)
    assert np.all(np.isfinite(found.fmax[answered]))
    assert np.all(found.message[~answered] != "")
    assert np.isfinite(found.relaxed.lattice).all()
    expected = evaluate(good, potential, max_steps=15)
    assert found.energy_per_atom[[0, -2, -1]] == pytest.approx(
        expected.energy_per_atom, abs=SAME_ENERGY
    )


def test_atoms_that_see_no_other_are_isolated_and_not_converged() -> None:
    """gnomon-1 sees 5 Å; nearest neighbours in Cs metal are 5.32 Å apart."""
    cs = Crystals.single(3.07 * (1 - 2 * np.eye(3)), [55], [[0, 0, 0]])
    lone = Crystals.single(20 * np.eye(3), [55], [[0, 0, 0]])
    salt = Crystals.single(11 * np.eye(3), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    pair = Crystals.single(  # and one atom out of its reach
        12 * np.eye(3), [29] * 3, [[0, 0, 0], [0, 0, 0.2], [0.5, 0.5, 0.6]]
    )
    dense = cs.scale_volume(0.5)
    batch = Crystals.concatenate([cs, lone, salt, pair, dense])
    found = evaluate(batch, load_potential("gnomon-1"), max_steps=0)
    assert found.status.tolist() == ["isolated"] * 4 + ["converged"]
    counts = [message.split(" atoms")[0] for message in found.message[:4]]
    assert counts == ["1 of 1", "1 of 1", "2 of 2", "1 of 3"]
    assert "within the 5 Å" in found.message[0]
    assert np.isfinite(found.energy_per_atom).all()


# --- symmetry -------------------------------------------------------------------------------------


def rutile() -> Crystals:
    u = 0.305
    sites = [[0, 0, 0], [0.5] * 3, [u, u, 0], [-u, -u, 0], [0.5 + u, 0.5 - u, 0.5]]
    sites.append([0.5 - u, 0.5 + u, 0.5])
    return Crystals.single(np.diag([4.7, 4.7, 3.1]), [22, 22, 8, 8, 8, 8], sites)


def test_space_groups_are_kept() -> None:
    batch = Crystals.concatenate([rutile(), cubic(a=3.3), rutile().supercell([1, 1, 2])])
    batch = batch.with_frac_coords(batch.frac_coords + np.array([0.123, 0.456, 0.789]))
    for potential in (MORSE, TINY):
        found = evaluate(batch, potential, fmax=0.005, symmetry=True)
        assert space_groups(found.relaxed, 1e-6).tolist() == [136, 225, 136]
        assert np.all(found.steps > 0)
    assert np.all(np.abs(found.relaxed.volumes / batch.volumes - 1) > 1e-3)


def test_symmetry_is_kept_where_its_loss_would_pay() -> None:
    """A dimer on a ridge: the atom in the middle stays there although it would rather move."""
    chain = Crystals.single(np.diag([9.0, 9.0, 7.0]), [29, 29], [[0, 0, 0], [0, 0, 0.5]])
    nudged = chain.with_frac_coords(chain.frac_coords + np.array([[0, 0, 0], [0, 0, 6e-4]]))
    free = evaluate(nudged, relax_cell=False, fmax=1e-3)
    kept = evaluate(nudged, relax_cell=False, fmax=1e-3, symmetry=True)
    apart = np.ptp(kept.relaxed.frac_coords[:, 2])
    assert apart == pytest.approx(0.5, abs=1e-6)
    assert free.energy_per_atom[0] < kept.energy_per_atom[0] - 0.01


def test_ase_keeps_symmetry_too() -> None:
    options = {"fmax": 0.05, "max_steps": 40}
    emt = "ase.calculators.emt.EMT"
    alloy = Crystals.single(np.diag([3.6, 3.6, 4.0]), [29, 79], [[0.2, 0.1, 0.0], [0.7, 0.6, 0.5]])
    kept = relax_by_name(emt, {}, False, RelaxConfig(symmetry=True, **options), alloy)
    assert kept.steps > 0
    assert space_groups(kept.crystal, 1e-6).tolist() == space_groups(alloy).tolist()
    assert AseEvaluator(emt).scheme


@given(rng=rngs, which=st.sampled_from(["rutile", "cubic", "random"]))
def test_projections_keep_what_is_symmetric_and_remove_the_rest(
    rng: np.random.Generator, which: str
) -> None:
    crystal = {"rutile": rutile, "cubic": cubic, "random": lambda: random_crystal(rng)}[which]()
    crystal = crystal.with_frac_coords(crystal.frac_coords + rng.uniform(-2, 2, 3))
    noise = rng.uniform(-1e-4, 1e-4, crystal.frac_coords.shape)
    group = Invariance.of(crystal)
    lattice, frac = group.crystal(
        crystal.lattice[0] @ (np.eye(3) + rng.uniform(-1e-4, 1e-4, (3, 3))),
        crystal.frac_coords + noise,
    )
    numbers = crystal.atomic_numbers
    ideal = Crystals.single(lattice, numbers, frac)
    assert space_groups(ideal, 1e-7).tolist() == space_groups(crystal).tolist()
    again = group.crystal(lattice, frac)
    assert again[0] == pytest.approx(lattice, abs=1e-12)
    assert again[1] == pytest.approx(frac, abs=1e-12)
    strain = rng.normal(0, 0.01, (3, 3))
    atoms, strain = group.step(lattice, rng.normal(0, 0.02, frac.shape), strain + strain.T)
    twice = group.step(lattice, atoms, strain)
    assert twice[0] == pytest.approx(atoms, abs=1e-12)
    assert twice[1] == pytest.approx(strain, abs=1e-12)
    new = lattice @ (np.eye(3) + strain)
    there = (frac @ lattice + atoms) @ (np.eye(3) + strain)
    moved = Crystals.single(new, numbers, there @ np.linalg.inv(new))
    left = Invariance.of(moved, 1e-6)
    assert len(left.rotations) >= len(group.rotations)


def test_operations_that_do_not_fit_the_atoms_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = (np.eye(3, dtype=np.int64)[None], np.array([[0.5, 0.0, 0.0]]))
    monkeypatch.setattr("gnomon.dynamics.invariance.operations", lambda *_: [wrong])
    with pytest.raises(ValueError, match="do not take the atoms to each other"):
        Invariance.of(cubic())
    found = evaluate(cubic(), symmetry=True)
    assert found.status.tolist() == ["invalid_input"]


# --- neighbours, sizes, programs ------------------------------------------------------------------


@given(crystal=crystals, rng=rngs)
def test_neighbours_that_are_said_to_serve_are_all_there(
    crystal: Crystals, rng: np.random.Generator
) -> None:
    skin = 0.4
    lane = Lane.at(0, crystal, None)
    find_pairs([lane], CUTOFF + skin)
    atoms, cells = (rng.normal(0, 0.04, rows.shape) for rows in lane.state.step)
    cells = cells + cells.transpose(0, 2, 1)
    step = Rows(atoms.astype(np.float32), cells.astype(np.float32))
    lane.state = lane.state._replace(step=step)
    limits = Limits(
        fmax=np.float32(0.1),
        calls=np.int32(1),
        steps=np.int32(1),
        finished=np.int32(1),
        cutoff=np.float32(CUTOFF),
        reach=np.float32(CUTOFF + skin),
        relax_cell=np.float32(1),
    )
    batch, state = to_device([lane], Shape(9, 512, 2))
    if not bool(jax.jit(within_reach)(batch, state, limits)[0]):
        return
    assert lane.pairs is not None
    there = _as_set(lane.pairs.found)
    assert _as_set(neighbors(lane.next_crystal(), CUTOFF)) <= there


def _as_set(found: Any) -> set[tuple[int, ...]]:
    rows = np.column_stack([found.receivers, found.senders, found.shifts])
    return set(map(tuple, rows.tolist()))


def test_the_skin_changes_nothing_but_the_time() -> None:
    batch = some_crystals(6, seed=10)
    results = [
        evaluate_all(batch, BatchedEvaluator(MORSE, capacity=SMALL, skin=skin), SILENT)
        for skin in (0.01, 1.0)
    ]
    assert results[0].status.tolist() == results[1].status.tolist()
    difference = np.abs(results[0].energy_per_atom - results[1].energy_per_atom)
    assert (difference < SAME_ENERGY).sum() >= 5


def test_programs_are_kept_where_people_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = jax.config.jax_compilation_cache_dir
    assert cache_compilations() == Path(chosen)  # chosen already: left alone
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path))
    for folder, expected in ((None, tmp_path / "jax"), (tmp_path / "x", tmp_path / "x")):
        jax.config.update("jax_compilation_cache_dir", None)
        assert cache_compilations(folder) == expected
        assert jax.config.jax_compilation_cache_dir == str(expected)
    jax.config.update("jax_compilation_cache_dir", chosen)

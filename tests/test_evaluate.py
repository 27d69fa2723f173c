"""Evaluators: ASE's own numbers, a status for every failure, and no crystal that harms another."""

import math
import multiprocessing as mp
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from pydantic import ValidationError

from gnomon.crystals import Crystals
from gnomon.dynamics.result import Relaxation
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations, Status, table
from gnomon.evaluate.ase import AseEvaluator, relax_by_name
from gnomon.evaluate.table import Marks, evaluate_all, evaluate_missing, evaluation_rows, rows_of
from gnomon.hull.phases import MissingElementError
from gnomon.run.listener import SILENT, Listener
from gnomon.run.pool import Lost, Pool
from gnomon.run.store import SCHEMAS, Store
from gnomon.testing import check_evaluator
from tests.calculators import (
    DIES,
    EXIT_CODE,
    FLIES_APART,
    HANGS,
    LIES,
    NO_ENERGY,
    RAISES,
    FastEvaluator,
    answers_and_dies,
    make_unpicklable,
)
from tests.conftest import REPOSITORY
from tests.strategies import random_crystal

CU, FE = 29, 26
EMT_NAME = "ase.calculators.emt.EMT"
EMT_ELEMENTS = (13, 28, 29, 46, 47, 78, 79)

EMT_NOISE = 1e-6
"""eV/atom: the energy of EMT in another cell of the same crystal differs by 1e-8, measured, because
its cutoff function ends a little above zero for neighbours that round-off pushes over it."""

LATTICE_NOISE = 5e-3
"""Å in a lattice constant: what relaxations that end at 0.02 eV/Å can differ by."""


def fcc(z: int, a: float = 3.7) -> Crystals:
    return Crystals.single(a / 2 * (np.ones((3, 3)) - np.eye(3)), [z], [[0, 0, 0]])


def evaluate(crystals: Crystals, *, workers: int = 1, **relax: Any) -> Evaluations:
    evaluator = AseEvaluator(EMT_NAME, {}, RelaxConfig(**relax), workers)
    return evaluate_all(crystals, evaluator, SILENT)


def single_point(crystal: Crystals) -> float:
    result = relax_by_name(EMT_NAME, {}, False, RelaxConfig(max_steps=0), crystal)
    assert result.status == Status.CONVERGED
    return result.energy_per_atom


# --- numbers --------------------------------------------------------------------------------------


def test_relaxation_gives_what_ase_gives() -> None:
    """Copper and a sheared, rattled Cu3Au, against ASE in this process with its own filter."""
    rng = np.random.default_rng(0)
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    strained = (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))) * 3.8
    alloy = Crystals.single(strained, [79, CU, CU, CU], sites + rng.uniform(-0.02, 0.02, (4, 3)))
    batch = Crystals.concatenate([fcc(CU), alloy])
    found = evaluate(batch, workers=2)
    assert found.status.tolist() == ["converged", "converged"]
    assert found.message.tolist() == ["", ""]
    assert np.all(found.fmax <= 0.02)
    assert np.all(found.steps > 0)
    assert np.all(found.seconds > 0)
    for i in range(2):
        lattice, numbers, frac = batch.arrays(i)
        atoms = Atoms(numbers, cell=lattice, scaled_positions=frac, pbc=True, calculator=EMT())
        FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=0.02, steps=300)
        energy = atoms.get_potential_energy() / len(atoms)
        assert found.energy_per_atom[i] == pytest.approx(energy, abs=EMT_NOISE)
        assert found.relaxed.volumes[i] == pytest.approx(atoms.get_volume(), rel=1e-4)
    lattice_constant = np.cbrt(4 * found.relaxed.volumes[0])
    assert lattice_constant == pytest.approx(3.59, abs=LATTICE_NOISE)  # EMT's own; measured 3.61


def test_fixed_cells_stay_as_they_are() -> None:
    crystal = Crystals.single(np.eye(3) * 3.9, [CU, CU], [[0, 0, 0], [0.45, 0.5, 0.5]])
    result = relax_by_name(EMT_NAME, {}, False, RelaxConfig(relax_cell=False), crystal)
    assert result.status == Status.CONVERGED
    assert np.array_equal(result.crystal.lattice[0], crystal.lattice[0])
    assert result.steps > 0


def test_no_steps_is_a_single_point() -> None:
    crystal = fcc(CU, 3.9)
    result = relax_by_name(EMT_NAME, {}, False, RelaxConfig(max_steps=0), crystal)
    assert result.status == Status.CONVERGED
    assert result.steps == 0
    assert result.fmax > 0.02
    assert np.array_equal(result.crystal.lattice[0], crystal.lattice[0])
    atoms = Atoms([CU], cell=crystal.lattice[0], pbc=True, calculator=EMT())
    assert result.energy_per_atom == atoms.get_potential_energy()


def test_emt_keeps_the_laws_of_evaluators() -> None:
    rng = np.random.default_rng(0)
    crystals = Crystals.concatenate([random_crystal(rng, 4) for _ in range(8)]).scale_volume(1.5)
    numbers = rng.choice(np.array(EMT_ELEMENTS, np.uint8), len(crystals.atomic_numbers))
    emt = AseEvaluator(EMT_NAME, {}, RelaxConfig(max_steps=0), 1)
    check_evaluator(emt, crystals.with_atomic_numbers(numbers), tolerance=EMT_NOISE)


def test_a_calculator_that_is_kept_remembers_neither_crystals_nor_other_options() -> None:
    """Results are those of a process in which nothing was evaluated before."""
    batch = [fcc(CU, 3.8), fcc(79, 4.0), fcc(CU, 3.8).supercell(2), fcc(CU, 3.8)]
    found = [relax_by_name(EMT_NAME, {}, False, RelaxConfig(max_steps=5), c) for c in batch]
    assert found[3].energy_per_atom == found[0].energy_per_atom
    assert np.array_equal(found[3].crystal.lattice, found[0].crystal.lattice)
    for energy in (-1.0, -2.0, -1.0):
        name, options = "tests.calculators.Quick", {"energy": energy}
        result = relax_by_name(name, options, False, RelaxConfig(), fcc(CU))
        assert result.energy_per_atom == energy


# --- statuses -------------------------------------------------------------------------------------


def test_an_element_that_the_calculator_does_not_know() -> None:
    result = relax_by_name(EMT_NAME, {}, False, RelaxConfig(), fcc(FE))
    assert result.status == Status.INVALID_INPUT
    assert "EMT" in result.message
    assert "Fe" in result.message
    assert np.isnan(result.energy_per_atom)


def test_atoms_that_do_not_see_each_other_are_not_converged() -> None:
    for crystal in (fcc(CU, 30.0), fcc(CU, 30.0).supercell(2)):
        result = relax_by_name(EMT_NAME, {}, False, RelaxConfig(), crystal)
        assert result.status == Status.ISOLATED
        assert "do not see each other" in result.message
        assert np.isfinite(result.energy_per_atom)
    assert relax_by_name(EMT_NAME, {}, False, RelaxConfig(), fcc(CU)).status == Status.CONVERGED


def test_too_few_steps() -> None:
    result = relax_by_name(EMT_NAME, {}, False, RelaxConfig(max_steps=3), fcc(CU, 4.2))
    assert result.status == Status.NOT_CONVERGED
    assert result.steps == 3
    assert result.fmax > 0.02
    assert np.isfinite(result.energy_per_atom)


def test_too_little_time_between_steps() -> None:
    config = RelaxConfig(max_seconds=1e-9)
    result = relax_by_name(EMT_NAME, {}, False, config, fcc(CU, 4.2))
    assert result.status == Status.TIMEOUT


def test_atoms_on_top_of_each_other() -> None:
    crystal = Crystals.single(np.eye(3) * 4, [CU, CU], [[0, 0, 0], [0, 0, 1e-3]])
    result = relax_by_name(EMT_NAME, {}, False, RelaxConfig(max_steps=0), crystal)
    assert result.status == Status.EXPLODED
    assert result.message
    assert np.isnan(result.energy_per_atom)


@pytest.fixture(scope="module")
def treacherous() -> tuple[Crystals, Evaluations]:
    """Copper between crystals that raise, hang, kill their process, lie and fly apart."""
    numbers = [CU, RAISES, HANGS, CU, DIES, LIES, NO_ENERGY, CU, DIES, FLIES_APART, CU]
    batch = Crystals.concatenate([fcc(z, 3.6 + 0.01 * i) for i, z in enumerate(numbers)])
    # the limit of the worker is twice this; a step of EMT takes 1 ms, the first imports SciPy
    relax = RelaxConfig(max_seconds=4.0, max_steps=40)
    evaluator = AseEvaluator("tests.calculators.Treacherous", {}, relax, workers=2)
    return batch, evaluate_all(batch, evaluator, SILENT)


def test_every_misfortune_is_a_row_and_harms_no_other(
    treacherous: tuple[Crystals, Evaluations],
) -> None:
    batch, found = treacherous
    by_element: dict[int, set[str]] = {}
    for z, status in zip(batch.atomic_numbers.tolist(), found.status, strict=True):
        by_element.setdefault(z, set()).add(status)
    assert by_element == {
        CU: {"converged"},
        RAISES: {"invalid_input"},
        HANGS: {"timeout"},
        DIES: {"exploded"},
        LIES: {"exploded"},
        NO_ENERGY: {"exploded"},
        FLIES_APART: {"exploded"},
    }
    healthy = batch.atomic_numbers == CU
    assert np.all(np.isfinite(found.energy_per_atom) == healthy)
    assert np.ptp(found.energy_per_atom[healthy]) < 1e-3


def test_every_misfortune_says_what_it_was(treacherous: tuple[Crystals, Evaluations]) -> None:
    batch, found = treacherous
    said = dict(zip(batch.atomic_numbers.tolist(), found.message, strict=True))
    assert said[CU] == ""
    assert said[RAISES] == "RuntimeError: no silver today"
    assert said[HANGS] == "stopped after 8 s without an answer"
    assert said[DIES] == f"its process ended with exit code {EXIT_CODE}"
    assert said[LIES] == "energy 1e+09 eV/atom"
    assert "nan" in said[NO_ENERGY]
    assert said[FLIES_APART].startswith("the cell grew by a factor of")


def test_order_is_kept_and_what_was_lost_is_as_given(
    treacherous: tuple[Crystals, Evaluations],
) -> None:
    batch, found = treacherous
    assert np.array_equal(found.relaxed.atomic_numbers, batch.atomic_numbers)
    lost = np.isin(batch.atomic_numbers, [HANGS, DIES])
    assert found.relaxed.ids[lost].tolist() == batch.ids[lost].tolist()
    copper = found.relaxed[batch.atomic_numbers == CU]
    assert np.ptp(copper.volumes) < 0.1 * np.ptp(batch.volumes[batch.atomic_numbers == CU])


def test_no_worker_outlives_the_evaluation(treacherous: tuple[Crystals, Evaluations]) -> None:
    assert len(treacherous[1].status) == 11
    assert mp.active_children() == []


def test_an_evaluation_that_is_given_up_leaves_no_worker() -> None:
    batch = Crystals.concatenate([fcc(CU, 3.6 + 0.01 * i) for i in range(4)])
    parts = AseEvaluator(EMT_NAME, workers=1).evaluate(batch)
    next(parts)
    assert len(mp.active_children()) == 1
    del parts
    assert mp.active_children() == []


def test_nothing_to_evaluate_takes_no_worker() -> None:
    assert list(AseEvaluator(EMT_NAME).evaluate(Crystals.empty())) == []


def test_a_worker_that_dies_idle_costs_no_task() -> None:
    with Pool[int, int](answers_and_dies, (), workers=1, limit=30.0) as pool:
        found = []
        for result in pool.run([1, 2, 3]):
            found.append(result)
            time.sleep(0.5)
    assert found == [1, 2, 3]


def test_tasks_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for i in range(50):
            taken.append(i)
            yield i

    with Pool[int, int](abs, (), workers=2, limit=math.inf) as pool:
        results = pool.run(tasks(), ahead=3)
        assert [next(results), next(results)] == [0, 1]
        assert len(taken) <= 1 + 3 + 2  # yielded, ahead of it, in the queue
        assert list(results) == list(range(2, 50))


def killed_until(tries: int, place: str) -> int:
    """A task that is killed so often."""
    path = Path(place)
    done = int(path.read_text()) if path.exists() else 0
    if done < tries:
        path.write_text(str(done + 1))
        os.kill(os.getpid(), 9)
    return done


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_task_whose_worker_was_killed_is_tried_again(tmp_path: Path) -> None:
    for kills in (2, 3):
        path = str(tmp_path / str(kills))
        with Pool[str, int](killed_until, (kills,), workers=1, limit=math.inf) as pool:
            [found] = pool.run([path])
        if kills == 2:
            assert found == 2
        else:
            assert isinstance(found, Lost)
            assert found.reason == "its process ended with exit code -9"


BUSY = """
from gnomon.run.pool import Pool
from tests.calculators import tell_and_sleep
if __name__ == "__main__":
    with Pool(tell_and_sleep, (), workers=1, limit=300.0) as pool:
        list(pool.run([{path!r}]))
"""


def test_a_worker_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """A calculation of hours must not go on for nobody."""
    told, script = tmp_path / "pid", tmp_path / "busy.py"
    script.write_text(BUSY.format(path=str(told)))
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    parent = subprocess.Popen([sys.executable, str(script)], env=environment)
    try:
        wait_for(lambda: told.is_file() and told.read_text())
    finally:
        parent.kill()
        parent.wait()
    worker = int(told.read_text())
    wait_for(lambda: not runs(worker))


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # an orphan that ended may be left as a zombie
    return not (state.is_file() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_what_a_worker_cannot_send_is_a_loss() -> None:
    """A function cannot travel between processes; its worker ends with a traceback on stderr."""
    with Pool[int, object](make_unpicklable, (), workers=1, limit=30.0) as pool:
        [lost] = pool.run([1])
    assert isinstance(lost, Lost)
    assert lost.reason == "its process ended with exit code 1"
    assert not lost.timed_out


# --- who evaluates --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["EMT", "ase.calculators.emt.NoSuch", "no_such_package.Class", "ase.calculators", ""]
)
def test_a_calculator_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=r"calculator|cannot be made") as raised:
        AseEvaluator(name)
    assert repr(name) in str(raised.value) or name in str(raised.value)


@pytest.mark.parametrize("options", [{"colour": "red"}, {"energy": 1.0}])
def test_options_that_a_calculator_refuses(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"tests.calculators.Quick cannot be made with options"):
        AseEvaluator("tests.calculators.Quick", options)


def test_the_scheme_names_calculator_options_and_release() -> None:
    import ase

    assert AseEvaluator(EMT_NAME).scheme == f"{EMT_NAME} (ase {ase.__version__})"
    quick = AseEvaluator("tests.calculators.Quick", {"energy": -2.0})
    assert quick.scheme == 'tests.calculators.Quick{"energy": -2.0} (tests unknown version)'


@pytest.mark.parametrize("wrong", [{"fmax": 0.0}, {"max_steps": -1}, {"max_seconds": 0.0}])
def test_relaxations_without_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        RelaxConfig(**wrong)


# --- rows -----------------------------------------------------------------------------------------


def test_rows_fit_the_store_with_null_for_what_there_is_not(
    tmp_path: Path, treacherous: tuple[Crystals, Evaluations]
) -> None:
    batch, found = treacherous
    store = Store(tmp_path)
    store.append("evaluations", 0, rows_of(found))
    rows = store.table("evaluations")
    assert rows.schema == SCHEMAS["evaluations"]
    assert rows["id"].to_pylist() == batch.ids.tolist()
    assert rows["relaxed_id"].to_pylist() == found.relaxed.ids.tolist()
    assert set(rows["scheme"].to_pylist()) == {found.scheme}
    no_energy = np.isnan(found.energy_per_atom)
    assert [e is None for e in rows["energy_per_atom"].to_pylist()] == no_energy.tolist()


def test_rows_say_where_each_crystal_came_from() -> None:
    batch = Crystals.concatenate([fcc(CU, 3.6 + 0.01 * i) for i in range(3)])
    sources = pa.table(
        {"source": ["a", "a", "b"], "source_id": ["1", "2", None], "warnings": [""] * 3}
    )
    heard: list[tuple[str, int, int]] = []
    listener = Listener(say=lambda _: None, tick=lambda *progress: heard.append(progress))
    evaluator = AseEvaluator("tests.calculators.Quick", {"energy": -0.5}, RelaxConfig(max_steps=0))
    rows = evaluation_rows(batch, sources, evaluator, listener)
    assert rows["source"].to_pylist() == ["a", "a", "b"]
    assert rows["source_id"].to_pylist() == ["1", "2", None]
    assert rows["id"].to_pylist() == batch.ids.tolist()
    assert rows["energy_per_atom"].to_pylist() == [-0.5] * 3
    assert heard == [("evaluating", k, 3) for k in range(4)]


def test_forces_and_stresses_are_columns_where_they_are_asked_for() -> None:
    batch = Crystals.concatenate([fcc(CU, 3.9), fcc(FE), fcc(CU, 3.5).supercell(2)])
    sources = pa.table({"source": ["a"] * 3, "source_id": ["1", "2", "3"], "warnings": [""] * 3})
    evaluator = AseEvaluator(EMT_NAME, relax=RelaxConfig(max_steps=0))
    rows = evaluation_rows(batch, sources, evaluator, SILENT, forces=True)
    assert [len(row) for row in rows["forces"].to_pylist()] == [3, 3, 24]
    for i in (0, 2):
        lattice, numbers, frac = batch.arrays(i)
        atoms = Atoms(numbers, cell=lattice, scaled_positions=frac, pbc=True, calculator=EMT())
        assert rows["forces"][i].as_py() == pytest.approx(atoms.get_forces().ravel(), abs=1e-9)
        stress = atoms.get_stress(voigt=False).ravel()
        assert rows["stress"][i].as_py() == pytest.approx(stress, abs=1e-9)
    assert np.isnan(rows["forces"][1].as_py()).all()  # EMT knows no iron


# --- shards ---------------------------------------------------------------------------------------


def test_only_what_is_missing_is_evaluated_and_kept_in_shards(tmp_path: Path) -> None:
    batch = Crystals.concatenate([fcc(CU, 3.6 + 0.01 * i) for i in range(21)])
    store, evaluator, heard = Store(tmp_path), FastEvaluator(), []
    listener = Listener(say=lambda _: None, tick=lambda *progress: heard.append(progress))
    done = batch.ids[:3].tolist()
    sizes = [
        len(part)
        for part in evaluate_missing(batch, done, evaluator, store, Marks(2), listener, "relaxing")
    ]
    assert sizes == [16, 2]
    assert evaluator.asked == batch.ids[3:].tolist()
    assert store.table("evaluations", 2)["id"].to_pylist() == batch.ids[3:].tolist()
    assert heard == [("relaxing", k, 21) for k in range(3, 22, 2)]
    assert not list(evaluate_missing(batch, batch.ids.tolist(), evaluator, store, Marks(3), SILENT))


def test_what_was_yielded_is_kept_when_nobody_wants_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "KEEP_SECONDS", 0.0)
    batch = Crystals.concatenate([fcc(CU, 3.6 + 0.01 * i) for i in range(6)])
    store, evaluator = Store(tmp_path), FastEvaluator()
    for part in evaluate_missing(batch, (), evaluator, store, Marks(), SILENT):
        assert store.table("evaluations")["id"].to_pylist() == part.ids.tolist()
        break
    assert len(store.table("evaluations")) == 2


def test_evaluations_of_two_schemes_are_never_one_batch() -> None:
    parts = [next(FastEvaluator(scheme).evaluate(fcc(CU))) for scheme in ("one", "two")]
    with pytest.raises(ValueError, match=r"different energy schemes: \['one', 'two'\]"):
        Evaluations.concatenate(parts)


def test_converged_evaluations_are_phases_that_refer_to_the_elements_among_them():
    [salt, sodium, chlorine] = [
        Crystals.single(4.0 * np.eye(3), numbers, np.zeros((len(numbers), 3)) + shift)
        for numbers, shift in (([11, 17], [[0], [0.5]]), ([11], 0), ([17], 0))
    ]
    ended = [
        Relaxation(salt, Status.CONVERGED, energy_per_atom=-3.5),
        Relaxation(sodium, Status.CONVERGED, energy_per_atom=-1.0),
        Relaxation(chlorine, Status.CONVERGED, energy_per_atom=-2.0),
        Relaxation(chlorine, Status.NOT_CONVERGED, energy_per_atom=-9.0),
        Relaxation(salt, Status.EXPLODED, "gone"),
    ]
    ids = np.array(["salt", "sodium", "chlorine", "other", "lost"], dtype=object)
    phases = Evaluations.of(ended, ids, "by hand").phases()
    assert phases.ids.tolist() == ["salt", "sodium", "chlorine"]
    assert phases.formation_energy_per_atom.tolist() == [-2.0, 0.0, 0.0]
    assert phases.scheme == "by hand"
    with pytest.raises(MissingElementError, match="Cl"):
        Evaluations.of(ended[:2], ids[:2], "by hand").phases()

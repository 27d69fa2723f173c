"""Laws of all generators: parents untouched, no influence of workers, no repeats, flat memory."""

import hashlib
import itertools
import math
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.elements import atomic_number
from gnomon.generate import CHUNK, Candidates, Generator
from gnomon.generate.compositions.generator import CompositionGenerator
from gnomon.generate.evolution.generator import EvolutionGenerator
from gnomon.generate.prototypes import generator as prototypes
from gnomon.generate.prototypes.extracted import extract_prototypes
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.generate.random import generator as random_search
from gnomon.generate.random.generator import RandomSearchGenerator
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.generate.seen import SeenKeys
from gnomon.generate.substitution.generator import SubstitutionGenerator
from gnomon.generate.substitution.model import SubstitutionModel
from gnomon.structure.duplicates import FAST, group_duplicates
from gnomon.structure.protostructures import protostructure
from gnomon.structure.symmetry import canonical_ids
from gnomon.testing import check_generator
from tests.conftest import REPOSITORY

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
ELEMENTS = ("Na", "K", "Cl", "Br", "Sr", "Ti", "Zr", "O")


def numbers(*symbols: str) -> np.ndarray:
    return np.array([atomic_number(symbol) for symbol in symbols])


def rocksalt(a: float, *elements: str) -> Crystals:
    return Crystals.single(FCC * a, numbers(*elements), [[0, 0, 0], [0.5, 0.5, 0.5]])


PEROVSKITE = Crystals.single(
    np.eye(3) * 3.905,
    numbers("Sr", "Ti", "O", "O", "O"),
    [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
)
PARENTS = Crystals.concatenate([rocksalt(5.64, "Na", "Cl"), PEROVSKITE, rocksalt(6.29, "K", "Cl")])


def substitution(**options: int) -> Generator:
    return SubstitutionGenerator(SubstitutionModel.pymatgen(), elements=ELEMENTS, **options)


def saps(**options: int) -> Generator:
    model = SubstitutionModel.pymatgen()
    return SapsGenerator(model, elements=ELEMENTS, **{"most": 3, **options})


def extracted() -> Generator:
    return PrototypeGenerator(("Au", "Cu", "Zn"), given=tuple(extract_prototypes(PARENTS)))


GENERATORS: dict[str, Callable[[], Generator]] = {
    "substitution": substitution,
    "saps": saps,
    "prototypes": lambda: PrototypeGenerator(("Au", "Cu"), max_atoms=4),
    "known": lambda: PrototypeGenerator(("Au", "Cu"), 4, known=Occurrence.load(), most=20),
    "extracted": extracted,
    "evolution": lambda: EvolutionGenerator(max_atoms=8, children=20),
    "random": lambda: RandomSearchGenerator(("NaCl", "Cu", "SiO2"), count=5, max_atoms=8),
}


def told(chunks: Iterator[Candidates]) -> list[tuple[str, str]]:
    """Id and history of each candidate."""
    return [
        (row["id"], f"{row['parent_id']} {row['generator']} {row['change']} {row['score']}")
        for chunk in chunks
        for row in chunk.lineage.to_pylist()
    ]


def joined(chunks: Iterator[Candidates]) -> Crystals:
    return Crystals.concatenate([chunk.crystals for chunk in chunks])


def one_size(crystals: Crystals) -> Crystals:
    """10 Å^3 an atom."""
    return crystals.scale_volume(10 * crystals.n_atoms / crystals.volumes)


def digest() -> str:
    """Of all that all generators make, compositions among them."""
    found = [told(make().generate(PARENTS, seed=3)) for make in GENERATORS.values()]
    tables = CompositionGenerator(("Li", "Fe", "O"), max_atoms=8).generate()
    formulas = [table["reduced_formula"].to_pylist() for table in tables]
    return hashlib.sha256(repr((found, formulas)).encode()).hexdigest()


# --- parents and seeds ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_keep_their_laws(name: str) -> None:
    assert len(check_generator(GENERATORS[name], PARENTS, seed=3).crystals) > 3


# --- workers --------------------------------------------------------------------------------------


def test_threads_processes_and_the_hashes_of_a_run_change_nothing() -> None:
    """Python orders sets by hashes of its own in each run; libraries may use several threads."""
    code = "from tests.test_generator_laws import digest; print(digest())"
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == digest()


@pytest.mark.parametrize("workers", [2, 3])
def test_partial_substitutions_do_not_depend_on_the_number_of_workers(workers: int) -> None:
    """Repeats between parents that different processes worked on are left out all the same."""
    generator = saps(workers=workers, chunk=50)
    assert told(generator.generate(PARENTS, seed=3)) == told(saps().generate(PARENTS, seed=3))


def test_substitutions_of_parents_shared_out_are_those_of_one_without_repeats() -> None:
    """What two workers both find is what one leaves out: the same protostructure."""

    def share(i: int) -> list[tuple[tuple[str, str], int]]:
        chunks = list(substitution().generate(PARENTS[i], seed=3))
        crystals = joined(iter(chunks))
        structures = [protostructure(one) for one in crystals]
        keys = [int(s.keys(s.elements[None])[0]) for s in structures]
        return list(zip(told(iter(chunks)), keys, strict=True))

    with ThreadPoolExecutor(3) as pool:
        every = list(itertools.chain(*pool.map(share, range(3))))
    first: dict[int, tuple[str, str]] = {}
    for row, key in every:
        first.setdefault(key, row)
    assert list(first.values()) == told(substitution().generate(PARENTS, seed=3))
    assert len(first) < len(every)


def test_random_cells_do_not_depend_on_who_makes_which_composition() -> None:
    formulas = ("NaCl", "Cu", "SiO2")

    def share(formula: str) -> list[tuple[str, str]]:
        generator = RandomSearchGenerator((formula,), count=5, max_atoms=8)
        return told(generator.generate(Crystals.empty(), seed=3))

    with ThreadPoolExecutor(3) as pool:
        shares = list(itertools.chain(*pool.map(share, formulas)))
    assert shares == told(GENERATORS["random"]().generate(Crystals.empty(), seed=3))


# --- sizes of chunks ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prototypes", "extracted"])
def test_decorations_do_not_depend_on_the_chunk(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = told(GENERATORS[name]().generate(PARENTS, seed=3))
    monkeypatch.setattr(prototypes, "CHUNK", 2)
    assert told(GENERATORS[name]().generate(PARENTS, seed=3)) == whole


def test_random_cells_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over neighbours in soft spheres differ in the last digit with the batch."""
    whole = told(GENERATORS["random"]().generate(Crystals.empty(), seed=3))
    monkeypatch.setattr(random_search, "BATCH", 2)
    assert told(GENERATORS["random"]().generate(Crystals.empty(), seed=3)) == whole


def test_compositions_do_not_depend_on_the_chunk() -> None:
    def formulas(chunk: int) -> list[str]:
        generator = CompositionGenerator(("Li", "Fe", "O", "Si"), max_atoms=7, chunk=chunk)
        return [f for table in generator.generate() for f in table["reduced_formula"].to_pylist()]

    assert formulas(1) == formulas(10**6)
    assert len(set(formulas(50))) == len(formulas(50)) > 50


# --- no repeats -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["substitution", "saps", "prototypes", "extracted"])
def test_no_two_outputs_are_one_crystal_in_two_sizes(name: str) -> None:
    crystals = one_size(joined(GENERATORS[name]().generate(PARENTS, seed=3)))
    assert len(set(canonical_ids(crystals).tolist())) == len(crystals)


def test_no_two_random_cells_are_one_crystal_in_two_sizes() -> None:
    crystals = joined(GENERATORS["random"]().generate(Crystals.empty(), seed=3))
    assert len(set(group_duplicates(crystals, FAST).of.tolist())) == len(crystals)


# --- memory ---------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 60), max_size=12), max_size=12))
def test_seen_keys_are_a_set(batches: list[list[int]]) -> None:
    seen, expected = SeenKeys(), set()
    for batch in batches:
        new = seen.add(np.array(batch, dtype=np.uint64))
        assert [key for key, fresh in zip(batch, new.tolist(), strict=True) if fresh] == [
            key for i, key in enumerate(batch) if key not in expected and key not in batch[:i]
        ]
        expected |= set(batch)
        assert len(seen) == len(expected)


def test_seen_keys_take_eight_bytes_each() -> None:
    keys = np.random.default_rng(0).integers(0, 2**63, 300_000, dtype=np.uint64)
    tracemalloc.start()
    seen = SeenKeys()
    for part in np.split(keys, 1000):
        seen.add(part)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 9 * len(keys)
    assert peak < 20 * len(keys)  # two blocks and the one that they become


def test_choices_of_elements_come_as_they_are_needed() -> None:
    [prototype] = extract_prototypes(PEROVSKITE)
    symbols = range(1, 90)
    tracemalloc.start()
    total = sum(len(rows) for rows in prototype.choices(symbols, CHUNK))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == math.comb(89, 3) * len(prototype.decorations)
    assert peak < 3 * 8 * total / 4
    expected = [
        row for c in itertools.combinations(range(4), 3) for row in itertools.permutations(c)
    ]
    found = np.concatenate(list(prototype.choices(range(4), CHUNK)))
    assert sorted(map(tuple, found.tolist())) == sorted(expected)


def test_memory_does_not_grow_with_what_substitution_has_made() -> None:
    """Each parent has two sites on top of each other, so that none shares its children."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5001]]
    parent = Crystals.single(FCC * 5.64, numbers("Ca", "F", "F"), sites)
    parents = Crystals.concatenate([parent.scale_volume(1 + 0.02 * i) for i in range(40)])
    generator = SubstitutionGenerator(SubstitutionModel.pymatgen(), chunk=50)
    tracemalloc.start()
    held, made = [], 0
    for chunk in generator.generate(parents, seed=0):
        made += len(chunk.crystals)
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    half = len(held) // 2
    assert made > 500
    assert max(held[half:]) - max(held[:half]) < 60 * made

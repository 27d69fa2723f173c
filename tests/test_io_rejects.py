"""Every reason for a reject, by example, and the law of the closest distance."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from vesin import NeighborList

from gnomon import io
from gnomon.crystals import Crystals
from gnomon.io.checks import MIN_DISTANCE, screen
from gnomon.io.records import Content, Limits, Record, stack
from tests.damaged_files import optimade
from tests.strategies import random_crystal, rewritten, rngs
from tests.test_io_read import FRAME, P1, POSCAR, ROCKSALT, structure

MARGIN = 1e-6
"""Å around MIN_DISTANCE within which rounding may decide either way."""

OPTIMADE = json.dumps(optimade(ROCKSALT))
MP = json.dumps({"material_id": "mp-1", "structure": structure(ROCKSALT)})


@pytest.mark.parametrize(
    ("reason", "name", "text"),
    [
        ("unreadable", "POSCAR", POSCAR[:60]),
        ("unreadable", "POSCAR", POSCAR.replace("1 1\n", "1 99\n")),
        ("unreadable", "x.json", '{"structure": '),
        ("unreadable", "x.json", '{"no": "crystal"}'),
        ("unreadable", "x.json", "[1]"),
        ("unreadable", "x.json", MP.replace('"material_id"', '"energy_per_atom": "low", "id"')),
        ("unreadable", "x.extxyz", "nonsense\n"),
        ("unreadable", "x.parquet", "PAR1"),
        ("unreadable", "x.cif", P1.replace("5.64", "five")),
        ("partial_occupancy", "x.cif", P1.replace("_z\n", "_z\n_atom_site_occupancy\n")
            .replace("Na1 0 0 0", "Na1 0 0 0 0.5").replace("0.5 0.5 0.5", "0.5 0.5 0.5 1")),
        ("partial_occupancy", "x.cif", P1 + "K1 0 0 0\n"),
        ("partial_occupancy", "x.json", OPTIMADE.replace("[1.0]", "[0.9]")),
        ("partial_occupancy", "x.json", MP.replace('"occu": 1', '"occu": 0.5')),
        ("zero_volume", "POSCAR", POSCAR.replace("0 0 4", "4 4 0")),
        ("zero_volume", "POSCAR", POSCAR.replace("0 0 4", "4 4 0").replace("Direct", "Cartesian")),
        ("zero_volume", "x.cif", P1.replace("length_c 5.64", "length_c 0")),
        ("zero_volume", "x.json", OPTIMADE.replace("[0.0, 2.82, 2.82]", "[0.0, 0.0, 0.0]")),
        ("atoms_too_close", "POSCAR", POSCAR.replace("0.5 0.5 0.5", "0.01 0 0")),
        ("atoms_too_close", "POSCAR", POSCAR.replace("0.5 0.5 0.5", "0.99 0.99 0.99")),
        ("atoms_too_close", "POSCAR", POSCAR.replace("0 0 4", "0 0 0.4")),
        ("atoms_too_close", "POSCAR", POSCAR.replace("0 0 4", "400 0 0.7")
            .replace("0.5 0.5 0.5", "0 0 0.5")),
        ("unknown_element", "POSCAR", POSCAR.replace("Cs Cl\n", "")),  # VASP 4
        ("unknown_element", "x.extxyz", FRAME.replace("Cs", "Xx")),
        ("unknown_element", "x.extxyz", FRAME.replace("Cs", "X")),
        ("unknown_element", "x.cif", P1.replace("Na1", "Zz1")),
        ("unknown_element", "x.cif", P1.replace("Na1", "1")),
        ("unknown_element", "x.json", OPTIMADE.replace('["Na"]', '["vacancy"]')),
        ("unknown_element", "x.json", MP.replace('"element": "Na"', '"element": "Q"')),
        ("missing_lattice", "x.extxyz", "1\n\nNa 0 0 0\n"),
        ("missing_lattice", "x.extxyz", FRAME.replace("energy", 'pbc="T T F" energy')),
        ("missing_lattice", "x.json", OPTIMADE.replace("[1, 1, 1]", "[1, 1, 0]")),
        ("missing_lattice", "x.json", '{"@class": "Molecule", "sites": [{}]}'),
        ("missing_lattice", "x.cif", P1.replace("_cell_length", "_no_length")),
        ("not_finite", "x.json", MP.replace('"abc": [0.0', '"abc": [NaN')),
        ("not_finite", "x.json", MP.replace('"material_id"', '"energy_per_atom": Infinity, "id"')),
        ("not_finite", "x.extxyz", FRAME.replace("2 2 2", "2 nan 2")),
        ("not_finite", "x.cif", P1.replace("Na1 0 0 0", "Na1 nan 0 0")),
        ("empty", "POSCAR", "\n"),
        ("empty", "x.extxyz", ""),
        ("empty", "x.extxyz", FRAME.splitlines()[1].join(("0\n", "\n"))),
        ("empty", "x.cif", "data_global\n"),
        ("empty", "x.cif", P1[: P1.index("loop_")]),
        ("empty", "x.json", "[]"),
        ("empty", "x.json", '{"lattice": {}, "sites": []}'),
        ("too_large", "POSCAR", POSCAR.replace("1 1\n", "1 4\n") + "0 0 0\n" * 9),
        ("too_large", "x.extxyz", "5" + FRAME[1:]),
        ("too_large", "x.cif", P1 + "".join(f"K{i} 0.1 0.1 0.{i}\n" for i in range(3))),
        ("too_large", "x.json", MP.replace('"sites": [', '"sites": [{}, {}, {}, ')),
        ("too_large", "POSCAR", POSCAR.replace("0 0 4", "0 0 40000")),
        ("too_large", "POSCAR", POSCAR.replace("0.5 0.5 0.5", "0.5 0.5 99999.5")),
        ("incomplete", "x.cif", P1.replace("Na1 0 0 0", "Na1 ? ? ?")),
        ("incomplete", "x.cif", P1.replace("Na1 0 0 0", "Na1 . 0 0")),
        ("incomplete", "x.cif", P1.replace("Na1", "OH1")),
        ("contradictory", "x.cif", P1.replace("_cell_length_a", "_cell_volume 9\n_cell_length_a")),
        ("incomplete", "x.cif", P1.replace("Na1", "Wat1")),
        ("incomplete", "x.json", OPTIMADE.replace('"species_at_sites": ["Na", "Cl"]',
            '"species_at_sites": null')),
    ],
)  # fmt: skip
def test_reasons_by_example(reason: str, name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    result = io.read(tmp_path / name, max_atoms=4)
    (reject,) = result.rejects.to_pylist()
    assert reject["reason"] == reason, reject["detail"]
    assert reject["detail"]
    assert reject["source"].startswith(str(tmp_path / name))
    assert len(result.crystals) == 0


def test_the_examples_show_every_reason() -> None:
    (examples,) = (
        mark.args[1]
        for mark in test_reasons_by_example.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
    )
    assert {reason for reason, _, _ in examples} == {str(r) for r in io.Reason}


def test_nearly_full_sites_are_full(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(MP.replace('"occu": 1', '"occu": 0.9995'))
    assert len(io.read(tmp_path / "x.json").crystals) == 1


def test_left_handed_cells_are_legal(tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text(POSCAR.replace("0 0 4", "0 0 -4"))
    result = io.read(tmp_path / "POSCAR", strict=True)
    assert np.linalg.det(result.crystals.lattice[0]) < 0


def reasons(*crystals: Crystals) -> list[object]:
    records = [Record("x", content=Content(*(np.array(a) for a in c.arrays(0)))) for c in crystals]
    return list(screen(stack(records), Limits(2_000, 1)).reasons)


def shortest(crystal: Crystals) -> float:
    """Å, by vesin's neighbour list; twice MIN_DISTANCE where nothing is nearer than that."""
    neighbours = NeighborList(cutoff=2 * MIN_DISTANCE, full_list=False, n_threads=1)
    (distances,) = neighbours.compute(crystal.cart_coords, crystal.lattice[0], True, "d")
    return float(distances.min(initial=2 * MIN_DISTANCE))


@given(rngs, st.floats(0.01, 1.5), st.integers(0, 2), st.booleans())
def test_atoms_are_too_close_exactly_where_a_neighbour_list_says_so(
    rng: np.random.Generator, scale: float, axis: int, neighbour: bool
) -> None:
    """Squeezed and skewed cells, down to spacings of 0.03 Å, in any basis."""
    squeeze = np.ones(3)
    squeeze[axis] = scale
    crystal = random_crystal(rng, max_atoms=3)
    if neighbour and crystal.n_atoms[0] > 1:  # a second atom within about 1 Å of the first
        frac = crystal.frac_coords.copy()
        frac[1] = frac[0] + rng.normal(size=3) * 0.4 @ np.linalg.inv(crystal.lattice[0])
        crystal = crystal.with_frac_coords(frac)
    crystal = crystal.with_lattice(crystal.lattice * squeeze)
    crystal = rewritten(crystal, rng)
    expected = shortest(crystal)
    assume(abs(expected - MIN_DISTANCE) > MARGIN)
    close = reasons(crystal) == [io.Reason.atoms_too_close]
    assert close == (expected < MIN_DISTANCE)


@given(rngs)
def test_a_batch_is_judged_crystal_by_crystal(rng: np.random.Generator) -> None:
    batch = [random_crystal(rng) for _ in range(6)]
    batch = [c.scale_volume(float(rng.choice([1.0, 1e-3]))) for c in batch]
    assert reasons(*batch) == [r for c in batch for r in reasons(c)]

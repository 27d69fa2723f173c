"""Frames: labelled crystals of one scheme, taken, joined, written and read back."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.io import InputError, to_arrow, to_pymatgen
from gnomon.io.frames import Frames, iter_frames, read_frames, write_frames
from tests.strategies import random_crystal

EXTXYZ_TOLERANCE = 1e-8
"""Extended XYZ holds 8 decimals of positions (Å) and forces; 16 digits of the cell and energy."""

GPA = 160.2176634
"""GPa in an eV/Å^3 (CODATA 2018, exact)."""


def random_frames(rng: np.random.Generator, n: int = 5) -> Frames:
    """Frames of random labels; some lack forces or stress."""
    crystals = Crystals.concatenate([random_crystal(rng) for _ in range(n)])
    forces = rng.normal(size=(int(crystals.offsets[-1]), 3))
    forces[np.isin(crystals.crystal_index, np.flatnonzero(rng.random(n) < 0.2))] = np.nan
    strain = rng.normal(scale=0.01, size=(n, 3, 3))
    stress = strain + strain.transpose(0, 2, 1)
    stress[rng.random(n) < 0.2] = np.nan
    energy = rng.normal(scale=20, size=n)
    return Frames.of(crystals, energy, forces, stress, scheme="PBE", first=rng.random(n) < 0.5)


seeds = st.integers(0, 2**32 - 1)


def same(a: Frames, b: Frames) -> bool:
    """Whether two batches are equal to the last bit."""
    columns = ("energy", "forces", "stress", "first", "group")
    return (
        a.crystals.ids.tolist() == b.crystals.ids.tolist()
        and a.scheme == b.scheme
        and all(
            np.array_equal(getattr(a, c), getattr(b, c), equal_nan=c in columns[:3])
            for c in columns
        )
    )


# --- the type -------------------------------------------------------------------------------------


@given(seed=seeds, cut=st.integers(0, 5))
def test_parts_of_frames_join_to_the_whole(seed, cut):
    given_frames = random_frames(np.random.default_rng(seed))
    n = len(given_frames)
    parts = [given_frames.take(np.arange(cut)), given_frames.take(np.arange(n) >= cut)]
    assert same(Frames.concatenate(parts), given_frames)


@given(seed=seeds)
def test_taking_keeps_atoms_with_their_crystal(seed):
    given_frames = random_frames(np.random.default_rng(seed))
    order = np.arange(len(given_frames))[::-1]
    turned = given_frames.take(order)
    for i, j in enumerate(order):
        one = given_frames.take([int(j)])
        assert same(turned.take([i]), one)
        assert len(one.forces) == given_frames.crystals.n_atoms[j]
    assert turned.has_forces.tolist() == given_frames.has_forces[::-1].tolist()


def test_groups_are_reduced_formulas_and_energies_are_total():
    two = Frames.of(
        Crystals.single(5.64 * np.eye(3), [11, 17, 11, 17], np.arange(12).reshape(4, 3) / 13),
        np.array([-13.0]),
        scheme="PBE",
    )
    assert two.group.tolist() == ["NaCl"]
    assert two.energy_per_atom.tolist() == [-3.25]
    assert not two.first.any()
    assert not two.has_forces.any()
    assert not two.has_stress.any()
    assert not two.energy.flags.writeable


def test_two_schemes_are_refused_by_name():
    one = random_frames(np.random.default_rng(0))
    other = Frames.of(one.crystals, one.energy, scheme="r2SCAN")
    with pytest.raises(ValueError, match="'PBE' and 'r2SCAN'"):
        Frames.concatenate([one, other])
    with pytest.raises(ValueError, match="no frames"):
        Frames.concatenate([])


def test_an_energy_that_is_none_and_an_empty_scheme_are_refused():
    crystal = random_crystal(np.random.default_rng(0))
    with pytest.raises(ValueError, match="finite energies"):
        Frames.of(crystal, np.array([np.nan]), scheme="PBE")
    with pytest.raises(ValueError, match="name of an energy scheme"):
        Frames.of(crystal, np.array([0.0]), scheme="")


# --- files ----------------------------------------------------------------------------------------


@given(seed=seeds)
@settings(max_examples=10)
def test_parquet_gives_back_the_very_frames(tmp_path_factory, seed):
    given_frames = random_frames(np.random.default_rng(seed))
    path = tmp_path_factory.mktemp("frames") / "part.parquet"
    write_frames(path, given_frames)
    read = read_frames(path)
    assert same(read.frames, given_frames)
    assert len(read.rejects) == 0


@pytest.mark.parametrize("name", ["frames.extxyz", "frames.extxyz.gz"])
def test_extended_xyz_gives_back_the_frames(tmp_path, name):
    written = random_frames(np.random.default_rng(3), 8)
    write_frames(tmp_path / name, written)
    read = read_frames(tmp_path / name).frames
    assert read.scheme == "PBE"
    assert read.first.tolist() == written.first.tolist()
    assert read.group.tolist() == written.group.tolist()
    for column in ("energy", "forces", "stress"):
        np.testing.assert_allclose(
            getattr(read, column), getattr(written, column), rtol=0, atol=EXTXYZ_TOLERANCE
        )
    np.testing.assert_allclose(
        read.crystals.cart_coords, written.crystals.cart_coords, rtol=0, atol=EXTXYZ_TOLERANCE
    )


def test_a_folder_of_parts_is_read_in_order_in_any_chunks(tmp_path):
    parts = [random_frames(np.random.default_rng(i), 3) for i in range(3)]
    for i, part in enumerate(parts):
        write_frames(tmp_path / f"part-{i:05d}.parquet", part)
    (tmp_path / "rejects").mkdir()
    (tmp_path / "provenance.json").write_text("{}")
    whole = Frames.concatenate(parts)
    assert same(read_frames(tmp_path).frames, whole)
    assert same(read_frames([tmp_path]).frames, whole)
    pieces = [r.frames for r in iter_frames(tmp_path, chunk=2)]
    assert [len(p) for p in pieces] == [2, 1] * 3
    assert same(Frames.concatenate(pieces), whole)


def test_a_file_without_a_scheme_takes_the_callers_and_a_file_with_one_keeps_it(tmp_path):
    written = random_frames(np.random.default_rng(4))
    write_frames(tmp_path / "named.parquet", written)
    table = pq.read_table(tmp_path / "named.parquet").replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "nameless.parquet")
    with pytest.raises(ValueError, match=r"nameless\.parquet does not name its energy scheme"):
        read_frames(tmp_path / "nameless.parquet")
    assert read_frames(tmp_path / "nameless.parquet", scheme="r2SCAN").frames.scheme == "r2SCAN"
    with pytest.raises(ValueError, match="'PBE', not 'r2SCAN'"):
        read_frames(tmp_path / "named.parquet", scheme="r2SCAN")
    write_frames(
        tmp_path / "other.parquet", read_frames(tmp_path / "nameless.parquet", scheme="x").frames
    )
    with pytest.raises(ValueError, match="'PBE' and 'x'"):
        read_frames([tmp_path / "named.parquet", tmp_path / "other.parquet"])


def test_bad_rows_of_a_table_are_rejects_with_their_reason(tmp_path):
    crystals = Crystals.concatenate([random_crystal(np.random.default_rng(i)) for i in range(7)])
    forces = [np.zeros(3 * n).tolist() for n in crystals.n_atoms]
    forces[1], forces[2] = None, forces[2][:-1]
    forces[3][0] = np.inf
    forces[4][0] = np.nan
    columns = {
        "energy": [0.0, 0.0, 0.0, 0.0, 0.0, None, np.inf],
        "forces": forces,
        "first": [True, None, False, False, False, False, False],
    }
    table = to_arrow(crystals)
    for name, column in columns.items():
        table = table.append_column(name, pa.array(column))
    pq.write_table(table, tmp_path / "t.parquet")
    read = read_frames(tmp_path / "t.parquet", scheme="PBE")
    assert read.frames.crystals.ids.tolist() == crystals.ids[:2].tolist()
    assert read.frames.first.tolist() == [True, False]
    assert read.frames.has_forces.tolist() == [True, False]
    rejects = {r["source"].rpartition("#")[2]: r["reason"] for r in read.rejects.to_pylist()}
    assert rejects == {
        "2": "unreadable",
        "3": "not_finite",
        "4": "not_finite",
        "5": "incomplete",
        "6": "not_finite",
    }


def test_bad_frames_of_extended_xyz_are_rejects_and_the_others_are_read(tmp_path):
    cell = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3'
    path = tmp_path / "f.extxyz.gz"
    text = (
        f'1\n{cell}:forces:R:3 energy=-1.0 stress="1 2 3 4 5 6"\nCu 0 0 0 0.1 0 0\n'
        f"1\n{cell}\nCu 0 0 0\n"
        f"1\n{cell} energy=-1.0\nXq 0 0 0\n"
        "0\nenergy=1\n"
        f"1\n{cell} energy=-2.0\nAu 0 0 0\n"
        "one\n"
    )
    path.write_bytes(gzip.compress(text.encode()))
    read = read_frames(path, scheme="EMT")
    assert read.frames.energy.tolist() == [-1.0, -2.0]
    assert read.frames.stress[0].tolist() == [[1, 6, 5], [6, 2, 4], [5, 4, 3]]  # Voigt's order
    assert read.frames.has_stress.tolist() == [True, False]
    assert read.rejects["reason"].to_pylist() == [
        "incomplete",
        "unknown_element",
        "empty",
        "unreadable",
    ]
    assert [s.rpartition("#")[2] for s in read.rejects["source"].to_pylist()] == list("1235")


def test_documents_with_a_structure_and_an_energy_are_frames(tmp_path):
    crystal = random_crystal(np.random.default_rng(5))
    (structure,) = to_pymatgen(crystal)
    document = {"material_id": "a", "structure": structure.as_dict(), "energy": -3.5}
    text = json.dumps([document, {"material_id": "b", "energy": -1.0}])
    (tmp_path / "d.json").write_text(text)
    read = read_frames(tmp_path / "d.json", scheme="PBE")
    assert read.frames.energy.tolist() == [-3.5]
    assert read.frames.crystals.n_atoms.tolist() == crystal.n_atoms.tolist()
    assert read.rejects["reason"].to_pylist() == ["unreadable"]


def test_mistakes_name_the_file_and_the_remedy(tmp_path):
    written = random_frames(np.random.default_rng(6))
    write_frames(tmp_path / "a.parquet", written)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_frames(tmp_path / "a.parquet", written)
    write_frames(tmp_path / "a.parquet", written.take([0]), overwrite=True)
    assert len(read_frames(tmp_path / "a.parquet").frames) == 1
    with pytest.raises(InputError, match=r"a\.cif: frames are written as one of"):
        write_frames(tmp_path / "a.cif", written)
    pq.write_table(to_arrow(written.crystals), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: no frames: it lacks the column energy"):
        read_frames(tmp_path / "b.parquet", scheme="PBE")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"c\.parquet: damaged"):
        read_frames(tmp_path / "c.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \*\.parquet or \*\.extxyz directly"):
        read_frames(tmp_path / "empty")
    with pytest.raises(InputError, match="no such file"):
        read_frames(tmp_path / "absent.parquet")


# --- real data ------------------------------------------------------------------------------------


def test_dft_frames_are_read_in_ases_sign_and_units(shared_data):
    hot = read_frames(shared_data / "dft_forces" / "mpf-TP.extxyz.gz", scheme="PBE+U")
    assert len(hot.rejects) == 0
    assert hot.frames.has_forces.all()
    pressure = -np.trace(hot.frames.stress, axis1=1, axis2=2) / 3 * GPA
    # up to 1000 GPa and 5000 K: compressed cells push outwards, which is a negative stress
    assert 1 < np.median(pressure) < 100
    assert (pressure > 0).mean() > 0.9
    net = np.add.reduceat(hot.frames.forces, hot.frames.crystals.offsets[:-1])
    assert np.abs(net).max() < 0.02  # Newton's third law, to DFT's noise


def test_structures_of_wbm_with_energies_are_frames(shared_data):
    path = shared_data / "wbm" / "wbm-random-pbe52-equilibrium-2025.1.json.gz"
    read = read_frames(path, scheme="PBE+U")
    assert len(read.frames) + len(read.rejects) == 972
    assert -15 < read.frames.energy_per_atom.min() < read.frames.energy_per_atom.max() < 0

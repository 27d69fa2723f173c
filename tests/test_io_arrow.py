"""Crystals to and from Arrow tables, pymatgen and ASE objects."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from gnomon import io
from gnomon.crystals import Crystals
from tests.strategies import random_crystal, rewritten, rngs

ASE_TOLERANCE = 1e-11
"""Fractional: ASE keeps Cartesian coordinates, so one product and one solve lie between."""

ROCKSALT = ([[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]], [11, 17], [[0] * 3, [0.5] * 3])


def batch(rng: np.random.Generator) -> Crystals:
    """Up to six crystals in odd cells of either handedness."""
    return Crystals.concatenate(
        [rewritten(random_crystal(rng), rng) for _ in range(rng.integers(0, 7))]
    )


batches = rngs.map(batch)


@given(batches)
def test_arrow_keeps_every_number(crystals: Crystals) -> None:
    table = io.to_arrow(crystals)
    assert table.schema == io.CRYSTALS
    assert table["id"].to_pylist() == crystals.ids.tolist()
    assert table["reduced_formula"].to_pylist() == crystals.reduced_formulas.tolist()
    assert_same(io.from_arrow(table), crystals)


@given(batches, st.data())
def test_slices_and_chunks_are_the_rows_they_show(crystals: Crystals, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(crystals)))
    length = data.draw(st.integers(0, len(crystals) - first))
    table = io.to_arrow(crystals)
    assert_same(io.from_arrow(table.slice(first, length)), crystals[first : first + length])
    again = pa.concat_tables([table.slice(first), table, table.slice(0, first)])
    order = [*range(first, len(crystals)), *range(len(crystals)), *range(first)]
    assert_same(io.from_arrow(again), crystals.take(np.array(order, dtype=np.int64)))


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float64())])
def test_any_kind_of_list_is_read(kind: pa.DataType) -> None:
    crystals = batch(np.random.default_rng(3))
    table = io.to_arrow(crystals)
    for name in ("lattice", "frac_coords"):
        index = table.column_names.index(name)
        table = table.set_column(index, name, table[name].cast(kind))
    numbers = pa.chunked_array(
        [pa.array(table["atomic_numbers"].to_pylist(), pa.list_(pa.int64()))]
    )
    table = table.set_column(3, "atomic_numbers", numbers)
    assert_same(io.from_arrow(table), crystals)


def test_fixed_size_coordinates_are_read() -> None:
    one = Crystals.single(*ROCKSALT)
    table = io.to_arrow(Crystals.concatenate([one, one]))
    coordinates = table["frac_coords"].cast(pa.list_(pa.float64(), 6))
    assert_same(io.from_arrow(table.set_column(4, "frac_coords", coordinates))[1], one)


def test_null_and_misshapen_rows_are_named_and_never_shift_the_others() -> None:
    crystals = Crystals.concatenate([Crystals.single(*ROCKSALT)] * 3)
    rows = io.to_arrow(crystals).to_pylist()
    rows[1]["lattice"] = None
    nullable = pa.schema([f.with_nullable(True) for f in io.CRYSTALS])
    table = pa.Table.from_pylist(rows, nullable)
    with pytest.raises(io.InputError, match=r"row 1 .* null"):
        io.from_arrow(table)
    assert_same(io.from_arrow(table.slice(2)), crystals[2])
    rows[1]["lattice"] = rows[0]["lattice"]
    rows[2]["frac_coords"] = [0.0]
    with pytest.raises(io.InputError, match="row 2 "):
        io.from_arrow(pa.Table.from_pylist(rows, nullable))


def test_missing_and_wrong_columns_are_named() -> None:
    table = io.to_arrow(Crystals.single(*ROCKSALT))
    with pytest.raises(io.InputError, match=r"missing: lattice, frac_coords; found: id"):
        io.from_arrow(table.drop_columns(["lattice", "frac_coords"]))
    with pytest.raises(io.InputError, match="lattice must hold lists of numbers, not string"):
        io.from_arrow(table.set_column(2, "lattice", pa.array(["5 0 0"])))


def test_sodium_nitride_keeps_its_name_in_parquet(tmp_path: object) -> None:
    nitride = Crystals.single(np.eye(3) * 5, [11, 7], [[0] * 3, [0.5] * 3])
    buffer = pa.BufferOutputStream()
    pq.write_table(io.to_arrow(nitride), buffer)
    table = pq.read_table(pa.BufferReader(buffer.getvalue()))
    assert table["reduced_formula"].to_pylist() == ["NaN"]
    assert io.from_arrow(table).reduced_formulas.tolist() == ["NaN"]


@given(batches)
def test_pymatgen_keeps_every_number(crystals: Crystals) -> None:
    assert_same(io.as_crystals(io.to_pymatgen(crystals)), crystals)


@given(batches)
def test_ase_keeps_crystals(crystals: Crystals) -> None:
    back = io.as_crystals(io.to_ase(crystals))
    np.testing.assert_array_equal(back.lattice, crystals.lattice)
    np.testing.assert_array_equal(back.atomic_numbers, crystals.atomic_numbers)
    np.testing.assert_allclose(back.frac_coords, crystals.frac_coords, atol=ASE_TOLERANCE)


def test_oxidation_states_and_isotopes_are_stripped() -> None:
    decorated = Structure(Lattice.cubic(5), ["Na+", "D"], [[0] * 3, [0.5] * 3])
    assert io.as_crystals(decorated).atomic_numbers.tolist() == [11, 1]


def test_what_is_no_crystal_is_a_mistake_of_the_caller() -> None:
    good = Structure(Lattice.cubic(5), ["Na"], [[0] * 3])
    shared = Structure(Lattice.cubic(5), [{"Na": 0.5, "K": 0.5}], [[0] * 3])
    dummy = Structure(Lattice.cubic(5), ["X"], [[0] * 3])
    slab = Structure(Lattice(np.eye(3) * 5, pbc=(True, True, False)), ["Na"], [[0] * 3])
    for bad, reason in (
        (shared, "partial_occupancy"),
        (dummy, "unknown_element"),
        (slab, "missing_lattice"),
    ):
        with pytest.raises(io.InputError, match=f"Structure 1 .*{reason}"):
            io.as_crystals([good, bad])
    with pytest.raises(io.InputError, match=r"the Atoms is no crystal.*missing_lattice"):
        io.as_crystals(Atoms("Na"))
    with pytest.raises(io.InputError, match="unknown_element"):
        io.as_crystals([Atoms("X", cell=np.eye(3), pbc=True)])
    with pytest.raises(io.InputError, match=r"Structure 0 .*no volume"):
        io.as_crystals([Structure(Lattice(np.zeros((3, 3))), ["Na"], [[0] * 3])])
    for nothing in ("NaCl.cif", Path("NaCl.cif"), {"lattice": 1}, 5, None):
        with pytest.raises(io.InputError, match=r"holds no crystals.*gnomon\.read"):
            io.as_crystals(nothing)
    with pytest.raises(io.InputError, match="int 1 is neither"):
        io.as_crystals([good, 5])


@given(batches)
def test_what_was_given_comes_back(crystals: Crystals) -> None:
    both = [crystals, *io.to_pymatgen(crystals), *io.to_ase(crystals)]
    kinds = [type(one) for one in both]
    assert [type(one) for one in io.like(io.as_crystals(both), iter(both))] == kinds
    assert io.like(io.as_crystals(crystals), crystals) is crystals
    for given_one in both[1:]:
        (one,) = io.as_crystals(given_one)
        back = io.like(one.scale_volume(2.0), given_one)
        assert type(back) is type(given_one)
        np.testing.assert_allclose(io.as_crystals(back).volumes, 2 * one.volumes)
    assert io.as_crystals([]).ids.tolist() == io.like(Crystals.empty(), []) == []
    with pytest.raises(io.InputError, match="crystals for the"):
        io.like(crystals, [*io.to_ase(crystals), Atoms("Na")])


def assert_same(one: Crystals, other: Crystals) -> None:
    """Equal to the last bit."""
    for name in ("lattice", "atomic_numbers", "frac_coords", "offsets"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))

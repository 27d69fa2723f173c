"""Families: what is bonded along how many dimensions, and what it consists of."""

import ase.build
import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.io import as_crystals
from gnomon.io.tables import OK, check_table
from gnomon.properties.families import FAMILIES, SCHEMA, Families, by_elements, counted


@pytest.mark.parametrize("times", [(1, 1, 1), (2, 1, 2)])
def test_layers_are_layers_in_any_cell_and_rock_salt_is_none(times):
    atoms = ase.build.mx2("MoS2", "2H", vacuum=3.0)
    atoms.pbc = True
    given = Crystals.concatenate(
        [as_crystals(atoms * times), as_crystals(ase.build.bulk("NaCl", "rocksalt", a=5.64))]
    )
    table = Families().compute(given, {})
    check_table(table)
    assert table.schema.names == SCHEMA.names
    rows = table.to_pylist()
    assert [row["value"] for row in rows] == [2, 3]
    assert [row["families"] for row in rows] == ["layered", ""]


def test_molecules_are_molecular_and_an_atom_alone_is_nothing():
    pair = Crystals.single(4 * np.eye(3), [7, 7], [[0, 0, 0], [0, 0, 1.1 / 4]])
    alone = Crystals.single(20 * np.eye(3), [18], [[0, 0, 0]])
    rows = Families().compute(Crystals.concatenate([pair, alone]), {}).to_pylist()
    assert (rows[0]["status"], rows[0]["value"], rows[0]["families"]) == (OK, 0, "molecular")
    assert "too far apart" in rows[1]["status"]
    assert rows[1]["value"] is None


@pytest.mark.parametrize(
    ("symbols", "families"),
    [
        ("Li Mn O", {"Li/Mn transition-metal oxide", "alkali oxide of transition metals"}),
        ("Li Mn Ni O", {"Li/Mn transition-metal oxide", "alkali oxide of transition metals"}),
        ("Li Co O", {"alkali oxide of transition metals"}),
        ("Li Mn P O", set()),
        ("Li Na Mn O", set()),
        ("Li O", set()),
    ],
)
def test_a_family_is_told_by_its_elements(symbols, families):
    numbers = frozenset(SYMBOLS.index(symbol) for symbol in symbols.split())
    assert set(by_elements(numbers)) == families


def test_every_family_is_counted_and_defined():
    assert counted([None, "", "layered; chains"]) == dict.fromkeys(FAMILIES, 0) | {
        "layered": 1,
        "chains": 1,
    }

"""Every property on every kind of nonsense: a status and a sentence, and the next row follows."""

from importlib.util import find_spec

import ase.build
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.dynamics.nonsense import empty_layers, unphysical
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals
from gnomon.io.tables import OK, check_table
from gnomon.properties import registry
from gnomon.properties.registry import PROPERTIES, PropertySettings, in_order
from tests.tiny_potentials import MORSE

SLAB = ase.build.fcc111("Cu", (1, 1, 3), vacuum=8.0)
SLAB.pbc = True
NONSENSE = {
    "one atom": Crystals.single(30 * np.eye(3), [29], [[0, 0, 0]]),
    "a molecule in a box": Crystals.single(20 * np.eye(3), [1, 1], [[0, 0, 0], [0, 0, 0.037]]),
    "a metal": as_crystals(ase.build.bulk("Cu")),
    "a crystal without ions": as_crystals(ase.build.bulk("SiC", "zincblende", a=4.36)),
    "ions without a framework": as_crystals(ase.build.bulk("Li")),
    "a slab": as_crystals(SLAB),
    "atoms on top of each other": Crystals.single(
        5 * np.eye(3), [3, 8], [[0, 0, 0], [0, 0, 0.001]]
    ),
    "a crushed crystal": as_crystals(ase.build.bulk("NaCl", "rocksalt", a=1.5)),
    "an element that nobody knows": as_crystals(ase.build.bulk("Fm", "fcc", a=5.0)),
    "a needle": Crystals.single(np.diag([1.0, 1.0, 900.0]), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]),
}
GIVEN = Crystals.concatenate(list(NONSENSE.values()))
EMT = EvaluatorConfig(name="ase:ase.calculators.emt.EMT", workers=1)
OPTIONS = {
    "conduction": {"time": 1.2, "dropped": 0.1, "interval": 0.05},
    "phonons": {"max_atoms": 40, "mesh": 5},
    "expansion": {"max_atoms": 40, "mesh": 5},
    "thermal_conductivity": {"max_atoms": 40, "mesh": 5, "max_displacements": 30},
}


MODELS = {name for name, place in PROPERTIES.built_in.items() if ".learned:" in place}
QUICK = {"band_gap", "bulk_modulus", "shear_modulus"}
"""Of the models in the package: heads, and networks of transfer."""

DFT = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gpaw") is None, reason="GPAW is not installed (extra gpaw)"),
]
MARKS = {"dft_band_gap": DFT} | {name: [pytest.mark.slow] for name in MODELS - QUICK}
NAMES = [pytest.param(name, marks=MARKS.get(name, [])) for name in PROPERTIES.names()]


def morse(relax):
    return BatchedEvaluator(MORSE, relax.model_copy(update={"max_steps": min(relax.max_steps, 8)}))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Of every property that a test has asked for, each computed once, by a Morse potential."""
    settings = PropertySettings(EMT, options=OPTIONS)
    known = {}

    def of(name):
        for other, made in in_order([name], settings).items():
            if other not in known:
                known[other] = made.compute(GIVEN, {need: known[need] for need in made.needs})
        return known[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNOMON_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(
            registry, "make_evaluator", lambda _, relax, __: BatchedEvaluator(MORSE, relax)
        )
        yield of


@pytest.mark.parametrize("name", NAMES)
def test_every_property_answers_nonsense_with_a_status_and_a_sentence(name, tables):
    table = tables(name)
    check_table(table)
    assert table["id"].to_pylist() == GIVEN.ids.tolist()
    for kind, row in zip(NONSENSE, table.to_pylist(), strict=True):
        assert len(row["status"].split()) > 1 or row["status"] == OK, kind
        assert "empty sequence" not in row["status"], kind
        if row["status"] == OK:
            assert np.isfinite(row["value"]), kind
        else:
            assert (row["value"], row["uncertainty"]) == (None, None), kind


@pytest.mark.parametrize("name", ["conduction", "bond_valence"])
@pytest.mark.parametrize("ion", ["Cu+", "Si4+", "O2-", "Cl-"])
def test_ions_asked_for_by_name_have_a_status_and_a_sentence_too(name, ion, tmp_path, monkeypatch):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path))
    options = {name: OPTIONS.get(name, {}) | {"ion": ion}}
    table, again = (
        PROPERTIES.get(name)(PropertySettings(EMT, options=options)).compute(GIVEN, {})
        for _ in range(2)  # what failed leaves nothing behind
    )
    check_table(table)
    assert table == again
    for kind, row in zip(NONSENSE, table.to_pylist(), strict=True):
        answered = row["status"] == OK and np.isfinite(row["value"])
        assert answered or len(row["status"].split()) > 1, kind


@pytest.mark.parametrize(
    "kind", ["a molecule in a box", "a slab", "atoms on top of each other", "a needle"]
)
def test_models_say_nothing_of_what_is_no_crystal(kind):
    assert unphysical(NONSENSE[kind]) != [""]
    assert unphysical(Crystals.concatenate([NONSENSE["a metal"], NONSENSE[kind]]))[0] == ""


@given(st.floats(8, 30), st.integers(0, 2), st.floats(0, 1))
def test_an_empty_layer_is_as_thick_as_its_vacuum_wherever_the_slab_lies(vacuum, axis, shift):
    lengths = np.full(3, 4.0)
    lengths[axis] = 4.0 + vacuum
    points = np.zeros((3, 3))
    points[:, axis] = np.array([0, 2, 4]) / lengths[axis] + shift
    slab = Crystals.single(np.diag(lengths), [12, 8, 12], points % 1.0)
    assert empty_layers(slab) == pytest.approx(vacuum)
    assert f"an empty layer of {vacuum:.1f}" in unphysical(slab)[0]

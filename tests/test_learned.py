"""What trained models say of crystals, as properties."""

import ase.build
import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.io import as_crystals
from gnomon.io.tables import check_table, read_table
from gnomon.models import Predictions
from gnomon.properties.compute import compute
from gnomon.properties.learned import PROPERTY, Predicted
from gnomon.properties.registry import PROPERTIES, PropertySettings

METALS = as_crystals([ase.build.bulk(symbol) for symbol in ("Cu", "Al", "Ni")])
COPPER_OXIDE = as_crystals(ase.build.bulk("CuO", "rocksalt", a=4.2))


def test_a_model_predicts_as_a_property():
    made = PROPERTIES.get("predicted")(PropertySettings())
    table = made.compute(Crystals.concatenate([COPPER_OXIDE, METALS]), {})
    check_table(table)
    assert table.schema.field("value").metadata[b"unit"] == b"eV/atom"
    assert table["value"][0].as_py() < table["value"][1].as_py() + 0.5  # an oxide, a metal
    assert table["uncertainty"].null_count == 0


class Told:
    """A model that says these logarithms."""

    scheme = "bulk_modulus (log10(GPa))"

    def predict(self, crystals):
        members = np.array([[1.9, np.nan], [2.1, np.nan]])
        return Predictions(members, np.array(["", "an element that it lacks"], dtype=object))


def test_logarithms_are_turned_back_with_their_uncertainty():
    told = PROPERTY.fullmatch(Told.scheme)
    assert (told["what"], told["log"], told["unit"]) == ("bulk_modulus", "log10(", "GPa")
    made = Predicted(Told(), "mine", "bulk modulus", "GPa", True)
    table = made.compute(METALS[:2], {})
    check_table(table)
    first, second = table.to_pylist()
    assert first["value"] == pytest.approx(100)
    assert first["uncertainty"] == pytest.approx(100 * np.log(10) * 0.05)
    assert second["status"] == "an element that it lacks"
    assert second["value"] is None


HARD = as_crystals(
    [
        ase.build.bulk("C", "diamond", a=3.567),
        ase.build.bulk("MgO", "rocksalt", a=4.212),
        ase.build.bulk("NaCl", "rocksalt", a=5.64),
    ]
)


def test_networks_order_textbook_crystals_as_measured(tmp_path):
    options = {"hardness": {"moduli": "predicted"}, "debye": {"moduli": "predicted"}}
    settings = PropertySettings(options=options)
    names = ["hardness", "debye", "debye_temperature", "thermal_expansion", "last_phonon_peak"]
    found = compute(HARD, names, settings, tmp_path)
    tables = {one.name: read_table(one.out).to_pylist() for one in found}
    bulk, shear = ([row["value"] for row in tables[n]] for n in ("bulk_modulus", "shear_modulus"))
    assert bulk == pytest.approx([443, 160, 25], rel=0.25)  # measured, GPa
    assert shear == pytest.approx([535, 130, 15], rel=0.35)
    for name in ("hardness", "debye", "debye_temperature", "last_phonon_peak"):
        values = [row["value"] for row in tables[name]]
        assert values == sorted(values, reverse=True)
    expansions = [row["value"] for row in tables["thermal_expansion"]]
    assert expansions == sorted(expansions)

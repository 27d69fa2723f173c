"""Pettifor maps, the table of substitutions and chemical potentials, as numbers to draw."""

import json
from base64 import b64decode
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from gnomon.elements import MODIFIED_PETTIFOR, SYMBOLS
from gnomon.explore.hulls import hull_of
from gnomon.explore.index import Index
from gnomon.explore.pettifor import PLACE, formulas, pettifor_page
from gnomon.explore.potentials import domains, potentials_of
from gnomon.explore.query import QueryError
from gnomon.explore.substitutions import substitutions_page
from gnomon.generate.substitution.tables import learned_model
from gnomon.hull.convex import Hull
from gnomon.hull.limits import chemical_potential_limits
from gnomon.hull.phases import Phases, compositions
from tests.test_explore import index, own_cache  # noqa: F401


def test_the_scale_holds_each_element_to_lr_once():
    assert sorted(MODIFIED_PETTIFOR) == sorted(SYMBOLS[1:104])


def test_the_scale_is_that_of_element_embeddings():
    spec = find_spec("elementembeddings")
    if spec is None or spec.origin is None:
        pytest.skip("ElementEmbeddings is not installed")
    data = Path(spec.origin).parent / "data" / "element_representations" / "mod_petti.json"
    theirs = json.loads(data.read_text())
    assert [theirs[symbol] for symbol in MODIFIED_PETTIFOR] == list(range(103))


def test_a_pettifor_map_has_each_pair_of_a_formula_once(index: Index):  # noqa: F811
    """The salts: NaCl, NaF, KCl, KF, LiCl, LiF and ZnS, CuAu; CaF2 and SrCl2."""
    assert dict(formulas(index)) == {"**": 8, "**2": 2}
    page = pettifor_page(index, "")
    assert page["formula"] == "**"
    assert len({tuple(one["pair"]) for one in page["cells"]}) == 8
    for one in page["cells"]:
        assert one["pair"][0] < one["pair"][1]
    salt = next(one for one in page["cells"] if one["reduced_formula"] == "NaCl")
    assert salt["pair"] == [PLACE["Na"], PLACE["Cl"]]
    assert page["types"][salt["type"]][:2] == ["AB_cF8_225_a_b", 6]
    assert page["types"][salt["type"]][2].startswith("NaCl type")
    pairs = {tuple(one["pair"]) for one in pettifor_page(index, "**2")["cells"]}
    assert pairs == {(PLACE["Ca"], PLACE["F"]), (PLACE["Sr"], PLACE["Cl"])}
    for wrong in ("*", "NaCl", "**x"):
        with pytest.raises(QueryError):
            pettifor_page(index, wrong)


def test_the_heat_map_is_the_table_of_the_package():
    page, model = substitutions_page(), learned_model("gnome")
    n = len(page["ions"])
    weights = np.frombuffer(b64decode(page["weights"]), "<f4").reshape(n, n)
    assert np.array_equal(weights, weights.T)
    at = [page["ions"].index(name) for name in ("Na+", "K+")]
    assert weights[at[0], at[1]] == pytest.approx(
        model.weights[model.index["Na+"], model.index["K+"]], abs=1e-6
    )
    places = [PLACE[symbol] for symbol in page["elements"] if symbol in PLACE]
    assert places == sorted(places)


@pytest.mark.parametrize("system", ["Cl-Na", "Ca-F"])
def test_potentials_are_those_of_linear_programs(index: Index, system):  # noqa: F811
    """Limits of each stable phase, by pymatgen's domains and by our own programs."""
    found = potentials_of(index, system)
    stable = [p for p in hull_of(index, system)["phases"] if p["id"] and p["e_above_hull"] <= 1e-6]
    names = [*found["elements"], *(p["reduced_formula"] for p in stable)]
    energies = [0.0] * 2 + [p["formation_energy_per_atom"] for p in stable]
    hull = Hull(Phases(np.array(names, object), compositions(names), np.array(energies), "one"))
    for one in found["domains"]:
        if one["id"] is None:
            continue
        limits = chemical_potential_limits(hull, one["reduced_formula"])
        for symbol, ends in zip(found["elements"], one["limits"], strict=True):
            assert ends == pytest.approx(limits[symbol], abs=1e-6)
    with pytest.raises(QueryError):
        potentials_of(index, "Ca-Cl-F-Na")


def test_elements_off_their_references_keep_their_domains():
    """A file may hold an element a little above zero, where pymatgen's own limits end."""
    energies = {"Li": 0.003, "O2": -0.01, "Li2O": -2.0, "Li2O2": -1.6}
    phases = {name: {"formation_energy_per_atom": e} for name, e in energies.items()}
    found = domains(("Li", "O"), phases)
    assert found.keys() == energies.keys()
    names, values = list(energies), np.array(list(energies.values()))
    hull = Hull(Phases(np.array(names, object), compositions(names), values, "one"))
    limits = chemical_potential_limits(hull, "Li2O")
    for at, symbol in enumerate(("Li", "O")):
        ends = found["Li2O"][:, at].min(), found["Li2O"][:, at].max()
        assert ends == pytest.approx(limits[symbol], abs=1e-6)


@pytest.mark.parametrize("energy", [-1e-4, -0.02, -0.1, -5.0])
def test_shallow_and_deep_compounds_have_domains(energy):
    found = domains(("Ac", "Mg"), {"MgAc": {"formation_energy_per_atom": energy}})
    assert found["MgAc"].max(axis=0) == pytest.approx([0, 0])
    assert found["MgAc"].min(axis=0) == pytest.approx([2 * energy, 2 * energy])

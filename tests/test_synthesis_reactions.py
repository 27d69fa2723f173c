"""Reactions balance exactly; pairs react as the hull says; routes lead to targets."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.chemistry.reactions import balanced
from gnomon.cli import main
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, compositions
from gnomon.synthesis.balance import balance, energy, kernel, with_gases
from gnomon.synthesis.picture import draw
from gnomon.synthesis.reactions import all_pairs, exact, pair_reactions
from gnomon.synthesis.routes import Network
from gnomon.synthesis.solids import with_volumes

# formation energies (eV/atom) and volumes (Å³/atom), about the Materials Project's
SYSTEM = {
    "Ba": (0.0, 63.0),
    "Ti": (0.0, 17.0),
    "C": (0.0, 9.0),
    "O2": (0.0, 15.0),
    "BaO": (-2.82, 21.0),
    "TiO2": (-3.33, 10.5),
    "BaTiO3": (-3.45, 13.1),
    "Ba2TiO4": (-3.32, 14.9),
    "BaCO3": (-2.68, 15.9),
}
AIR = {"O2": 0.21, "CO2": 4e-4}


def solids(system: dict[str, tuple[float, float]] = SYSTEM):
    energies = np.array([e for e, _ in system.values()])
    names = list(system)
    phases = Phases(np.array(names, object), compositions(names), energies, "test")
    return with_volumes(phases, np.array([v for _, v in system.values()]))


@pytest.mark.parametrize(
    ("left", "target", "expected"),
    [
        (["BaCO3", "TiO2"], "BaTiO3", "BaCO3 + TiO2 → BaTiO3 + CO2"),
        (["Y2O3", "BaCO3", "CuO"], "YBa2Cu3O7", "O2 → 4 YBa2Cu3O7 + 8 CO2"),
        (["Li2CO3", "FeC2O4", "NH4H2PO4"], "LiFePO4", "2 NH3"),
        (["SrCO3", "La2O3", "MnO2"], "La0.7Sr0.3MnO3", "40 La0.7Sr0.3MnO3"),
        (["Sr(NO3)2", "TiO2"], "SrTiO3", "NO2"),
    ],
)
def test_recipes_balance_with_the_gases_that_are_meant(left, target, expected) -> None:
    found = with_gases(left, target)
    assert found is not None
    assert expected in str(found)
    assert found.difference == {}


def test_what_cannot_be_made_has_no_reaction() -> None:
    assert with_gases(["BaCO3"], "BaTiO3") is None
    assert with_gases(["BaO", "TiO2", "Fe2O3"], "BaTiO3") is None  # iron has nowhere to go
    assert kernel(["BaO", "TiO2"]) is None
    assert balance(["BaTiO3"], ["BaO", "BaTiO3"]) is None


def test_reactions_balance_in_whole_numbers() -> None:
    """Shares of the atoms as the hull of the Materials Project gives them, with their round-off."""
    lfp = balanced("LiFePO4", {"Fe3(PO4)2": 0.6190476190476191, "Li3PO4": 0.3809523809523808})
    assert str(lfp) == "3 LiFePO4 → Fe3(PO4)2 + Li3PO4"
    assert str(balanced("Cu3Au", {"Cu": 0.75, "Au": 0.25})) == "Cu3Au → 3 Cu + Au"
    assert str(balanced("H2O", {"O2": 1 / 3, "H2": 2 / 3})) == "2 H2O → 2 H2 + O2"
    assert balanced("CuAu", {"CuAu": 1.0}) is None
    assert balanced("CuAu", {}) is None
    assert balanced("CuAu", {"Cu": 0.9, "Au": 0.1}) is None  # no balance: not a decomposition


def test_energies_of_reactions_are_products_less_reactants() -> None:
    found = balance(["BaO", "TiO2"], ["BaTiO3"])
    assert found is not None
    assert energy(found, {"BaO": -5.0, "TiO2": -10.0, "BaTiO3": -16.5}) == pytest.approx(-1.5)


FORMULAS = st.lists(
    st.dictionaries(st.sampled_from(["Li", "Fe", "P", "O"]), st.integers(1, 4), min_size=1),
    min_size=3,
    max_size=12,
    unique_by=lambda counts: tuple(
        sorted((s, n / sum(counts.values())) for s, n in counts.items())
    ),
)


@settings(max_examples=40, deadline=None)
@given(FORMULAS, st.integers(0, 2**32 - 1))
def test_all_proposed_reactions_balance_and_reach_the_hull(contents, seed) -> None:
    names = ["".join(f"{s}{n}" for s, n in sorted(c.items())) for c in contents if len(c) > 1]
    names += ["Li", "Fe", "P", "O"]
    energies = -np.random.default_rng(seed).random(len(names))
    energies[-4:] = 0.0
    phases = Phases(np.array(names, object), compositions(names), energies, "test")
    hull = Hull(phases)
    for one in pair_reactions(phases, all_pairs(len(phases))):
        assert one.energy < 0
        told = exact(phases, one)
        if told is not None:
            assert told.difference == {}
        if len(one.reactants) == 2:
            first, second = (
                phases.composition[i] / phases.composition[i].sum() for i in one.reactants
            )
            mixed = (1 - one.share) * first + one.share * second
            before = (1 - one.share) * energies[one.reactants[0]]
            before += one.share * energies[one.reactants[1]]
            assert one.energy == pytest.approx(hull.energy(mixed[None])[0] - before, abs=1e-7)


def test_the_target_forms_and_its_known_intermediate_leads_to_it() -> None:
    network = Network(solids(), ["BaCO3", "TiO2"], "BaTiO3", 1273.0, AIR)
    found = network.routes(5)
    assert str(found[0].steps[0].reaction) == "BaCO3 + TiO2 → BaTiO3 + CO2"
    assert any("Ba2TiO4" in route.intermediates for route in found)
    costs = [route.cost for route in found]
    assert costs == sorted(costs)
    assert len({tuple(map(str, route.steps)) for route in found}) == len(found)
    picture = draw(found, ["BaCO3", "TiO2"])
    assert picture.count("<circle") == sum(len(route.steps) for route in found)


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "phases.parquet"
    columns = {
        "reduced_formula": list(SYSTEM),
        "formation_energy_per_atom": [e for e, _ in SYSTEM.values()],
        "volume_per_atom": [v for _, v in SYSTEM.values()],
    }
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_the_command_writes_routes_and_a_picture(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["routes", "BaTiO3", table, "--precursor", "BaCO3", "--precursor", "TiO2"]
    picture = tmp_path / "routes.svg"
    assert main([*start, "--picture", str(picture), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert first["overall"] == "BaCO3 + TiO2 → BaTiO3 + CO2"
    assert picture.read_text().startswith("<svg")
    assert main(start) == 0
    assert "1. BaCO3 + TiO2 → BaTiO3 + CO2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["Ti", "--precursor", "TiO2"], 2, "Ti is one element"),
        (["BaTiO3", "--precursor", "TiO2"], 2, "no precursor holds Ba: BaTiO3 cannot be made"),
        (["BaTi2O5", "--precursor", "BaO", "--precursor", "TiO2"], 1, "no phase BaTi2O5"),
    ],
)
def test_the_command_says_what_it_cannot_do(
    table: str, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["routes", arguments[0], table, *arguments[1:]]) == code
    assert message in capsys.readouterr().err

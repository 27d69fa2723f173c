"""Recipes from published syntheses: reading, learning, proposing, and the command."""

import json
from pathlib import Path

import pytest

from gnomon.cli import main
from gnomon.synthesis.balance import with_gases
from gnomon.synthesis.literature import composition, read_literature, written
from gnomon.synthesis.recipe import Recipes, amounts_of
from gnomon.synthesis.similar import train

METALS = ["Mg", "Ca", "Sr", "Ba"]
OTHERS = {"Ti": "TiO2", "Zr": "ZrO2", "Sn": "SnO2", "Ce": "CeO2"}


def material(formula: str, elements: dict[str, str]) -> dict:
    part = {"formula": formula, "elements": elements, "amount": "1"}
    return {"material_formula": formula, "composition": [part], "amounts_vars": {}}


def record(metal: str, other: str, i: int, **changes) -> dict:
    source = ("CO3", {"C": "1", "O": "3"}) if metal != "Mg" else ("O", {"O": "1"})
    heating = {
        "heating_temperature": [{"max_value": 1100.0 + 20 * i, "values": []}],
        "heating_time": [{"max_value": 12.0, "values": []}],
        "heating_atmosphere": ["air"],
    }
    made = {
        "doi": f"10.1000/j.test.201{i % 9}.01.00{i}",
        "reaction": {"element_substitution": {}},
        "target": material(f"{metal}{other}O3", {metal: "1", other: "1", "O": "3"}),
        "precursors": [
            material(metal + source[0], {metal: "1", **source[1]}),
            material(OTHERS[other], {other: "1", "O": "2"}),
        ],
        "operations": [{"token": "sintered", "type": "HeatingOperation", "conditions": heating}],
    }
    return {**made, **changes}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [
        record(m, o, 4 * i + j + k)
        for i, m in enumerate(METALS)
        for j, o in enumerate(OTHERS)
        for k in (0, 1)
        if (m, o) != ("Ba", "Ti")
    ]
    unclear = record("Ba", "Ti", 0)
    unclear["target"]["composition"][0]["elements"]["Ba"] = "1-x"
    foreign = record("Ba", "Zr", 0)
    foreign["precursors"].append(material("Fe2O3", {"Fe": "2", "O": "3"}))
    lacking = record("Ba", "Zr", 0)
    lacking["precursors"] = lacking["precursors"][1:]
    path = tmp_path_factory.mktemp("set") / "set.json"
    path.write_text(json.dumps({"reactions": [*records, records[0], unclear, foreign, lacking]}))
    return path


def test_what_is_unclear_is_left_out_with_a_reason(data: Path) -> None:
    found = read_literature(data)
    assert len(found.syntheses) == 30
    assert found.left_out["the same again"] == 1
    assert found.left_out["an amount that is no number"] == 1
    assert found.left_out["an element of a precursor is not in the target"] == 1
    assert found.left_out["an element of the target is in no precursor"] == 1
    first = found.syntheses[0]
    assert (first.year, first.sintering, first.calcination) == (2010, 1100.0, None)
    assert (first.hours, first.atmosphere) == (12.0, "air")


def test_variables_take_their_first_values(tmp_path: Path) -> None:
    one = record("Ba", "Ti", 0)
    one["target"]["composition"][0]["elements"] = {"Ba": "1-x/2", "Ti": "1", "O": "3"}
    one["target"]["amounts_vars"] = {"x": {"values": [0.5, 1.0]}}
    path = tmp_path / "set.json"
    path.write_text(json.dumps({"reactions": [one]}))
    (found,) = read_literature(path).syntheses
    assert found.target == composition({"Ba": 0.75, "Ti": 1.0, "O": 3.0})


def test_formulas_are_written_in_whole_numbers() -> None:
    assert written(composition({"Li": 2.0, "C": 1.0, "O": 3.0})) == "Li2CO3"
    assert written(composition({"Ba": 0.5, "Ti": 0.5, "O": 1.5})) == "O3TiBa"


def test_precursors_of_an_unseen_target_are_those_of_its_kin_and_balance(data: Path) -> None:
    literature = read_literature(data)
    target = amounts_of({"Ba": 1.0, "Ti": 1.0, "O": 3.0})
    assert target not in {one.target for one in literature.syntheses}
    found = Recipes(literature).recipes("BaTiO3", target, 5)
    assert found[0].precursors == ("TiO2", "BaCO3") or found[0].precursors == ("BaCO3", "TiO2")
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        assert one.reaction is None or one.reaction.difference == {}
        assert one.interval[0] <= one.temperature <= one.interval[1]
        assert all(count > 0 for count in one.counts)
        assert one.sources
    assert str(found[0].reaction) == str(with_gases(found[0].precursors, "BaTiO3"))


def test_training_again_gives_the_same(data: Path) -> None:
    syntheses = read_literature(data).syntheses
    target = amounts_of({"Ba": 1.0, "Ti": 1.0, "O": 3.0})
    assert train(syntheses).chances(target) == train(syntheses).chances(target)


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("Ti", 1, "Ti is one element: there is nothing to react"),
        ("CO2", 1, "H, C, N and O alone"),
        ("BaUO3", 1, "no precursor of the published syntheses brings U"),
        ("Xx2", 1, "is not a chemical formula"),
    ],
)
def test_the_command_says_what_it_cannot_do(
    data: Path, target: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", target, "--data", str(data)]) == code
    assert message in capsys.readouterr().err


def test_the_command_shows_recipes_and_papers(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", "BaTiO3", "--data", str(data), "--recipes", "2"]) == 0
    shown = capsys.readouterr().out
    assert "BaTiO3 + CO2" in shown
    assert "10.1000/j.test" in shown
    wrong = tmp_path / "other.json"
    wrong.write_text("[]")
    assert main(["recipe", "BaTiO3", "--data", str(wrong)]) == 1
    assert "is not the text-mined set" in capsys.readouterr().err

"""Properties: tables of values with statuses, computed part by part."""

import json

import ase.build
import numpy as np
import pytest
from pyarrow import csv

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals
from gnomon.io.tables import OK, check_table, read_table
from gnomon.properties import Property
from gnomon.properties.compute import compute
from gnomon.properties.registry import PROPERTIES, PropertySettings
from gnomon.run.claim import ClaimError

from .plugged_property import Atoms

EMT = EvaluatorConfig(name="ase:ase.calculators.emt.EMT", workers=1)
METALS = as_crystals([ase.build.bulk(symbol) for symbol in ("Cu", "Al", "Ni")])
COPPER_OXIDE = as_crystals(ase.build.bulk("CuO", "rocksalt", a=4.2))


def test_emt_copper_has_its_moduli_and_what_follows(tmp_path):
    settings = PropertySettings(EMT, RelaxConfig())
    found = compute(METALS, ["hardness", "debye"], settings, tmp_path)
    assert [one.name for one in found] == ["elastic", "hardness", "debye"]
    elastic = read_table(tmp_path / "elastic.parquet")
    for name in ("elastic", "hardness", "debye"):
        check_table(read_table(tmp_path / f"{name}.parquet"))
    assert elastic["id"].to_pylist() == METALS.ids.tolist()
    copper = elastic.to_pylist()[0]
    c = np.reshape(copper["elastic_tensor"], (6, 6))
    assert copper["value"] == pytest.approx(135, abs=5)  # EMT's own; measured 137
    assert np.allclose(c[0, 0], [c[1, 1], c[2, 2]], rtol=1e-2)  # cubic
    assert np.allclose(c[:3, 3:], 0, atol=1)
    hardness = read_table(tmp_path / "hardness.parquet")
    assert hardness["status"][0].as_py().startswith("metals only")
    debye = read_table(tmp_path / "debye.parquet").to_pylist()
    assert debye[0]["value"] == pytest.approx(343, rel=0.15)  # measured
    assert debye[0]["level"].startswith("ase.calculators.emt.EMT")


def test_nonsense_has_a_status_and_stops_nothing(tmp_path):
    alone = Crystals.single(30 * np.eye(3), [29], [[0, 0, 0]])
    given = Crystals.concatenate([METALS[:1], alone, COPPER_OXIDE, METALS[:1]])
    compute(given, ["elastic"], PropertySettings(EMT, RelaxConfig()), tmp_path)
    rows = read_table(tmp_path / "elastic.parquet").to_pylist()
    assert len(rows) == 3  # what is given twice is computed once
    assert rows[0]["status"] == OK
    assert all(row["status"] != OK and row["value"] is None for row in rows[1:])


@pytest.mark.usefixtures("plugged")
def test_a_stop_costs_the_part_in_work(tmp_path, monkeypatch):
    monkeypatch.setattr(Atoms, "stop_at", 2)
    with pytest.raises(KeyboardInterrupt):
        compute(METALS, ["atoms"], PropertySettings(), tmp_path, chunk=1)
    assert not (tmp_path / "atoms.parquet").exists()
    compute(METALS, ["atoms"], PropertySettings(), tmp_path, chunk=1)
    assert Atoms.calls == 4  # one, the one that was stopped, two more
    table = read_table(tmp_path / "atoms.parquet")
    assert table["value"].to_pylist() == [1, 1, 1]
    assert table["twice"].null_count == 3
    facts = json.loads(table.schema.metadata[b"gnomon"])
    assert facts["request"]["property"] == "atoms"
    assert "date" in facts
    assert list(tmp_path.rglob("part-*")) == []
    compute(METALS, ["atoms"], PropertySettings(), tmp_path, chunk=1)
    assert Atoms.calls == 4


@pytest.mark.usefixtures("plugged")
def test_further_crystals_are_added_and_rows_that_are_there_are_kept(tmp_path, monkeypatch):
    compute(METALS[1:], ["atoms"], PropertySettings(), tmp_path)
    compute(METALS, ["atoms"], PropertySettings(), tmp_path, chunk=1)
    assert Atoms.calls == 2
    ids = read_table(tmp_path / "atoms.parquet")["id"].to_pylist()
    assert ids == [*METALS[1:].ids, METALS.ids[0]]
    more = as_crystals([ase.build.bulk(s) for s in ("Ag", "Au", "Pd")])
    monkeypatch.setattr(Atoms, "stop_at", 4)
    with pytest.raises(KeyboardInterrupt):
        compute(more, ["atoms"], PropertySettings(), tmp_path, chunk=1)
    [one] = compute(more, ["atoms"], PropertySettings(), tmp_path, chunk=2)
    assert one.statuses == {OK: 3}
    assert len(read_table(tmp_path / "atoms.parquet")) == 6


def test_rows_of_what_is_needed_go_with_their_crystals(tmp_path):
    settings = PropertySettings(EMT, RelaxConfig())
    compute(METALS[:1], ["elastic"], settings, tmp_path)
    compute(METALS[::-1][:2], ["elastic"], settings, tmp_path)
    compute(METALS, ["debye"], settings, tmp_path, chunk=2)
    elastic, debye = (
        read_table(tmp_path / f"{n}.parquet").to_pylist() for n in ("elastic", "debye")
    )
    density = {row["id"]: row["density"] for row in elastic}
    stiffness = {row["id"]: row["shear_modulus"] for row in elastic}
    for row in debye:  # v_t = sqrt(G/rho) is most of the mean velocity
        slow = 1000 * np.sqrt(stiffness[row["id"]] / density[row["id"]])
        assert row["sound_velocity"] == pytest.approx(1.12 * slow, rel=0.03)


def test_a_folder_of_another_request_is_refused(tmp_path):
    compute(METALS[:1], ["elastic"], PropertySettings(EMT, RelaxConfig()), tmp_path)
    other = PropertySettings(EMT, RelaxConfig(), {"elastic": {"strain": 0.01}})
    with pytest.raises(ClaimError, match="was made with options"):
        compute(METALS[:1], ["elastic"], other, tmp_path)


@pytest.mark.usefixtures("plugged")
def test_no_crystals_give_an_empty_table(tmp_path):
    compute(METALS[:0], ["atoms"], PropertySettings(), tmp_path)
    assert read_table(tmp_path / "atoms.parquet").schema.names == Atoms.schema.names


@pytest.mark.parametrize("name", PROPERTIES.built_in)
def test_every_property_keeps_to_the_protocol(name):
    made = PROPERTIES.get(name)(PropertySettings())
    assert isinstance(made, Property)
    assert set(made.needs) <= set(PROPERTIES.built_in)
    check_table(made.schema.empty_table())


def test_unknown_properties_and_options_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="did you mean elastic"):
        compute(METALS, ["elastics"], PropertySettings(), tmp_path)
    wrong = PropertySettings(options={"elastic": {"strains": 1}})
    with pytest.raises(ValueError, match=r"elastic\.strains = 1.*options of elastic: fmax, strain"):
        compute(METALS, ["elastic"], wrong, tmp_path)
    stray = PropertySettings(options={"elastics": {"strain": 1}})
    with pytest.raises(ValueError, match="did you mean elastic"):
        compute(METALS, ["elastic"], stray, tmp_path)


def test_the_command_computes_lists_and_refuses(tmp_path, capsys):
    file = tmp_path / "copper.cif"
    ase.build.bulk("Cu").write(file)
    words = ["properties", str(file), "--compute", "debye", "--out", str(tmp_path / "found")]
    words += ["--evaluator", EMT.name, "--option", "elastic.strain=0.01", "--json"]
    assert main(words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["property"], row["ok"], row["of"]) for row in rows] == [
        ("elastic", 1, 1),
        ("debye", 1, 1),
    ]
    assert main(words[:-1]) == 0
    shown = capsys.readouterr().out
    assert all(
        name in shown for name in ("elastic.shear_modulus", "debye.expansion_bound", EMT.name[4:])
    )
    assert main(["properties", "--list"]) == 0
    assert "Debye temperature" in capsys.readouterr().out
    assert main(["properties", str(file)]) == 2
    assert "give crystals, --compute NAME and --out FOLDER" in capsys.readouterr().err
    assert main([*words, "--option", "strain"]) == 2
    assert "as in elastic.strain=0.01" in capsys.readouterr().err


def test_finds_of_a_campaign_get_their_properties_and_the_report_shows_them(tmp_path, capsys):
    folder = tmp_path / "au-cu"
    (tmp_path / "a.toml").write_text("[generate]\nmax_atoms = 4\n[learn]\nprior = false\n")
    emt = ["--evaluator", EMT.name, "--workers", "1"]
    words = ["discover", "Au-Cu", *emt, "--evaluations", "12", "--rounds", "1"]
    words += ["--config", str(tmp_path / "a.toml"), "--decide", "none"]
    assert main([*words, "--out", str(folder)]) == 0
    words = ["properties", str(folder), "--compute", "elastic", "--compute", "hardness"]
    assert main([*words, *emt]) == 0
    steps = tmp_path / "steps.toml"
    steps.write_text('[[step]]\nproperty = "synthesizability"\nat_least = 0.0\n')
    words = ["properties", str(folder), "--compute", "synthesizability"]
    assert main([*words, *emt]) == 0
    assert main(["funnel", str(folder), "--steps", str(steps)]) == 0
    assert main(["report", str(folder)]) == 0
    page = (folder / "report" / "index.html").read_text("utf-8")
    assert "What the finds are good for" in page
    assert "metals only: the models hold" in page
    assert "shear_modulus" in page
    assert "predicted synthesizability" in page
    assert "±: standard deviation of the heads" in page
    assert "The funnel: how many of how many" in page
    stable = csv.read_csv(folder / "report" / "stable.csv").to_pylist()
    [first, *_] = stable
    assert 130 < first["elastic (GPa)"] < 200
    assert first["elastic status"] == OK
    assert first["hardness status"].startswith("metals only")
    assert 0 < first["synthesizability"] < 1
    assert 0 < first["synthesizability uncertainty"] < 0.5
    capsys.readouterr()
    empty = tmp_path / "empty"
    assert (
        main(["properties", str(tmp_path / "none"), "--compute", "elastic", "--out", str(empty)])
        == 1
    )
    assert "none" in capsys.readouterr().err

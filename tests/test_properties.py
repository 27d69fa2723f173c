"""Properties: tables of values with statuses, computed part by part."""

import json
from importlib.metadata import EntryPoint, EntryPoints

import ase.build
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals
from gnomon.io.tables import OK, check_table, column, read_table, value_schema
from gnomon.models import Predictions
from gnomon.properties import Property, answers
from gnomon.properties.compute import compute
from gnomon.properties.funnel import Step, cut, funnel, read_steps
from gnomon.properties.heat.debye import expansion_factor, heat_capacity
from gnomon.properties.learned import PROPERTY, Predicted
from gnomon.properties.mechanics.elastic import moduli
from gnomon.properties.mechanics.hardness import (
    chen_hardness,
    mazhnik_hardness,
    mazhnik_toughness,
    niu_toughness,
    teter_hardness,
    tian_hardness,
    zeta,
)
from gnomon.properties.registry import PROPERTIES, PropertySettings
from gnomon.run import registry
from gnomon.run.claim import ClaimError

EMT = EvaluatorConfig(name="ase:ase.calculators.emt.EMT", workers=1)
METALS = as_crystals([ase.build.bulk(symbol) for symbol in ("Cu", "Al", "Ni")])
COPPER_OXIDE = as_crystals(ase.build.bulk("CuO", "rocksalt", a=4.2))


def tensors():
    """Symmetric, positive definite ones, GPa."""
    numbers = st.lists(st.floats(-1, 1), min_size=36, max_size=36)
    return numbers.map(lambda n: np.reshape(n, (6, 6))).map(lambda a: 40 * (a @ a.T + np.eye(6)))


@given(tensors())
def test_moduli_lie_between_their_bounds(tensor):
    status, found = moduli(tensor)
    assert status == OK
    assert found["bulk_modulus_reuss"] <= found["value"] * (1 + 1e-9)
    assert found["value"] <= found["bulk_modulus_voigt"] * (1 + 1e-9)
    assert found["shear_modulus_reuss"] <= found["shear_modulus"] * (1 + 1e-9)
    assert found["shear_modulus"] <= found["shear_modulus_voigt"] * (1 + 1e-9)
    assert found["universal_anisotropy"] >= -1e-9
    assert -1 < found["poisson_ratio"] < 0.5


@given(st.floats(10, 500), st.floats(5, 300))
def test_an_isotropic_tensor_gives_its_own_moduli(bulk, shear):
    tensor = np.diag([2 * shear] * 3 + [shear] * 3) + 0.0
    tensor[:3, :3] += bulk - 2 * shear / 3
    status, found = moduli(tensor)
    assert status == OK
    assert found["value"] == pytest.approx(bulk)
    assert found["shear_modulus"] == pytest.approx(shear)
    assert found["young_modulus"] == pytest.approx(9 * bulk * shear / (3 * bulk + shear))
    assert found["universal_anisotropy"] == pytest.approx(0, abs=1e-6)


def test_a_tensor_with_a_soft_direction_has_no_moduli():
    tensor = np.diag([100.0, 100, 100, 50, 50, -3])
    status, found = moduli(tensor)
    assert "not stable" in status
    assert "-6 GPa" in status  # Mandel's eigenvalue
    assert found == {"lowest_stiffness": pytest.approx(-6)}


def test_models_of_hardness_give_the_published_values_of_diamond():
    bulk, shear, young, nu, volume = np.array([[443.0], [535], [1142], [0.07], [5.68]])
    assert mazhnik_hardness(young, nu) == pytest.approx(101, abs=0.5)
    assert mazhnik_toughness(young, nu, volume) == pytest.approx(6.4, abs=0.05)
    assert teter_hardness(shear) == pytest.approx(80.8, abs=0.05)
    assert chen_hardness(bulk, shear) == pytest.approx(95.4, abs=0.05)
    assert tian_hardness(bulk, shear) == pytest.approx(97.4, abs=0.05)
    assert niu_toughness(bulk, shear, volume) == pytest.approx(6.5, abs=0.05)


def test_zeta_keeps_its_printed_digits_where_its_denominator_is_small():
    nu = 0.145
    below = 1 - 15.2 * nu + 70.2 * nu**2 - 81.5 * nu**3
    assert below == pytest.approx(0.0235, abs=1e-4)
    assert zeta(np.array([nu])) == pytest.approx((1 - 13.7 * nu + 48.6 * nu**2) / below)


@given(st.floats(50, 2000), st.floats(5, 3000))
def test_heat_capacity_rises_to_dulong_and_petit(debye, temperature):
    low, high = heat_capacity(np.array([debye]), temperature), heat_capacity(np.array([debye]), 1e6)
    assert 0 < low[0] <= high[0] <= 3 * 8.31447
    cold = 12 * np.pi**4 / 5 * 8.314463 / 40**3  # Debye's law at T = theta/40
    assert heat_capacity(np.array([debye]), debye / 40) == pytest.approx(cold, rel=1e-3)


def test_the_bound_of_expansion_has_its_maximum_where_it_is_published():
    best = 2 * (11 - 2 * np.sqrt(10)) / 9
    assert expansion_factor(np.linspace(0, 0.5, 50001)).max() == pytest.approx(best, abs=1e-6)


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


HOT = {"phonons": {"temperature": 3000.0, "min_length": 7.0, "mesh": 30.0}}


@pytest.fixture(scope="module")
def vibrating():
    """Phonons by EMT of fcc copper and aluminium, and of copper where it has no minimum: bcc."""
    pytest.importorskip("phonopy", reason="phonopy is not installed (extra properties)")
    bcc = as_crystals(ase.build.bulk("Cu", "bcc", a=2.87))
    made = PROPERTIES.get("phonons")(PropertySettings(EMT, RelaxConfig(), HOT))
    return made.compute(Crystals.concatenate([METALS[:2], bcc]), {}).to_pylist()


def test_hot_crystals_have_the_heat_capacity_of_dulong_and_petit(vibrating):
    for row in vibrating[:2]:
        assert row["status"] == OK
        assert row["value"] == pytest.approx(3 * 8.314463, rel=3e-3)
        assert row["lowest_frequency"] == pytest.approx(0, abs=1e-3)  # sound, at gamma
        # classical: F = -kT ln(kT / h nu) a mode, so that F < 0 < E_0
        assert row["free_energy"] < 0 < row["zero_point_energy"]
    assert 6.5 < vibrating[0]["highest_frequency"] < 8.5  # measured 7.3 THz


def test_a_crystal_without_a_minimum_says_so_and_keeps_its_frequency(vibrating):
    row = vibrating[2]
    assert row["status"].startswith("not stable: a mode of -")
    assert row["value"] is None
    assert row["lowest_frequency"] < -0.5
    assert 0 < row["imaginary_share"] < 1


def test_copper_expands_as_measured():
    pytest.importorskip("phonopy", reason="phonopy is not installed (extra properties)")
    options = {"expansion": {"volumes": 5, "min_length": 7.0, "mesh": 30.0}}
    made = PROPERTIES.get("expansion")(PropertySettings(EMT, RelaxConfig(), options))
    [row] = made.compute(METALS[:1], {}).to_pylist()
    assert row["status"] == OK
    assert row["value"] == pytest.approx(16.5e-6, rel=0.3)
    # alpha_V = gamma C_V / (K V): what the table says of itself
    volume = row["volume_per_atom"] * 1e-30 * 6.02214e23
    derived = row["gruneisen"] * 24.0 / (row["bulk_modulus"] * 1e9 * volume) / 3
    assert row["value"] == pytest.approx(derived, rel=0.05)


@pytest.mark.parametrize("name", ["phonons", "expansion"])
def test_supercells_that_are_too_large_are_refused(name):
    pytest.importorskip("phonopy", reason="phonopy is not installed (extra properties)")
    options = {name: {"max_atoms": 3}}
    made = PROPERTIES.get(name)(PropertySettings(EMT, RelaxConfig(), options))
    [row] = made.compute(METALS[:1], {}).to_pylist()
    assert "more than 3" in row["status"]
    assert row["value"] is None


class Atoms:
    """How many atoms a crystal has: counts its calls, and can be stopped."""

    needs = ()
    schema = value_schema("atoms", "1", column("twice", pa.float64(), "twice as many", unit="1"))
    calls = 0
    stop_at = -1

    def compute(self, crystals, known):
        Atoms.calls += 1
        if Atoms.calls == Atoms.stop_at:
            raise KeyboardInterrupt
        counts = crystals.n_atoms.astype(float)
        return answers(self.schema, crystals.ids, "count", [OK] * len(counts), value=counts)


@pytest.fixture
def plugged(monkeypatch):
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group, name=None: EntryPoints(
            [EntryPoint("atoms", f"{__name__}:make_atoms", "gnomon.properties")]
            if group == "gnomon.properties" and name in (None, "atoms")
            else []
        ),
    )
    monkeypatch.setattr(Atoms, "calls", 0)
    monkeypatch.setattr(Atoms, "stop_at", -1)


def make_atoms(settings):
    return Atoms()


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


@settings(max_examples=5)
@given(st.integers(0, 100))
def test_moduli_do_not_depend_on_the_frame(seed):
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turned = METALS.with_lattice(METALS.lattice @ rotation)
    made = PROPERTIES.get("elastic")(PropertySettings(EMT, RelaxConfig()))
    before, after = (made.compute(c[:1], {}).to_pylist()[0] for c in (METALS, turned))
    for name in ("value", "shear_modulus", "universal_anisotropy"):
        assert after[name] == pytest.approx(before[name], rel=1e-2, abs=1e-2)


FUNNEL = """
[[step]]
property = "atoms"
at_most = 4

[[step]]
property = "elastic"
evaluator = {{ name = "{}", workers = 1 }}
best = 2

[[step]]
property = "elastic"
evaluator = {{ name = "{}", workers = 1 }}
column = "shear_modulus"
at_least = 35.0
"""


@pytest.mark.usefixtures("plugged")
def test_a_funnel_counts_what_is_lost_at_each_step(tmp_path, capsys):
    large = METALS[:1].supercell(2)
    given = Crystals.concatenate([METALS, large, COPPER_OXIDE, METALS[:1]])
    steps = tmp_path / "steps.toml"
    steps.write_text(FUNNEL.format(EMT.name, EMT.name))
    stages = funnel(given, read_steps(steps), tmp_path / "out")
    assert [(stage.came, stage.went_on) for stage in stages] == [(5, 4), (4, 2), (2, 2)]
    for stage in stages:
        assert stage.came == stage.went_on + sum(stage.losses.values())
    assert stages[0].losses == {"above 4": 1}
    assert stages[1].losses["not among the best 2"] == 1  # aluminium; the oxide has no value
    left = read_table(tmp_path / "out" / "left.parquet")
    assert sorted(left["reduced_formula"].to_pylist()) == ["Cu", "Ni"]
    assert left["1 atoms value"].to_pylist() == [1, 1]
    assert min(left["2 elastic value"].to_pylist()) > 100
    calls = Atoms.calls
    again = funnel(given, read_steps(steps), tmp_path / "out")
    assert (again, Atoms.calls) == (stages, calls)
    page = (tmp_path / "out" / "funnel.html").read_text("utf-8")
    assert "atoms ≤ 4" in page or "atoms \\u2264 4" in page
    assert "https://cdn" not in page.split("<body>")[1][:2000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "give the steps"),
        ("steps = 1", "give the steps"),
        ("[[step]]", r"step 1: property: Field required"),
        ('[[step]]\nproperty = "hardnes"\nbest = 1', "did you mean hardness"),
        ('[[step]]\nproperty = "hardness"', "a step cuts"),
        ('[[step]]\nproperty = "hardness"\nat_least = 2\nat_most = 1', "nothing goes on"),
        ("[[step", "cannot be read as TOML"),
    ],
)
def test_steps_that_make_no_sense_are_refused(tmp_path, text, message):
    path = tmp_path / "steps.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_steps(path)


@pytest.mark.usefixtures("plugged")
def test_a_column_that_is_none_is_refused_with_those_there_are(tmp_path):
    step = Step(property="atoms", column="thrice", at_least=1)
    with pytest.raises(ValueError, match=r"no column of numbers 'thrice': .*value"):
        funnel(METALS, [step], tmp_path)


@given(st.lists(st.floats(-5, 5) | st.just(np.nan), max_size=20), st.integers(1, 5), st.booleans())
def test_the_best_are_the_best_of_those_within_bounds(values, best, lowest):
    ids = np.array([str(i) for i in range(len(values))])
    statuses = [OK if np.isfinite(value) else "none" for value in values]
    table = answers(Atoms.schema, ids, "by hand", statuses, value=values)
    step = Step(property="elastic", at_least=-3, at_most=4, best=best, lowest=lowest)
    kept, losses = cut(table, step)
    inside = sorted((v for v in values if -3 <= v <= 4), reverse=not lowest)
    assert sorted((values[i] for i in kept), reverse=not lowest) == inside[:best]
    assert len(kept) + sum(losses.values()) == len(values)


def test_a_model_predicts_as_a_property():
    made = PROPERTIES.get("predicted")(PropertySettings())
    table = made.compute(Crystals.concatenate([COPPER_OXIDE, METALS]), {})
    check_table(table)
    assert table.schema.field("value").metadata[b"unit"] == b"eV/atom"
    assert table["value"][0].as_py() < table["value"][1].as_py() + 0.5  # an oxide, a metal
    assert table["uncertainty"].null_count == 0


def test_finds_of_a_campaign_get_their_properties_and_the_report_shows_them(tmp_path, capsys):
    folder = tmp_path / "au-cu"
    words = ["discover", "Au-Cu", "--evaluator", EMT.name, "--evaluations", "12", "--rounds", "1"]
    assert main([*words, "--max-atoms", "4", "--decide", "none", "--out", str(folder)]) == 0
    words = ["properties", str(folder), "--compute", "elastic", "--compute", "hardness"]
    assert main([*words, "--evaluator", EMT.name]) == 0
    assert main(["report", str(folder)]) == 0
    page = (folder / "report" / "index.html").read_text("utf-8")
    assert "What the finds are good for" in page
    assert "metals only: the models hold" in page
    assert "shear_modulus" in page
    stable = csv.read_csv(folder / "report" / "stable.csv").to_pylist()
    [first, *_] = stable
    assert 130 < first["elastic (GPa)"] < 200
    assert first["elastic status"] == OK
    assert first["hardness status"].startswith("metals only")
    capsys.readouterr()
    empty = tmp_path / "empty"
    assert (
        main(["properties", str(tmp_path / "none"), "--compute", "elastic", "--out", str(empty)])
        == 1
    )
    assert "none" in capsys.readouterr().err


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

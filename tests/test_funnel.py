"""The funnel: what goes on, what is lost, and why."""

import ase.build
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals
from gnomon.io.tables import OK, read_table
from gnomon.properties import answers
from gnomon.properties.funnel import Step, cut, funnel, read_steps

from .plugged_property import Atoms

EMT = EvaluatorConfig(name="ase:ase.calculators.emt.EMT", workers=1)
METALS = as_crystals([ase.build.bulk(symbol) for symbol in ("Cu", "Al", "Ni")])
COPPER_OXIDE = as_crystals(ase.build.bulk("CuO", "rocksalt", a=4.2))

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

"""Evaluations as shards of work: the same results, and a crystal that kills its worker is a row."""

import numpy as np
import pytest
from ase.build import bulk

from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.sharded import Sharded, evaluations_of, given_up
from gnomon.evaluate.table import evaluate_all, rows_with_forces
from gnomon.io import as_crystals, to_arrow
from gnomon.run.listener import SILENT
from gnomon.run.passes import ENGINES
from tests.test_passes import Here

EMT = EvaluatorConfig(name="ase:ase.calculators.emt.EMT", workers=1)
RELAX = RelaxConfig(fmax=0.05)
METALS = as_crystals([bulk(name, a=a) for name in ("Cu", "Au", "Ag") for a in (3.9, 4.1)])


class Never:
    """An engine that is not to be asked."""

    def run(self, work, listener=SILENT):
        raise AssertionError


class Ends(Here):
    """An engine that is killed when all is done."""

    def run(self, work, listener=SILENT):
        super().run(work, listener)
        work.end()
        raise KeyboardInterrupt


def same(one, other):
    for name in ("ids", "status", "message"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    for name in ("energy_per_atom", "steps", "fmax", "forces", "stress"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.relaxed.ids.tolist() == other.relaxed.ids.tolist()
    assert one.scheme == other.scheme


def test_rows_hold_all_of_an_evaluation():
    found = evaluate_all(METALS, make_evaluator(EMT, RELAX), SILENT)
    same(evaluations_of(rows_with_forces(found), found.scheme), found)


def test_shards_say_what_one_evaluator_says(tmp_path, monkeypatch):
    monkeypatch.setattr("gnomon.evaluate.sharded.SHARD", 2)
    own = make_evaluator(EMT, RELAX)
    alone = evaluate_all(METALS, own, SILENT)
    sharded = Sharded(EMT, RELAX, own.scheme, Ends(), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        list(sharded.evaluate(METALS[::2]))
    # what came before a kill is not evaluated again
    again = Sharded(EMT, RELAX, own.scheme, Never(), tmp_path)
    some = METALS[np.array([4, 0])]
    same(evaluate_all(some, again, SILENT), evaluate_all(some, own, SILENT))
    engine = ENGINES.get("processes")(1)
    found = evaluate_all(METALS, Sharded(EMT, RELAX, own.scheme, engine, tmp_path), SILENT)
    same(found, alone)
    assert not list(tmp_path.iterdir())
    assert not list(sharded.evaluate(METALS[:0]))


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("stopped after 9 s without an answer", "timeout"),
        ("its process ended with exit code -11", "exploded"),
    ],
)
def test_a_crystal_on_which_workers_die_has_a_status(reason, status):
    found = evaluations_of(given_up(to_arrow(METALS[:2]), reason, "EMT"), "EMT")
    assert found.status.tolist() == [status] * 2
    assert found.message.tolist() == [reason] * 2
    assert np.isnan(found.energy_per_atom).all()
    assert found.relaxed.ids.tolist() == METALS[:2].ids.tolist()

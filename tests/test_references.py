"""Energies of the elements: of their crystals, or those that fit compounds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.crystals import Crystals
from gnomon.discover import Campaign, discover
from gnomon.discover.placed import Evaluated, place
from gnomon.discover.settings import CampaignConfig
from gnomon.evaluate import references as room
from gnomon.evaluate.references import Reference, References, fitted, references
from gnomon.run.listener import SILENT
from gnomon.run.store import Store
from gnomon.run.writing import StoreError
from tests.calculators import FastEvaluator
from tests.conftest import EMT

SITES = [[0, 0, 0], [0.5, 0.5, 0.5]]


def evaluations(energies: list[float]) -> Evaluated:
    """Al, Al higher, Ni, AlNi and AlNi higher."""
    pairs = [(13, 13), (13, 13), (28, 28), (13, 28), (13, 28)]
    cells = [Crystals.single(np.eye(3) * (3 + i / 10), pair, SITES) for i, pair in enumerate(pairs)]
    ids = np.array([f"p{i}" for i in range(5)], dtype=object)
    rounds = np.array([0, 0, 0, 1, 1])
    return Evaluated(ids, Crystals.concatenate(cells), np.array(energies), rounds)


@given(st.lists(st.floats(-9, 0), min_size=5, max_size=5), st.floats(-1, 1), st.floats(-1, 1))
def test_fitted_references_move_compounds_and_no_element(
    energies: list[float], of_al: float, of_ni: float
) -> None:
    plain = place(evaluations(energies), "x")
    zero = {"Al": plain.references["Al"] + of_al, "Ni": plain.references["Ni"] + of_ni}
    moved = place(evaluations(energies), "x", zero)
    shift = moved.formation_energy_per_atom - plain.formation_energy_per_atom
    np.testing.assert_allclose(shift[:3], 0, atol=1e-12)
    np.testing.assert_allclose(shift[3:], -(of_al + of_ni) / 2, atol=1e-12)
    assert moved.references == plain.references
    same = place(evaluations(energies), "x", plain.references)
    np.testing.assert_allclose(same.e_above_hull, plain.e_above_hull, atol=1e-12)


def config(**changes: Any) -> CampaignConfig:
    return CampaignConfig(
        system="Al-Ni",
        evaluator={"name": EMT},
        decide={"levels": "none"},
        generate={"generators": ["prototypes"], "max_atoms": 2},
        learn={"prior": False},
        budget={"rounds": 1, "first_round": 6},
        **changes,
    )


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> References:
    """Fits of the evaluator of tests, whose elements have other energies than their crystals."""
    one = Reference(measured=-1.0, fitted=-0.9, error=0.01, compounds=9)
    elements = {"Al": one, "Ni": one.model_copy(update={"fitted": -1.3})}
    made = References(scheme=FastEvaluator().scheme, rows=9, source="by hand", elements=elements)
    monkeypatch.setattr(room, "_references", lambda: {made.scheme: made})
    return made


def test_a_campaign_takes_the_references_that_it_was_told_to(
    table: References, tmp_path: Path
) -> None:
    assert [symbol for symbol, _ in table.worst(0.2)] == ["Ni"]
    found = {}
    for kind in ("measured", "fitted"):
        store = Store(tmp_path / kind)
        discover(config(references=kind), store, FastEvaluator(), SILENT)
        found[kind] = Campaign(store)
    plain, moved = found["measured"].placed, found["fitted"].placed
    share = moved.found.relaxed.composition / moved.found.relaxed.n_atoms[:, None]
    zero = fitted(table.scheme, ("Al", "Ni"))
    shift = sum(share[:, z] * (plain.references[s] - zero[s]) for s, z in (("Al", 13), ("Ni", 28)))
    np.testing.assert_allclose(
        moved.formation_energy_per_atom,
        plain.formation_energy_per_atom + np.where(moved.compound, shift, 0.0),
        atol=1e-12,
    )
    with pytest.raises(StoreError, match="references: fitted before, measured now"):
        discover(config(), Store(tmp_path / "fitted"), FastEvaluator(), SILENT)


def test_what_was_never_fitted_is_refused_before_anything_begins(
    table: References, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"of Pd by .*--references measured"):
        fitted(table.scheme, ("Al", "Pd"))
    other = FastEvaluator()
    other.scheme = "another"
    with pytest.raises(ValueError, match="no fitted references by another"):
        discover(config(references="fitted"), Store(tmp_path / "new"), other, SILENT)
    assert not Store(tmp_path / "new").exists


def test_the_table_of_the_package_is_of_its_potential() -> None:
    from gnomon.evaluate.corrections import SCHEME_SUFFIX
    from gnomon.potential.weights import BUNDLED, DEFAULT_WEIGHTS

    found = references(f"{DEFAULT_WEIGHTS} (sha256 {BUNDLED[DEFAULT_WEIGHTS][:12]}){SCHEME_SUFFIX}")
    assert found is not None
    assert len(found.elements) > 80
    for symbol, one in found.elements.items():
        assert one.compounds >= 5, symbol
        assert one.measured is None or abs(one.fitted - one.measured) < 1, symbol

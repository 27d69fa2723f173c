"""The ensembles in the package: they load, say what they are, and have lost nothing to float16."""

from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import pytest

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.models.bundled import BUNDLED, COMPOSITION, STRUCTURAL, model_path
from gnomon.models.ensemble import load_model
from gnomon.models.structural.model import StructuralModel, initial_networks
from gnomon.models.structural.network import StructuralConfig
from gnomon.models.target import Target
from gnomon.models.uncertainty.calibration import calibration_path, load_calibration
from gnomon.run.files import sha256_of
from tests.strategies import ELEMENTS, random_crystal

MOST_BYTES = 4_000_000

LOST = 1e-3
"""eV/atom: what half precision may change of an energy, on average."""


@pytest.mark.parametrize("name", BUNDLED)
def test_a_name_stands_for_a_file_in_the_package_with_its_card(name):
    assert model_path(name).is_file()
    card = load_model(name).card
    assert card.kind == name.partition("-")[0]
    assert card.validation.mae < 0.25 * card.validation.mae_of_elements
    assert "Materials Project" in card.scheme


def test_any_other_name_is_a_path():
    assert model_path("mine.gnomon") == Path("mine.gnomon")
    assert model_path(f"./{STRUCTURAL}") == Path(STRUCTURAL)


def test_both_together_are_small():
    assert sum(model_path(name).stat().st_size for name in BUNDLED) < MOST_BYTES


def test_known_energies_are_about_right():
    """Rock salt, -2.1 eV/atom in the Materials Project, from its structure and its formula."""
    lattice = 5.64 / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    salt = Crystals.single(lattice, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    for name, tolerance in ((STRUCTURAL, 0.1), (COMPOSITION, 0.25)):
        assert load_model(name).predict(salt).median[0] == pytest.approx(-2.1, abs=tolerance)


def test_half_precision_keeps_the_energies(tmp_path):
    rng = np.random.default_rng(0)
    crystals = Crystals.concatenate([random_crystal(rng, max_atoms=4) for _ in range(40)])
    seen = np.isin(np.arange(MAX_Z + 1), ELEMENTS)
    target = Target(rng.normal(size=MAX_Z + 1), seen, -1.0, 1.0)
    networks = initial_networks(StructuralConfig(width=16, passes=2), 15.0, 3, seed=1)
    card = load_model(STRUCTURAL).card
    card = card.model_copy(update={"members": 3})
    whole = StructuralModel(networks, target, card)
    whole.save(tmp_path / "whole")
    whole.save(tmp_path / "half", half=True)
    half = load_model(tmp_path / "half")
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "whole").stat().st_size
    arrays = (jax.tree.leaves(eqx.filter(m, eqx.is_array)) for m in (half.networks, networks))
    assert all(one.dtype == other.dtype for one, other in zip(*arrays, strict=True))
    change = half.predict(crystals).median - whole.predict(crystals).median
    assert 0 < np.nanmean(np.abs(change)) < LOST


def test_intervals_come_with_the_ensemble_of_structures():
    """Those of this very file, fitted to unstable crystals too; far ones get wider intervals."""
    path = model_path(STRUCTURAL)
    found = load_calibration(calibration_path(path), sha256_of(path))
    assert found.card.unlike_rows > 0
    assert found.domain is not None
    salt = Crystals.single(np.eye(3) * 4.0, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    crushed = salt.scale_volume(0.4)
    model, conformal = load_model(STRUCTURAL), found.card.conformal
    widths = [
        conformal.half_widths(model.predict(c), 0.8, found.domain.distances(model.embed(c)))[0]
        for c in (salt, crushed)
    ]
    assert 0.01 < widths[0] < widths[1]

"""The potentials in the package: what they are, and that the default one knows matter."""

from functools import cache

import numpy as np
import pytest
from ase.build import bulk

from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import evaluate_all
from gnomon.io import as_crystals
from gnomon.potential.predict import LoadedPotential, load_potential
from gnomon.potential.weights import BUNDLED, DEFAULT_WEIGHTS, bundled_path
from gnomon.run.listener import SILENT

MAX_BYTES = 5_000_000

LENGTH = 0.03
"""Relative: how far a lattice parameter may be from the laboratory's (PBE's own error is 2 %)."""

PARAMETERS = {
    "Cu": bulk("Cu", "fcc", a=3.61),
    "Fe": bulk("Fe", "bcc", a=2.87),
    "Si": bulk("Si", "diamond", a=5.43),
    "MgO": bulk("MgO", "rocksalt", a=4.21),
    "NaCl": bulk("NaCl", "rocksalt", a=5.64),
    "CsCl": bulk("CsCl", "cesiumchloride", a=4.12),
    "GaAs": bulk("GaAs", "zincblende", a=5.65),
}
"""At measured lattice parameters, Å (Kittel, Introduction to Solid State Physics)."""

ENERGIES = {
    "gnomon-1": [-4.083984, -8.421140, -10.749701, -11.901609, -6.754847, -6.415606, -8.208323],
    "gnomon-2": [-4.086172, -8.419546, -10.801639, -11.948750, -6.763800, -6.470592, -8.294092],
}
"""Of these crystals, eV, by the file in which each first came."""

SCHEMES = {
    "gnomon-1": "gnomon-1 (sha256 b43519c65e90)",
    "gnomon-2": "gnomon-2 (sha256 3d1059e43636)",
}


@cache
def potential(name: str = DEFAULT_WEIGHTS) -> LoadedPotential:
    return load_potential(name)


@pytest.mark.parametrize("name", BUNDLED)
def test_it_comes_with_the_package_and_is_small(name: str) -> None:
    assert bundled_path(name).stat().st_size <= MAX_BYTES


@pytest.mark.parametrize("name", BUNDLED)
def test_the_card_says_what_it_learned_from(name: str) -> None:
    card = potential(name).card
    assert card is not None
    assert card.kind == "potential"
    assert card.scheme.startswith("nequix-oam-1-pft (sha256 4ce693d68886)")
    assert card.finished
    assert card.train_rows > 10_000
    assert card.validation is not None
    assert card.validation.gentle.energy is not None
    assert card.validation.gentle.energy < 0.1  # eV/atom
    assert (card.command or "gnomon train potential ").startswith("gnomon train potential ")
    assert not any(word.startswith("/") for word in f"{card.command} {card.data}".split())


@pytest.mark.parametrize("name", BUNDLED)
def test_its_energies_are_those_with_which_it_was_published(name: str) -> None:
    """Whatever the format of the file: the scheme keeps its name, so the energies must."""
    assert potential(name).scheme == SCHEMES[name]
    found = potential(name).predict(list(PARAMETERS.values()))
    assert found.energy == pytest.approx(ENERGIES[name], abs=2e-5)  # single precision


@pytest.mark.parametrize("name", BUNDLED)
def test_it_knows_the_elements_of_its_teacher(name: str) -> None:
    assert len(potential(name).elements) == 89
    assert {1, 3, 8, 26, 79, 92, 94} <= potential(name).elements


def test_it_is_the_default_evaluator() -> None:
    evaluator = make_evaluator(EvaluatorConfig(), RelaxConfig())
    assert evaluator.scheme == f"{potential().scheme}, MP2020 corrections"


def test_common_crystals_keep_their_size() -> None:
    batch = as_crystals(list(PARAMETERS.values()))
    evaluator = BatchedEvaluator(potential(), RelaxConfig(fmax=0.02))
    found = evaluate_all(batch, evaluator, SILENT)
    assert set(found.status) == {"converged"}
    ratio = np.cbrt(found.relaxed.volumes / batch.volumes)
    for name, factor in zip(PARAMETERS, ratio, strict=True):
        assert factor == pytest.approx(1, abs=LENGTH), name


@pytest.mark.filterwarnings("error")
def test_absurd_crystals_have_finite_energies() -> None:
    rng = np.random.default_rng(0)
    absurd = Crystals.concatenate(
        [
            Crystals.single(3 * np.eye(3), [8, 8], [[0, 0, 0], [0.1, 0, 0]]),  # 0.3 Å apart
            Crystals.single(200 * np.eye(3), [1], [[0, 0, 0]]),
            Crystals.single(np.diag([200.0, 1.0, 1.0]), [92], [[0, 0, 0]]),
            Crystals.single(20 * np.eye(3), rng.integers(1, 84, 100), rng.random((100, 3))),
        ]
    )
    found = potential().predict(absurd)
    assert np.isfinite(found.energy).all()
    assert np.isfinite(found.forces).all()
    assert np.isfinite(found.stress).all()

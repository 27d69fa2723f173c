"""What a campaign refuses: other settings, schemes and inputs than it began with."""

from pathlib import Path
from typing import Any

import pytest

from gnomon.discover import Campaign, discover
from gnomon.discover.settings import load_config
from gnomon.io import write
from gnomon.run.listener import SILENT
from gnomon.run.store import Store
from gnomon.run.writing import StoreError
from tests.calculators import FastEvaluator
from tests.small_campaigns import SETTINGS, few_prototypes, run, settings, tables


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 1}, "seed: 0 before, 1 now"),
        ({"system": "Al-Pt"}, r"system: \['Al', 'Ni'\] before, \['Al', 'Pt'\] now"),
        ({"screen.threshold": 0.1}, "screen.threshold: 0.05 before, 0.1 now"),
        ({"relax.fmax": 0.1}, "relax.fmax: 0.02 before, 0.1 now"),
        ({"evaluator.options": {"a": 1}}, r"evaluator.options: \{\} before, \{'a': 1\} now"),
    ],
)
def test_other_settings_are_refused_and_the_difference_named(
    tmp_path: Path, changes: dict[str, Any], difference: str
) -> None:
    discover(settings(budget__rounds=1), Store(tmp_path), FastEvaluator(), SILENT)
    before = tables(tmp_path)
    with pytest.raises(StoreError, match=rf"other settings \({difference}\).*only \[budget\] may"):
        discover(load_config(None, SETTINGS | changes), Store(tmp_path), FastEvaluator(), SILENT)
    assert tables(tmp_path) == before


@pytest.mark.usefixtures("few")
def test_the_order_of_the_elements_makes_no_other_campaign(tmp_path: Path) -> None:
    run(tmp_path / "a", budget__rounds=1)
    run(tmp_path / "b", budget__rounds=1, system="Ni-Al")
    assert tables(tmp_path / "a") == tables(tmp_path / "b")
    assert Campaign(tmp_path / "b").name == "Ni-Al"
    run(tmp_path / "b")
    assert Campaign(tmp_path / "b").name == "Ni-Al"


@pytest.mark.usefixtures("few")
def test_another_energy_scheme_is_refused(tmp_path: Path) -> None:
    run(tmp_path, FastEvaluator("one"), budget__rounds=1)
    with pytest.raises(StoreError, match="energy scheme: one before, two now"):
        run(tmp_path, FastEvaluator("two"))


@pytest.mark.usefixtures("few")
def test_evaluations_of_two_schemes_never_share_a_hull(tmp_path: Path) -> None:
    """An evaluator whose package was updated in the middle of a run."""
    evaluator = FastEvaluator("one")
    evaluator.before_chunk = lambda: setattr(evaluator, "scheme", "two")
    with pytest.raises(
        StoreError, match=r"mixes the energy schemes one and two: .*cannot share a hull"
    ):
        run(tmp_path, evaluator)


@pytest.mark.usefixtures("few")
def test_input_files_that_changed_are_refused(tmp_path: Path) -> None:
    known = tmp_path / "known.extxyz"
    crystals = few_prototypes(("Al", "Ni"), 2).crystals
    write(known, crystals[0])
    folder = tmp_path / "campaign"
    run(folder, generate__known=[str(known)], budget__rounds=1)
    known.unlink()
    write(known, crystals[1])
    with pytest.raises(StoreError, match="the contents of the input files"):
        run(folder, generate__known=[str(known)])


@pytest.mark.usefixtures("few")
def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("mine")
    with pytest.raises(StoreError, match=r"not empty and no campaign \(it holds config.toml\)"):
        run(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} <= {"config.toml", ".lock", ".lock.pid"}
    assert (tmp_path / "config.toml").read_text() == "mine"


@pytest.mark.parametrize("text", [None, "not a crystal"])
def test_inputs_that_cannot_be_read_begin_no_campaign(tmp_path: Path, text: str | None) -> None:
    """Else the corrected command would be refused for its other settings."""
    if text is not None:
        (tmp_path / "known.cif").write_text(text)
    folder = tmp_path / "campaign"
    with pytest.raises(ValueError, match=r"known\.cif"):
        run(folder, generate__known=[str(tmp_path / "known.cif")])
    assert not Store(folder).exists

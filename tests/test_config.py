"""Settings: what is refused and how it is said, and that what is written reads back the same."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.discover.folder import begin
from gnomon.discover.settings import CampaignConfig, ConfigError, load_config
from gnomon.run.store import Store
from tests.conftest import EMT

EXAMPLE = """
system = "Cu-Au"
seed = 3
[evaluator]
name = "ase:ase.calculators.emt.EMT"
options = { asap_cutoff = true }
[generate]
generators = ["prototypes"]
parents = ["a.cif", "b.cif"]
[budget]
minutes = 2
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_and_overrides_on_top(tmp_path: Path) -> None:
    path = written(tmp_path, EXAMPLE)
    config = load_config(path, {"budget.minutes": 5.0, "seed": None, "learn.min_labels": 12})
    assert config.system == ("Cu", "Au")  # as written
    assert config.name == "Cu-Au"
    assert config.elements == ("Au", "Cu")
    assert config.seed == 3
    assert config.budget.minutes == 5.0
    assert config.learn.min_labels == 12
    assert config.generate.parents == (Path("a.cif"), Path("b.cif"))
    assert config.evaluator.options == {"asap_cutoff": True}
    assert config.relax == CampaignConfig(system=("Au",)).relax


@pytest.mark.parametrize("system", ["Au-Cu", "Cu-Au", ["Cu", "Au"], ("Au", "Cu")])
def test_a_system_is_written_in_either_way(system: Any) -> None:
    assert load_config(None, {"system": system}).elements == ("Au", "Cu")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "without a system the parents are one database of crystals with energies"),
        ({"sytem": "Au-Cu"}, r"unknown setting sytem \(did you mean system\?\)"),
        ({"budget.minuts": 3}, r"unknown setting budget.minuts \(did you mean minutes\?\)"),
        ({"screen.treshold": 0.1}, r"unknown setting screen.treshold \(did you mean threshold\?\)"),
        (
            {"learn.zzz": 1},
            r"unknown setting learn.zzz \(known: estimates, min_labels, prior, prototypes\)",
        ),
        ({"relax.optimiser": "FIRE"}, "known: fmax, max_seconds, max_steps, relax_cell"),
        ({"system": "Au-Xx"}, "'Xx' is no element"),
        ({"system": "Au-Au"}, "names an element twice"),
        ({"system": ""}, "is not a chemical system"),
        ({"system": []}, "is not a chemical system"),
        ({"system": 5}, "system = 5"),
        ({"system": ["Au", 5]}, r"system = \['Au', 5\]"),
        ({"seed": -1}, "seed = -1: .*greater than or equal to 0"),
        ({"seed": "x"}, "seed = 'x'"),
        ({"budget.evaluations": 0}, "budget.evaluations = 0"),
        ({"budget.minutes": 0}, "budget.minutes = 0"),
        ({"budget.minutes": float("nan")}, "budget.minutes = nan"),
        ({"budget.rounds": 0}, "budget.rounds = 0"),
        ({"generate.max_atoms": 0}, "generate.max_atoms = 0"),
        ({"generate.generators": ["prototype"]}, "prototype.* there are .*, substitution"),
        ({"generate.generators": []}, "generate.generators"),
        ({"learn.min_labels": 1}, "learn.min_labels = 1"),
        ({"screen.random_share": 1.5}, "screen.random_share = 1.5"),
        ({"screen.exclude": ["Xx"]}, "unknown element 'Xx'"),
        ({"screen.exclude": ["Cu"]}, "Cu: asked for and excluded both"),
        ({"relax.fmax": 0}, "relax.fmax = 0"),
        ({"relax.max_steps": -1}, "relax.max_steps = -1"),
        ({"evaluator.workers": -1}, "evaluator.workers = -1"),
        ({"budget": 3}, "budget = 3"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict[str, Any], why: str) -> None:
    complete = not settings or not {"system", "sytem"}.isdisjoint(settings)
    with pytest.raises(ConfigError, match=why):
        load_config(None, settings if complete else {"system": "Au-Cu"} | settings)


def test_every_mistake_is_named_at_once_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'system = "Au-Cu"\nsead = 1\n[budget]\nminutes = -1\n')
    with pytest.raises(ConfigError, match=r"settings\.toml: .*budget\.minutes = -1.*sead"):
        load_config(path, {})


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path, written(tmp_path, "system = ")):
        with pytest.raises(ConfigError, match=rf"{path}(:| cannot be read as TOML)"):
            load_config(path, {})
    path.write_bytes(b'system = "\xff"')
    with pytest.raises(ConfigError, match="cannot be read as TOML"):
        load_config(path, {})


def test_a_value_where_a_section_should_be(tmp_path: Path) -> None:
    path = written(tmp_path, 'system = "Au-Cu"\nbudget = 3\n')
    with pytest.raises(ConfigError, match=r"budget must be a section of the file, \[budget\]"):
        load_config(path, {"budget.minutes": 3})


def test_settings_cannot_be_changed_by_accident() -> None:
    config = load_config(None, {"system": "Au-Cu"})
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1  # type: ignore[misc]


configs = st.fixed_dictionaries(
    {"system": st.sampled_from(["Au-Cu", "Al-Ni", "Pt"]), "evaluator.name": st.just(EMT)},
    optional={
        "seed": st.integers(0, 2**31),
        "generate.max_candidates": st.integers(1, 10**6),
        "screen.threshold": st.floats(-1, 1),
        "screen.exclude": st.sampled_from([[], ["U"]]),
        "evaluator.options": st.just({"device": "cpu", "depth": {"a": [1, 2.5]}}),
        "relax.relax_cell": st.booleans(),
        "budget.minutes": st.floats(1e-3, 1e6),
    },
)


@given(config=configs)
def test_the_config_of_a_campaign_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, Any]
) -> None:
    settings = load_config(None, config)
    store = Store(tmp_path_factory.mktemp("campaign"))
    begin(store, settings, "a scheme")
    again = load_config(store.root / "config.toml", {})
    assert again == settings
    assert CampaignConfig.model_validate(store.provenance["config"]) == settings
    assert tomllib.loads((store.root / "config.toml").read_text("utf-8"))["system"] == list(
        settings.system
    )

"""Calculators by name: only calculators run, whoever wrote the settings."""

import subprocess
import sys
from pathlib import Path

import pytest
from ase.calculators.emt import EMT

from gnomon.cli import main
from gnomon.discover.settings import load_config
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import registry
from gnomon.evaluate.calculators import FACTORIES, make_calculator
from gnomon.evaluate.registry import EVALUATORS, EvaluatorConfig, make_evaluator
from tests.calculators import FastEvaluator
from tests.conftest import EMT as EMT_NAME
from tests.conftest import REPOSITORY


def emt() -> EMT:
    """A function that returns a calculator."""
    return EMT()


def mischief(file: str) -> None:
    """A function that returns none, and does something else."""
    Path(file).write_text("done")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("os.system", {"command": "touch {file}"}),
        ("subprocess.run", {"args": ["touch", "{file}"]}),
        ("pathlib.Path", {}),
        ("builtins.exec", {"source": "open('{file}', 'w')"}),
        ("tests.test_calculators.mischief", {"file": "{file}"}),
        ("ase.Atoms", {}),
        ("ase.calculators.emt.parameters", {}),
        ("numpy.array", {"object": [1]}),
    ],
)
def test_what_is_no_calculator_is_never_called(tmp_path, name, options):
    file = tmp_path / "made"

    def filled(value):
        if isinstance(value, list):
            return [filled(each) for each in value]
        return value.replace("{file}", str(file)) if isinstance(value, str) else value

    options = {key: filled(value) for key, value in options.items()}
    with pytest.raises(ValueError, match=rf"'{name}' is no ASE calculator: .*give module\.Class"):
        make_calculator(name, options)
    assert not file.exists()


def test_a_shell_is_not_even_trusted():
    for name in ("os.system", "subprocess.call"):
        with pytest.raises(ValueError, match="belongs to Python itself"):
            make_calculator(name, {}, trust=True)


def test_a_name_that_does_not_pass_is_not_imported():
    for name in ("antigravity.fly", "this.Zen", "os.path.join", "evil", "a..b", "a b.c", "../x.Y"):
        with pytest.raises(ValueError, match="is no ASE calculator"):
            make_calculator(name, {})
    assert not {"antigravity", "this"} & set(sys.modules)


def test_a_function_runs_if_the_user_trusts_it():
    name = "tests.test_calculators.emt"
    with pytest.raises(ValueError, match=r"a function.*--trust-factory.*trust_factory = true"):
        make_calculator(name, {})
    assert isinstance(make_calculator(name, {}, trust=True), EMT)
    with pytest.raises(ValueError, match="it returned NoneType"):
        make_calculator("tests.test_calculators.mischief", {"file": "/dev/null"}, trust=True)
    config = EvaluatorConfig(name=f"ase:{name}", trust_factory=True)
    assert make_evaluator(config, RelaxConfig()).scheme.startswith(name)


def test_well_known_functions_are_in_the_docs():
    page = (REPOSITORY / "docs" / "guides" / "discover.md").read_text("utf-8")
    assert {name for name in FACTORIES if f"`{name}`" not in page} == set()


def test_settings_cannot_run_a_shell(tmp_path, capsys):
    made = tmp_path / "made"
    toml = tmp_path / "campaign.toml"
    toml.write_text(
        'system = "Au-Cu"\n[evaluator]\nname = "ase:os.system"\ntrust_factory = true\n'
        f'[evaluator.options]\ncommand = "touch {made}"\n'
    )
    assert main(["discover", "--config", str(toml), "--out", str(tmp_path / "out")]) != 0
    assert "'os.system' is no ASE calculator" in capsys.readouterr().err
    assert not made.exists()
    assert load_config(toml, {}).evaluator.trust_factory  # reading them imports nothing


@pytest.mark.parametrize("place", [".", "inner"])
def test_the_folder_of_a_campaign_is_never_imported_from(tmp_path, place):
    """Its files may come from anyone; Python itself puts the working folder in front with -m."""
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    (tmp_path / "provenance.json").write_text("{}")
    (folder / "planted.py").write_text(
        "from ase.calculators.emt import EMT\nopen('imported', 'w')\nclass Own(EMT): pass\n"
    )
    code = (
        "from gnomon.evaluate.calculators import make_calculator\n"
        "try: make_calculator('planted.Own', {})\n"
        "except ValueError as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert "lies in the folder of a campaign" in ran.stdout
    assert not (folder / "imported").exists()


def test_options_of_a_calculator_are_given_one_by_one(tmp_path, capsys):
    poscar = tmp_path / "POSCAR"
    poscar.write_text("Cu\n3.6\n0 .5 .5\n.5 0 .5\n.5 .5 0\nCu\n1\nDirect\n0 0 0\n")
    command = ["evaluate", str(poscar), "--evaluator", "ase:tests.calculators.Quick"]
    command += ["--workers", "1", "--max-steps", "0"]
    out = ["--out", str(tmp_path / "a.parquet")]
    assert main([*command, *out, "--calculator-option", "energy=-2.5"]) == 0
    assert 'Quick{"energy": -2.5}' in capsys.readouterr().err
    assert (
        main([*command, "--out", str(tmp_path / "b.parquet"), "--calculator-option", "energy"]) != 0
    )
    assert "give NAME=VALUE" in capsys.readouterr().err


def test_evaluators_of_other_packages_are_found_by_their_entry_point(monkeypatch):
    monkeypatch.setitem(EVALUATORS.built_in, "planted", f"{__name__}:plant")
    found = make_evaluator(EvaluatorConfig(name="planted:x", options={"a": 1}), RelaxConfig())
    assert found.scheme == "planted x {'a': 1}"
    assert make_evaluator(
        EvaluatorConfig(name="planted", corrections="mp2020"), RelaxConfig()
    ).scheme.endswith("MP2020 corrections")
    with pytest.raises(ValueError, match=r"no evaluator 'plantd' \(did you mean planted\?\)"):
        EvaluatorConfig(name="plantd")
    assert registry.DEFAULT_EVALUATOR in EVALUATORS.names()
    assert EvaluatorConfig(name=EMT_NAME).kind == "ase"


def plant(config, relax, listener):
    """What an entry point of the group gnomon.evaluators names."""
    detail = config.name.partition(":")[2]
    return FastEvaluator(f"planted {detail} {config.options}")

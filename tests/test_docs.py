"""The documentation says what the code does: reference, links, commands, settings, examples."""

import ast
import doctest
import importlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given

from gnomon.cli import main
from gnomon.crystals import Crystals
from gnomon.discover.settings import load_config
from gnomon.evaluate.calculators import make_calculator
from gnomon.generate import LINEAGE, Generator, registry
from gnomon.io import write
from gnomon.models import EnergyModel
from gnomon.models.ensemble import MODELS, load_model
from gnomon.properties.funnel import read_steps
from tests.conftest import REPOSITORY
from tests.strategies import crystals

PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
WRITTEN = [page for page in PAGES if page.parent.name != "reference"]
SOURCE = REPOSITORY / "src"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def module_of(path: Path, name: str) -> ModuleType:
    """A Python file outside of the package, imported under a name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return module_of(REPOSITORY / "docs" / "generate_reference.py", "generate_reference")


@pytest.fixture
def plugin(tmp_path, monkeypatch) -> None:
    """The example, as if its package were installed."""
    folder = tmp_path / "exchange_elements-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: exchange_elements\nVersion: 1.0\n"
    )
    (folder / "entry_points.txt").write_text(
        f"[{registry.GENERATORS.group}]\nexchange = exchange_elements:make\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(REPOSITORY / "examples"))


def label(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    titles = HEADING.findall(BLOCK.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# --- reference ------------------------------------------------------------------------------------


def test_the_reference_is_up_to_date(reference):
    for name, text in reference.pages().items():
        written = (reference.FOLDER / name).read_text("utf-8")
        assert written == text, f"{name}: run python docs/generate_reference.py"


def test_every_command_has_an_example_and_a_place_in_the_guides(reference):
    guides = "".join(page.read_text("utf-8") for page in WRITTEN)
    commands = reference.commands()
    assert len(commands) >= 8
    for command in commands:
        assert f"Example: {command.name} " in command.function.__doc__
        assert command.name in guides, f"no guide mentions {command.name}"


# --- the site -------------------------------------------------------------------------------------


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path):
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    pytest.importorskip("myst_parser", reason="the extra docs is not installed")
    pytest.importorskip("furo", reason="the extra docs is not installed")
    sphinx = f"{sys.executable} -m sphinx -qWn --keep-going -c docs . {tmp_path}".split()
    done = subprocess.run(sphinx, check=False, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = {p.relative_to(tmp_path).with_suffix(".md") for p in tmp_path.rglob("*.html")}
    assert {p.relative_to(REPOSITORY) for p in PAGES if "docs" in p.parts} <= built
    fetched = re.compile(r"<(?:script|img|link)[^>]+(?:src|href)=\"(?:https?:)?//")
    for page in tmp_path.rglob("*.html"):
        assert not fetched.search(page.read_text("utf-8")), f"{page.name} needs a network"
    for style in tmp_path.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", style.read_text("utf-8"))


# --- links, code, settings, commands --------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_lead_somewhere(page):
    for target in LINK.findall(BLOCK.sub("", page.read_text("utf-8"))):
        if re.match(r"https?:|mailto:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{target} leads nowhere"
        if anchor:
            assert anchor in anchors(found), f"{target}: {found.name} has no such heading"


def test_every_page_can_be_reached_from_the_map():
    start = REPOSITORY / "docs" / "index.md"
    seen, waiting = set(), [start]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = [t.partition("#")[0] for t in LINK.findall(page.read_text("utf-8"))]
        waiting += [(page.parent / t).resolve() for t in links if t and ":" not in t]
    assert {p for p in PAGES if "docs" in p.parts} <= seen


@pytest.mark.parametrize("page", WRITTEN, ids=label)
def test_python_in_pages_compiles_and_imports_what_exists(page):
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gnomon"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("page", WRITTEN, ids=label)
def test_settings_in_pages_are_settings(page, plugin, tmp_path):
    for text in blocks(page, "toml"):
        loaded = tomllib.loads(text)
        if "project" in loaded:
            continue
        file = tmp_path / "config.toml"
        file.write_text(text, "utf-8")
        if "step" in loaded:
            assert read_steps(file)
            continue
        evaluator = load_config(file, {} if "system" in loaded else {"system": "Au-Cu"}).evaluator
        if evaluator.name.startswith("ase:ase."):
            make_calculator(evaluator.name.removeprefix("ase:"), evaluator.options)


def option_names(function) -> set[str]:
    """Names of the options of a command, second ones and those of arguments among them."""
    hints = get_type_hints(function, include_extras=True)
    declared = [
        declaration
        for hint in hints.values()
        for option in getattr(hint, "__metadata__", ())
        # in Annotated, typer keeps the first name where the default would be
        for declaration in (option.default, *(option.param_decls or ()))
        if isinstance(declaration, str)
    ]
    names = {name.replace("_", "-") for name in hints if name != "return"}
    declared = [name for both in declared for name in both.split("/")]
    return names | {declaration.removeprefix("--") for declaration in declared}


@pytest.mark.parametrize("page", WRITTEN, ids=label)
def test_commands_in_pages_exist_with_their_options(page, reference):
    options = {command.name: option_names(command.function) for command in reference.commands()}
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[:1] != ["gnomon"]:
            continue
        names = [" ".join(words[:n]) for n in (4, 3, 2) if " ".join(words[:n]) in options]
        assert names or words[1].startswith("--"), f"{line}: no such command"
        used = {w.removeprefix("--").partition("=")[0] for w in words if w.startswith("--")}
        allowed = options[names[0]] if names else {"version", "help"}
        assert used <= allowed | {"help"}, f"{line}: {used - allowed} are no options"


# --- the script of the readme ---------------------------------------------------------------------


def test_the_script_of_the_readme_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    [script] = blocks(REPOSITORY / "README.md", "python")
    assert len(script.splitlines()) <= 12
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "README.md", "exec"), {})
    printed = [ast.literal_eval(line) for line in capsys.readouterr().out.splitlines()]
    assert {formula for formula, above in printed if above == 0} == {"Ti", "O2", "Ti2O3", "TiO2"}
    assert dict(printed)["TiO"] == pytest.approx(0.079, abs=0.005)  # as the page says
    assert "Plotly" in (tmp_path / "titanium-oxides.html").read_text("utf-8")


# --- examples -------------------------------------------------------------------------------------


def modules_with_examples() -> list[str]:
    """Modules whose docstrings hold examples."""
    found = [p for p in sorted(SOURCE.rglob("*.py")) if ">>> " in p.read_text("utf-8")]
    names = [".".join(p.relative_to(SOURCE).with_suffix("").parts) for p in found]
    return [name.removesuffix(".__init__") for name in names]


def test_there_are_modules_with_examples():
    assert {"gnomon.crystals", "gnomon.hull", "gnomon.io", "gnomon.hull.phases"} <= set(
        modules_with_examples()
    )


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_are_true(name):
    failed, tried = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert tried > 0
    assert failed == 0


# --- the plug-in ----------------------------------------------------------------------------------

SETTINGS = registry.GeneratorSettings(("Au", "Cu"), 16, (), frozenset())

AUCU3 = Crystals.single(
    3.75 * np.eye(3),
    [79, 29, 29, 29],
    [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
)


@pytest.fixture
def exchange(plugin) -> Generator:
    """The example as a campaign gets it: by name, through its entry point."""
    return registry.GENERATORS.get("exchange")(SETTINGS)


def test_the_example_generator_is_found_by_its_name(exchange):
    assert exchange.name == "exchange"
    with pytest.raises(ValueError, match=r"there are .*exchange, .*prototypes, .*substitution"):
        registry.GENERATORS.get("no such generator")


def test_the_example_generator_exchanges_elements(exchange):
    (chunk,) = exchange.generate(AUCU3, seed=0)
    assert chunk.crystals.reduced_formulas.tolist() == ["CuAu3"]
    assert chunk.lineage.to_pylist() == [
        {
            "id": chunk.crystals.ids[0],
            "parent_id": AUCU3.ids[0],
            "generator": "exchange",
            "change": "Cu-Au → Au-Cu",
            "score": None,
        }
    ]


def test_exchanging_twice_gives_the_parent_back(exchange):
    (once,) = exchange.generate(AUCU3, seed=0)
    (twice,) = exchange.generate(once.crystals, seed=0)
    assert twice.crystals.ids.tolist() == AUCU3.ids.tolist()


def test_the_model_of_the_page_is_read_by_its_kind_and_asked_by_command(
    tmp_path, monkeypatch, capsys
):
    page = REPOSITORY / "docs" / "guides" / "plugins.md"
    [code] = [text for text in blocks(page, "python") if "Additive" in text]
    (tmp_path / "my_package.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(MODELS.built_in, "additive", "my_package:Additive")
    file, salt = tmp_path / "m.gnomon", tmp_path / "aucu3.cif"
    importlib.import_module("my_package").Additive(np.arange(119.0), "made up").save(file)
    assert isinstance(load_model(file), EnergyModel)
    write(salt, AUCU3)
    assert main(["predict", str(file), str(salt), "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["predicted_formation_energy_per_atom"] == pytest.approx((79 + 3 * 29) / 4)


@given(parent=crystals)
def test_candidates_of_the_example_are_distinct_and_have_a_lineage(parent):
    module = module_of(REPOSITORY / "examples" / "exchange_elements.py", "exchange_elements")
    system = tuple(parent.chemical_systems[0].split("-"))
    settings = registry.GeneratorSettings(system, 16, (), frozenset())
    chunks = list(module.make(settings).generate(parent, seed=0))
    found = Crystals.concatenate([chunk.crystals for chunk in chunks])
    assert len(found) == np.prod(range(1, len(system) + 1)) - 1
    assert len({parent.ids[0], *found.ids}) == len(found) + 1
    assert set(found.chemical_systems) <= {parent.chemical_systems[0]}
    for chunk in chunks:
        assert chunk.lineage.schema == LINEAGE
        assert chunk.lineage["id"].to_pylist() == chunk.crystals.ids.tolist()

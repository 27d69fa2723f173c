"""Plug-ins by name: what is built in, what an installed package brings, what nobody has."""

import sys
from pathlib import Path

import pytest

from gnomon.run.registry import Registry

SHAPES = Registry("shape", "gnomon.shapes", {"cube-1": "math:pi", "path": "pathlib:Path.home"})


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with four entry points, two of which bring nothing."""
    (tmp_path / "round_shapes.py").write_text("ball = 7\n")
    folder = tmp_path / "round_shapes-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: round_shapes\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[gnomon.shapes]\nball = round_shapes:ball\ncube-1 = round_shapes:ball\n"
        "egg = round_shapes:egg\noval = no_such_package:oval\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_what_is_built_in_is_imported_when_it_is_asked_for() -> None:
    assert SHAPES.names() == ("cube-1", "path")
    assert SHAPES.get("cube-1") == pytest.approx(3.14159, abs=1e-5)
    assert SHAPES.get("path") == Path.home


def test_an_installed_package_adds_names_and_takes_none(package: None) -> None:
    assert SHAPES.names() == ("ball", "cube-1", "egg", "oval", "path")
    SHAPES.check("oval")
    assert "round_shapes" not in sys.modules
    assert SHAPES.get("ball") == 7
    assert SHAPES.get("cube-1") != 7


@pytest.mark.parametrize("name", ["egg", "oval"])
def test_a_plug_in_that_cannot_be_loaded_is_named_with_the_reason(package: None, name: str) -> None:
    with pytest.raises(ValueError, match=rf"the shape '{name}' \(.*:{name}\) cannot be loaded: .+"):
        SHAPES.get(name)


@pytest.mark.parametrize(
    ("given", "meant"), [("Cube_1", "cube-1"), ("cube-2", "cube-1"), ("pth", "path")]
)
def test_an_unknown_name_is_refused_with_what_there_is(given: str, meant: str) -> None:
    message = rf"no shape '{given}' \(did you mean {meant}\?\): there are cube-1, path"
    for ask in (SHAPES.check, SHAPES.get):
        with pytest.raises(ValueError, match=message):
            ask(given)
    with pytest.raises(ValueError, match="no shape 'dodecahedron': there are cube-1, path"):
        SHAPES.check("dodecahedron")

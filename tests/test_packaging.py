"""What is installed: the wheel holds what it needs and no more, the base install stays small."""

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import REPOSITORY

MEGABYTE = 1e6

WHEEL = 40 * MEGABYTE

INSTALLED = 1058.1 * MEGABYTE
"""Files of the 67 distributions that the base install of 26 November 2026 needed (Python 3.11,
x86-64, no compiled Python counted), found by this test."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling", reason="the extra dev is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=REPOSITORY, capture_output=True, check=True)
    [path] = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_is_small(wheel):
    assert Path(wheel.filename).stat().st_size < WHEEL


def test_the_wheel_holds_every_module_and_all_data_of_the_package_and_nothing_else(wheel):
    package = REPOSITORY / "src" / "gnomon"
    files = [p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    wanted = {f"gnomon/{path.relative_to(package).as_posix()}" for path in files}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == wanted
    assert sum("/data/" in name and not name.endswith(".json") for name in held) >= 3  # weights


def requirements(lines: list[str]) -> Iterator[str]:
    """Names of what these requirements ask for on this machine, no extra unless it is named."""
    for line in lines:
        requirement = Requirement(line)
        extras = requirement.extras or {""}
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name
            for inner in distribution(requirement.name).requires or [] if extras != {""} else []:
                marker = Requirement(inner).marker
                if marker is not None and any(marker.evaluate({"extra": e}) for e in extras):
                    yield Requirement(inner).name


def base_install() -> dict[str, Distribution]:
    """Every distribution that the base install of this checkout needs, by name."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, Distribution] = {}
    waiting = list(requirements(project["dependencies"]))
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in found:
            found[name] = distribution(name)
            waiting += requirements(found[name].requires or [])
    return found


def test_the_base_install_has_grown_by_less_than_a_twentieth():
    sizes = {
        name: sum(file.size or 0 for file in found.files or ())
        for name, found in base_install().items()
    }
    assert "pytest" not in sizes
    assert sizes["numpy"] > MEGABYTE
    total = sum(sizes.values())
    largest = sorted(sizes, key=lambda name: -sizes[name])[:10]
    report = ", ".join(f"{name} {sizes[name] / MEGABYTE:.0f}" for name in largest)
    assert total < 1.05 * INSTALLED, f"{total / MEGABYTE:.1f} MB, most of it {report}"

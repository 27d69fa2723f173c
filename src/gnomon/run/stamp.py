"""Where results come from: the code that ran, when, and on which machine."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from typing_extensions import TypedDict  # pydantic asks for it below Python 3.12

PACKAGES = (
    *("gnomon", "ase", "e3nn-jax", "equinox", "jax", "jaxlib", "numpy", "optax", "pyarrow"),
    *("pymatgen", "scipy", "spglib"),
)
"""Packages whose versions can change a result."""


class Stamp(TypedDict):
    """What is written beside every result."""

    versions: dict[str, str]
    """Of ``PACKAGES``, and of Python."""
    commit: str | None
    """Of gnomon's source tree, ``-dirty`` if it was changed; None where it is no checkout."""
    date: str
    """UTC, ISO 8601, to the second."""
    machine: str
    """Processor, cores, system, and the accelerator where JAX runs on one."""


def stamp() -> Stamp:
    """The stamp of what is made here and now."""
    versions = {name: version(name) for name in PACKAGES}
    return {
        "versions": versions | {"python": platform.python_version()},
        "commit": git_commit(),
        "date": now(),
        "machine": _machine(),
    }


def now() -> str:
    """The time, as all files of gnomon have it: UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def git_commit() -> str | None:
    """Commit of the source tree that runs (``-dirty`` if changed), None for no checkout."""
    folder = Path(__file__).parents[1]
    try:
        answers = [
            subprocess.run(
                ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", "."))
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    commit, changes = answers
    return commit + ("-dirty" if changes else "")


def _machine() -> str:
    words = [platform.machine(), f"{os.cpu_count()} cores", platform.system()]
    jax = sys.modules.get("jax")  # what has not loaded it has not run on its device
    kind = jax.devices()[0].device_kind if jax else "cpu"
    return ", ".join(words if kind == "cpu" else [*words, kind])

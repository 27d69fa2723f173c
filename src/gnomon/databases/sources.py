"""Where reference phases come from, by name."""

from __future__ import annotations

import re

from gnomon.databases.files import Files
from gnomon.databases.materials_project import NAME, MaterialsProject
from gnomon.databases.optimade import Optimade
from gnomon.io import InputError
from gnomon.io.sources import STDIN, find
from gnomon.run.http import Patience

Source = MaterialsProject | Optimade | Files
"""All of them have a ``name``, as asked for, and ``fetch(systems, answers, listener)``."""


def make_source(name: str, patience: Patience, allowed: tuple[str, ...] = ()) -> Source:
    """The source of this name: ``mp``, the base URL of an OPTIMADE provider, or files.

    ``allowed``: hosts beside its own that a provider may send us to.

    Raises:
        InputError: if it is neither.
    """
    if name == NAME:
        return MaterialsProject(patience, allowed=allowed)
    if re.match(r"https?://[^/\s]", name):
        return Optimade(name, patience, allowed)
    try:
        if name != STDIN:
            find(name, None)
            return Files(name)
        reason = "the standard input can be read only once"
    except InputError as error:
        reason = str(error)
    raise InputError(
        f"--from {name} is no source ({reason}): give mp (the Materials Project), the base URL of "
        "an OPTIMADE provider as in https://optimade.materialsproject.org, or a file of crystals"
    )

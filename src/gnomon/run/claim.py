"""A folder is of the request that began it: another one is refused, the same one goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnomon.run.stamp import stamp
from gnomon.run.writing import write_json

CLAIM = "provenance.json"
"""What a folder says of its request."""


class ClaimError(ValueError):
    """The folder, or file, is of another request; the message says which setting differs."""


def claim(out: Path, request: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> None:
    """Write down what is asked for, or check that the folder was begun by the same request.

    Args:
        out: the folder.
        request: settings as JSON has them.
        others: facts that are no settings, kept beside them.

    Raises:
        ClaimError: if the folder was begun by another request, or holds other files.
    """
    file = out / CLAIM
    if file.exists():
        same(out, json.loads(file.read_text("utf-8")).get("request", {}), request)
        return
    # hidden files: what a kill leaves of a file that was being written
    if out.is_dir() and any(not f.name.startswith(".") for f in out.iterdir()):
        raise ClaimError(f"{out} holds other files: choose another folder, or empty it first")
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, {"request": dict(request), **(others or {}), **stamp()})


def same(out: Path, before: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Nothing, if what is there was made by the same request.

    Raises:
        ClaimError: if not.
    """
    for key, asked in request.items():
        if before.get(key) != asked:
            raise ClaimError(
                f"{out} was made with {key} {json.dumps(before.get(key))}, not "
                f"{json.dumps(asked)}: choose another folder, or ask for the same"
            )

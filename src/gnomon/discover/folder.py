"""The beginning of a campaign's folder: provenance and settings, or whether they are the same."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import tomli_w

from gnomon.discover.settings import CampaignConfig, settings_of
from gnomon.discover.wide.database import PHASES
from gnomon.run.files import sha256_of
from gnomon.run.manifest import MANIFEST
from gnomon.run.stamp import stamp
from gnomon.run.store import Store
from gnomon.run.writing import StoreError

HOW = ("budget", "run")
"""Settings that may change: how much is done, and by whom."""


def begin(store: Store, config: CampaignConfig, schemes: Sequence[str]) -> None:
    """Begin a campaign, or check that the one in the folder is this one.

    Args:
        store: the folder.
        config: settings whose levels are named.
        schemes: of all levels, that which screens first.

    Raises:
        StoreError: if the folder holds a campaign of other settings or inputs, or other files.
    """
    settings = config.model_dump(mode="json")
    given = config.generate
    files = (*given.parents, *given.known, *given.candidates, *config.wide.phases)
    inputs = {str(p): _sha256(p) for p in files}
    if store.exists:
        _check_same(store, settings, inputs, list(schemes))
        _write_config(store, store.provenance["config"])  # a kill may have come between the two
        return
    if strangers := [path.name for path in store.root.iterdir() if not _is_ours(path.name)]:
        raise StoreError(
            f"{store.root} is not empty and no campaign (it holds {strangers[0]}): "
            "choose another folder with --out"
        )
    store.write_facts(
        "provenance.json",
        {
            "system": config.name,
            "scheme": schemes[0],
            "deciding_schemes": list(schemes[1:]),
            "seed": config.seed,
            "config": settings,
            "inputs": inputs,
            "command": sys.argv,
            **stamp(),
        },
    )
    _write_config(store, settings)


def _is_ours(name: str) -> bool:
    """Whether a campaign that had hardly begun leaves such a file."""
    return name.startswith(".lock") or name == MANIFEST


def _write_config(store: Store, settings: Mapping[str, Any]) -> None:
    """The settings as TOML for people, unless they are there."""
    if not store.intact("config.toml"):
        config = CampaignConfig.model_validate(settings)
        toml = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
        store.write("config.toml", toml.encode())


def _check_same(
    store: Store, settings: dict[str, Any], inputs: dict[str, str], schemes: list[str]
) -> None:
    before = store.provenance
    # a setting that did not exist yet had the value that is its default now
    old = CampaignConfig.model_validate(settings_of(before)).model_dump(mode="json")
    changed = _differences(_deciding(old), _deciding(settings))
    if before.get("inputs") != inputs:
        changed.append("the contents of the input files")
    pairs = zip_longest([before["scheme"], *before.get("deciding_schemes", ())], schemes)
    changed += [f"energy scheme: {old} before, {new} now" for old, new in pairs if old != new]
    if changed:
        raise StoreError(
            f"{store.root} holds a campaign of other settings ({'; '.join(changed)}): "
            "choose another folder with --out, or repeat its settings (only [budget] may change)"
        )


def _deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that may change or that change nothing in this system."""
    system, exclude = settings["system"], settings["screen"]["exclude"]
    if system is not None:
        exclude = [symbol for symbol in exclude if symbol in system]
    kept = {key: value for key, value in settings.items() if key not in HOW}
    return kept | {"screen": settings["screen"] | {"exclude": exclude}}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if key == "system" and a and b and sorted(a) == sorted(b):
            continue  # the same elements in another order
        if isinstance(a, dict) and isinstance(b, dict) and key != "options":
            found += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {a} before, {b} now")
    return found


def _sha256(path: Path) -> str:
    path = path / PHASES if path.is_dir() else path
    try:
        return sha256_of(path)
    except OSError as error:
        raise StoreError(f"the input {path} cannot be read: {error.strerror}") from error

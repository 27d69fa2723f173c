"""Measured cells of common starting materials, each with its source.

Computed cells of layered and of molecular crystals are often too long by several percent, and some
starting materials are in few tables; these few come with gnomon.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import gemmi
import numpy as np

from gnomon.crystals import Crystals
from gnomon.diffraction.candidates import Candidates
from gnomon.elements import atomic_number

SAME = 1e-3
"""Fractional: images of a site that agree within this are one atom."""


def measured() -> Candidates:
    """The measured cells that come with gnomon.

    >>> print(*measured().crystals.reduced_formulas)
    V2O5 In2O3 NiO CoO MnO Li2CO3 MnCO3 La(HO)3 Bi2O3
    """
    text = (resources.files("gnomon.diffraction") / "measured_cells.json").read_text("utf-8")
    entries = json.loads(text)
    labels = [f"{entry['name']} ({entry['source']})" for entry in entries]
    return Candidates.of(
        Crystals.concatenate([_crystal(entry) for entry in entries]), measured=True, labels=labels
    )


def _crystal(entry: dict[str, Any]) -> Crystals:
    """The whole cell of an entry."""
    cell = gemmi.UnitCell(*entry["cell"])
    group = gemmi.find_spacegroup_by_name(entry["space_group"])
    numbers, places = [], list[np.ndarray]()
    for symbol, *site in entry["sites"]:
        images = np.array([op.apply_to_xyz(site) for op in group.operations()]) % 1
        kept: list[np.ndarray] = []
        for image in images:
            away = [np.abs(image - other - np.round(image - other)).max() for other in kept]
            if not away or min(away) > SAME:
                kept.append(image)
        numbers += [atomic_number(symbol)] * len(kept)
        places += kept
    return Crystals.single(np.array(cell.orth.mat).T, numbers, places)

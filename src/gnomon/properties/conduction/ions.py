"""Which ion of a crystal may move."""

from __future__ import annotations

import numpy as np

from gnomon.chemistry.cautions import of_metals
from gnomon.crystals import Crystals
from gnomon.dynamics.nonsense import unphysical
from gnomon.elements import SYMBOLS

CHARGES = {"Li": 1.0, "Na": 1.0, "K": 1.0, "Mg": 2.0, "Ca": 2.0}
"""Ions that are looked at, the first that a crystal holds; with their charges."""


def known_ion(name: str | None) -> str | None:
    """The same name, if it is one of an ion that is looked at, or none.

    Raises:
        ValueError: if it is not.
    """
    if name is not None and name not in CHARGES:
        raise ValueError(f"{name!r} is none of the ions {', '.join(CHARGES)}")
    return name


def mobile(crystal: Crystals, wanted: str | None = None) -> tuple[str, str]:
    """The ion of a crystal that may move, or why there is none.

    Args:
        crystal: one.
        wanted: this ion and no other.
    """
    held = [SYMBOLS[z] for z in np.unique(crystal.atomic_numbers)]
    ions = [symbol for symbol in CHARGES if symbol in held]
    if wanted is not None and wanted not in ions:
        return "", f"no {wanted} in it"
    if not ions:
        return "", f"none of the ions {', '.join(CHARGES)} in it"
    if of_metals(crystal)[0]:
        return "", "metals only: electrons conduct, not ions"
    if why := unphysical(crystal)[0]:
        return "", why
    return wanted or ions[0], ""

"""Which ion of a crystal may move."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from gnomon.chemistry.cautions import of_metals
from gnomon.crystals import Crystals
from gnomon.dynamics.nonsense import unphysical
from gnomon.elements import SYMBOLS

CHARGES = {"Li": 1, "Na": 1, "K": 1, "Mg": 2, "Ca": 2}
"""Ions that are looked at unless one is named, the first that a crystal holds; their charges."""


@dataclass(frozen=True)
class Ion:
    """An ion that may move.

    Attributes:
        symbol: of its element.
        charge: in elementary charges.
    """

    symbol: str
    charge: int

    @classmethod
    def named(cls, name: str) -> Ion:
        """Any element with a charge; Li, Na, K, Mg and Ca need none.

        >>> Ion.named("Ag+"), Ion.named("O2-").charge, Ion.named("Mg").charge
        (Ion(symbol='Ag', charge=1), -2, 2)

        Raises:
            ValueError: if it is no ion's name.
        """
        found = re.fullmatch(r"([A-Z][a-z]?)(?:([1-9]?)([+-]))?", name)
        symbol, size, sign = found.groups() if found else ("", "", "")
        if symbol not in SYMBOLS[1:] or (sign is None and symbol not in CHARGES):
            raise ValueError(
                f"{name!r} is none of the ions {', '.join(CHARGES)}: give another with its charge, "
                "as in Ag+ or O2-"
            )
        return cls(symbol, int(f"{sign}{size or 1}") if sign else CHARGES[symbol])


def known_ion(name: str | None) -> str | None:
    """The same name, if it is an ion's, or none.

    Raises:
        ValueError: if it is not.
    """
    if name is not None:
        Ion.named(name)
    return name


def mobile(crystal: Crystals, wanted: str | None = None) -> tuple[str, str]:
    """The name of the ion of a crystal that may move, or why there is none.

    Args:
        crystal: one.
        wanted: this ion and no other.
    """
    held = [SYMBOLS[z] for z in np.unique(crystal.atomic_numbers)]
    names = CHARGES if wanted is None else (wanted,)
    ions = [name for name in names if Ion.named(name).symbol in held]
    if not ions:
        none = f"none of the ions {', '.join(CHARGES)}" if wanted is None else f"no {wanted}"
        return "", f"{none} in it"
    if of_metals(crystal)[0]:
        return "", "metals only: electrons conduct, not ions"
    if len(held) == 1:
        return "", f"nothing but {held[0]} in it: no framework"
    if why := unphysical(crystal)[0]:
        return "", why
    return ions[0], ""

"""The seven crystal systems by numbers of space groups, and what they leave free of a cell."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float64

LAST_GROUP = MappingProxyType(
    {
        "triclinic": 2,
        "monoclinic": 15,
        "orthorhombic": 74,
        "tetragonal": 142,
        "trigonal": 167,
        "hexagonal": 194,
        "cubic": 230,
    }
)
"""Last space group of each crystal system (International Tables A)."""

HEXAGONAL = ("trigonal", "hexagonal")
"""Systems of the hexagonal family, whose cells have an angle of 120 degrees."""

FREE = MappingProxyType(
    {
        "triclinic": (True, True, True, True, True, True),
        "monoclinic": (True, True, True, False, True, False),
        "orthorhombic": (True, True, True, False, False, False),
        "tetragonal": (True, False, True, False, False, False),
        "trigonal": (True, False, True, False, False, False),
        "hexagonal": (True, False, True, False, False, False),
        "cubic": (True, False, False, False, False, False),
    }
)
"""Which of a, b, c, alpha, beta, gamma of the conventional cell each system leaves free."""


def crystal_system(space_group: int) -> str:
    """Crystal system of a space group's number.

    >>> crystal_system(166), crystal_system(225)
    ('trigonal', 'cubic')

    Raises:
        ValueError: if there is no such space group.
    """
    if not 1 <= space_group <= 230:
        raise ValueError(f"space groups have numbers from 1 to 230, not {space_group}")
    return next(name for name, last in LAST_GROUP.items() if space_group <= last)


def crystal_family(space_group: int) -> str:
    """Letter of the crystal family in Pearson's symbol.

    >>> crystal_family(166), crystal_family(2)
    ('h', 'a')

    Raises:
        ValueError: if there is no such space group.
    """
    system = crystal_system(space_group)
    return {"triclinic": "a", "trigonal": "h"}.get(system, system[0])


def free_cell(number: int) -> Bool[np.ndarray, " 6"]:
    """Which of a, b, c, alpha, beta, gamma a space group leaves free."""
    return np.array(FREE[crystal_system(number)])


def whole_cell(number: int, cell: Float64[np.ndarray, " 6"]) -> Float64[np.ndarray, " 6"]:
    """Cell parameters of which those that are not free follow from the others."""
    gamma = 120.0 if crystal_system(number) in HEXAGONAL else 90.0
    others = [cell[0]] * 3 + [90.0, 90.0, gamma]
    return np.where(free_cell(number), cell, others)

"""What the page of one crystal says beside the columns of the index."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ase.cell import Cell

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.explore.index import Index
from gnomon.explore.panels import panels
from gnomon.explore.panels.shape import Subject

SAID = ("structure_type", "distance_to_rest", "flags", "copies", "warnings", "file")
"""Details that stand at the top of a page."""


def crystal_page(index: Index, row: int) -> dict[str, Any]:
    """Everything about one crystal that a page shows."""
    of = Subject(index, row, index.detail(row))
    found, standard = of.symmetric, of.symmetric.standard
    said = {name: of.details[name] for name in SAID if name in of.details}
    return {
        "facts": index.row(row, list(index.columns)),
        "structure": structure(of.crystal),
        "cell": cell(of.crystal),
        "symmetry": found.symmetry,
        "conventional": found.symmetry
        and {"cell": cell(standard), "structure": structure(standard)},
        "shells": [asdict(one) for one in found.shells],
        "panels": panels(of),
        **said,
    }


def structure(crystal: Crystals) -> dict[str, Any]:
    """Cell vectors (Å), symbols and fractional coordinates of a batch of one."""
    lattice, numbers, frac = crystal.wrap().arrays(0)
    return {
        "lattice": lattice.tolist(),
        "symbols": [SYMBOLS[z] for z in numbers.tolist()],
        "frac_coords": frac.tolist(),
    }


def cell(crystal: Crystals) -> dict[str, Any]:
    """Lengths (Å), angles (degrees) and volume (Å^3) of a batch of one."""
    numbers = Cell(crystal.lattice[0]).cellpar().tolist()
    return {"lengths": numbers[:3], "angles": numbers[3:], "volume": float(crystal.volumes[0])}

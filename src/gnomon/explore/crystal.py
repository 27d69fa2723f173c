"""What the page of one crystal says beside the columns of the index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import spglib
from ase.cell import Cell
from jaxtyping import Float64, Integer

from gnomon.crystals import Crystals
from gnomon.discover.placed import RELAXED_SYMPREC
from gnomon.elements import SYMBOLS
from gnomon.explore.index import Index
from gnomon.structure.neighbors import neighbors
from gnomon.structure.symmetry import space_group_symbol

REACH = 6.0
"""Å within which neighbours are looked for."""

MOST_NEIGHBORS = 24
"""Neighbours of an atom that are looked at for a gap: no shell has more."""

MOST_SHELLS = 60
"""Inequivalent atoms whose surroundings are described."""


def crystal_page(index: Index, row: int) -> dict[str, Any]:
    """Everything about one crystal that a page shows."""
    crystal = index.crystals[row]
    return {
        "facts": index.row(row, list(index.columns)),
        "structure": structure(crystal),
        "cell": cell(crystal),
        **_symmetry(crystal),
        **linked(index, row),
    }


def linked(index: Index, row: int) -> dict[str, Any]:
    """Details of a row, in which crystals that are in the index say so."""
    details = index.detail(row)
    source = index.columns["source"].at(row)
    for name in ("lineage", "competing"):
        for one in details.get(name, ()):
            at = index.row_of.get(one["id"])
            one["here"] = at is not None and index.columns["source"].at(at) == source
    return details


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


def _symmetry(crystal: Crystals) -> dict[str, Any]:
    """Space group, conventional cell, Wyckoff table, and what surrounds each kind of atom."""
    lattice, numbers, frac = crystal.arrays(0)
    try:
        found = spglib.get_symmetry_dataset((lattice, frac, numbers), symprec=RELAXED_SYMPREC)
    except spglib.error.SpglibError:
        found = None
    if found is None:
        kinds = np.arange(len(numbers))
        return {"symmetry": None, "wyckoff": [], "surroundings": list(_shells(crystal, kinds))}
    standard = Crystals.single(found.std_lattice, found.std_types, found.std_positions)
    return {
        "symmetry": {
            "number": int(found.number),
            "symbol": space_group_symbol(int(found.number)),
            "hall": found.hall,
            "point_group": found.pointgroup,
            "tolerance": RELAXED_SYMPREC,
        },
        "conventional": {"cell": cell(standard), "structure": structure(standard)},
        "wyckoff": list(_wyckoff(found, numbers)),
        "surroundings": list(_shells(crystal, found.crystallographic_orbits)),
    }


def _wyckoff(found: Any, numbers: Integer[np.ndarray, " atoms"]) -> Iterator[dict[str, Any]]:
    """Each orbit: element, multiplicity in the conventional cell, letter, symmetry, a position."""
    orbits = found.crystallographic_orbits
    _, firsts = np.unique(orbits, return_index=True)
    for first in firsts.tolist():
        primitive = found.mapping_to_primitive[first]
        images = np.flatnonzero(found.std_mapping_to_primitive == primitive)
        share = np.isin(
            found.std_mapping_to_primitive,
            found.mapping_to_primitive[orbits == orbits[first]],
        )
        yield {
            "element": SYMBOLS[int(numbers[first])],
            "multiplicity": int(share.sum()),
            "letter": found.wyckoffs[first],
            "site_symmetry": found.site_symmetry_symbols[first],
            "position": found.std_positions[images[0]].tolist(),
        }


def _shells(crystal: Crystals, kinds: Integer[np.ndarray, " atoms"]) -> Iterator[dict[str, Any]]:
    """The nearest neighbours of one atom of each kind, as far as the largest gap."""
    near = neighbors(crystal, REACH, MOST_NEIGHBORS)
    _, firsts = np.unique(kinds, return_index=True)
    for first in firsts.tolist()[:MOST_SHELLS]:
        mine = np.flatnonzero(near.receivers == first)
        mine = mine[np.argsort(near.distances[mine], kind="stable")]
        mine = mine[: first_shell(near.distances[mine])]
        bonds: dict[str, list[float]] = {}
        for sender, distance in zip(near.senders[mine], near.distances[mine], strict=True):
            symbol = SYMBOLS[int(crystal.atomic_numbers[sender])]
            bonds.setdefault(symbol, []).append(round(float(distance), 4))
        yield {
            "element": SYMBOLS[int(crystal.atomic_numbers[first])],
            "coordination": len(mine),
            "distortion": distortion(near.distances[mine]),
            "bonds": bonds,
        }


def first_shell(distances: Float64[np.ndarray, " k"]) -> int:
    """How many of an atom's neighbours belong to its first shell.

    As far as the largest gap in reciprocal distances (Brunner, Acta Cryst. A 33, 226 (1977)).

    >>> first_shell(np.array([2.0, 2.0, 2.1, 3.4, 3.5]))
    3

    Args:
        distances: of its neighbours, rising, Å.
    """
    if len(distances) < 2:
        return len(distances)
    return int(np.argmax(1 / distances[:-1] - 1 / distances[1:])) + 1


def distortion(distances: Float64[np.ndarray, " k"]) -> float | None:
    """Mean of abs(l - mean) / mean of bond lengths l (Baur, Acta Cryst. B 30, 1195 (1974), eq. 1).

    >>> distortion(np.array([2.0, 2.0])), distortion(np.array([1.0, 3.0]))
    (0.0, 0.5)
    """
    if not len(distances):
        return None
    mean = distances.mean()
    return float(np.abs(distances - mean).mean() / mean)

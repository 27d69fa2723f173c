"""Families that finds belong to, by how their atoms are bonded and what they consist of.

Merchant et al., Nature 624, 80 (2023), count layered crystals, conductors and Li/Mn oxides among
theirs; these are our definitions, which the report repeats beside its counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.dynamics.nonsense import CLOSE, collapsed
from gnomon.elements import SYMBOLS
from gnomon.io import to_ase
from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answered
from gnomon.properties.registry import PropertySettings

LEVEL = "bonds by covalent radii (ASE)"

TRANSITION_METALS = frozenset([*range(21, 31), *range(39, 49), *range(72, 81)])
"""Groups 3 to 12 without lanthanides and actinides."""

LAYERED = "layered"

FAMILIES: Mapping[str, str] = {
    LAYERED: "bonded along two dimensions and no third (Larsen et al., Phys. Rev. Materials 3, "
    "034003 (2019))",
    "chains": "bonded along one dimension alone",
    "molecular": "bonded along none",
    "Li/Mn transition-metal oxide": "Li, Mn and O, further elements only transition metals",
    "alkali oxide of transition metals": "O, one of Li, Na and K, transition metals, nothing else",
}
"""What each means."""

SCHEMA = value_schema(
    "dimensionality of the bonded network, the highest of its parts",
    "1",
    column("score", pa.float64(), "1 where it holds for all lengths of bonds", unit="1"),
    column("kind", pa.string(), "dimensionalities of all parts, such as 2D or 0D3D"),
    column("families", pa.string(), "those that it belongs to, joined by semicolons"),
)


def by_elements(elements: frozenset[int]) -> list[str]:
    """Families of a composition.

    >>> by_elements(frozenset([3, 25, 28, 8]))
    ['Li/Mn transition-metal oxide', 'alkali oxide of transition metals']
    >>> by_elements(frozenset([11, 17]))
    []

    Args:
        elements: atomic numbers.
    """
    others, alkali = elements - {8}, elements & {3, 11, 19}
    found = []
    if {3, 8, 25} <= elements and elements - {3, 8} <= TRANSITION_METALS:
        found.append("Li/Mn transition-metal oxide")
    metals = others - alkali
    if len(alkali) == 1 and 8 in elements and metals and metals <= TRANSITION_METALS:
        found.append("alkali oxide of transition metals")
    return found


class Families:
    """Dimensionality and families; a ``Property``."""

    needs: tuple[str, ...] = ()
    schema = SCHEMA

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Of each crystal by itself, nothing relaxed."""
        return answered(SCHEMA, crystals.ids, LEVEL, [_row(crystal) for crystal in crystals])


def _row(crystal: Crystals) -> dict[str, Any]:
    from ase.data import covalent_radii
    from ase.geometry.dimensionality import analyze_dimensionality

    numbers = crystal.atomic_numbers
    unknown = sorted({int(z) for z in numbers if not covalent_radii[z] > 0.2})
    if unknown:
        return {"status": f"no covalent radius of {SYMBOLS[unknown[0]]}"}
    if collapsed(crystal)[0]:  # its bonds would be countless
        return {"status": CLOSE}
    try:
        best = analyze_dimensionality(to_ase(crystal)[0], method="RDA")[0]
    except TypeError:  # ASE's search for bonds ends at the first gap as wide as an atom
        return {"status": "its atoms or parts lie too far apart for the analysis of bonds"}
    kinds = [int(digit) for digit in re.findall(r"\d", best.dimtype)]
    layered = {2: LAYERED, 1: "chains", 0: "molecular"}
    bonded = [layered[kinds[0]]] if len(kinds) == 1 and kinds[0] in layered else []
    families = bonded + by_elements(frozenset(np.unique(numbers).tolist()))
    return {
        "status": OK,
        "value": float(max(kinds)),
        "score": float(best.score),
        "kind": best.dimtype,
        "families": "; ".join(families),
    }


def make(settings: PropertySettings) -> Families:
    """The property, which has no options."""
    return Families()


def counted(families: Iterable[str | None]) -> dict[str, int]:
    """How many crystals belong to each family, by their column ``families``.

    >>> counted(["layered; chains", "layered", None])["layered"]
    2
    """
    held = [name for text in families for name in (text or "").split("; ")]
    return {name: held.count(name) for name in FAMILIES}

"""What the page of the map draws: places, regions with their names, colours."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from gnomon.elements import MAX_Z, SYMBOLS, element
from gnomon.explore.columns import Column
from gnomon.explore.index import Index
from gnomon.explore.map import FITTED, make_places, regions
from gnomon.explore.query import QueryError, column_of
from gnomon.explore.vectors import make_vectors
from gnomon.run.listener import SILENT, Listener

NO_COLORS = ("id", "content_id", "source_id", "reduced_formula", "chemical_system")
"""Columns of which nearly every crystal has a value of its own."""

MOST_KINDS = 8
"""Texts of a column that get a colour each, the commonest."""

MOST_NAMES = 3
"""Prototypes and elements that name a region."""

COMMON, MORE = 0.4, 0.12
"""Share of a region with an element that names it, and how much more that is than elsewhere."""

COVERED = 0.7
"""Share of a family that may be one element which already names the region."""

FAMILIES = {
    "alkali metals": "is_alkali",
    "alkaline earths": "is_alkaline",
    "transition metals": "is_transition_metal",
    "lanthanoids": "is_lanthanoid",
    "actinoids": "is_actinoid",
    "chalcogens": "is_chalcogen",
    "halogens": "is_halogen",
}
"""Families of elements, and what pymatgen calls their members."""


def make_map(index: Index, listener: Listener = SILENT) -> None:
    """Make embeddings and places that are not kept yet.

    Raises:
        ValueError: without openTSNE.
    """
    try:
        import openTSNE  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(f"{error}: pip install 'gnomon[explore]'") from error
    make_vectors(index.collections, index.crystals, index.texts("source"), listener)
    index.__dict__.pop("vectors", None)  # read anew what was made
    index.__dict__.pop("places", None)
    if index.vectors is not None:
        make_places(index.collections, index.texts("content_id"), index.vectors, listener)


def map_page(index: Index) -> dict[str, Any]:
    """Places of all crystals that have one, and the regions that they form; empty without a map."""
    colors = [one for one in index.columns if one not in NO_COLORS]
    about = {"crystals": len(index), "columns": colors, "fitted": FITTED}
    if index.places is None:
        return {**about, "placed": 0}
    rows = _rows(index)
    ids = index.texts("id")
    return {
        **about,
        "placed": len(rows),
        "embeddings": index.vectors and index.vectors.card,
        "ids": [ids[row] for row in rows.tolist()],
        "x": packed(index.places[rows, 0]),
        "y": packed(index.places[rows, 1]),
        "regions": _regions(index),
    }


def map_colors(index: Index, name: str) -> dict[str, Any]:
    """A column of the crystals on the map, in their order: numbers, or the commonest texts.

    Raises:
        QueryError: if there is no such column, or it colours nothing.
    """
    column = column_of(index, name)
    if name in NO_COLORS or index.places is None:
        raise QueryError(f"{name} colours no map" if index.places is not None else "no map yet")
    values = column.values[_rows(index)]
    about = {"name": name, "kind": column.kind, "unit": column.unit}
    if column.words is None:
        low, high = np.nanquantile(values, [0.02, 0.98]) if np.isfinite(values).any() else (0, 1)
        shown = packed(values.astype(np.float32))
        return {**about, "values": shown, "low": float(low), "high": float(high)}
    codes, counts = np.unique(values[values >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_KINDS]
    place = np.full(len(column.words) + 1, -1, np.int8)
    place[codes[order]] = np.arange(len(order))
    return {
        **about,
        "words": [column.words[i] for i in codes[order].tolist()],
        "counts": counts[order].tolist(),
        "others": int(counts.sum() - counts[order].sum()),
        "codes": packed(place[values]),
    }


def packed(values: np.ndarray) -> str:
    """An array, little-endian, in base64."""
    return b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def _rows(index: Index) -> Int64[np.ndarray, " k"]:
    assert index.places is not None
    return np.flatnonzero(np.isfinite(index.places).all(axis=1))


def _regions(index: Index) -> list[dict[str, Any]]:
    """Regions, the largest first: where, how many, and what is common in them."""
    assert index.places is not None
    of, found = regions(index.places), []
    present = index.present
    everywhere = _shares(present)
    for number in range(int(of.max(initial=-1)) + 1):
        rows = np.flatnonzero(of == number)
        x, y = np.median(index.places[rows], axis=0).tolist()
        shares = _shares(present[:, rows])
        prototypes = _commonest(index.columns["prototype"], rows)
        found.append(
            {
                "x": x,
                "y": y,
                "crystals": len(rows),
                "elements": _marks(shares, everywhere),
                "prototypes": [(name, n, index.type_name(name)) for name, n in prototypes],
            }
        )
    return found


def _shares(present: Bool[np.ndarray, "119 k"]) -> dict[str, float]:
    """Share of crystals that hold each element, and one of each family."""
    each = present.mean(axis=1).tolist()
    found = {SYMBOLS[z]: share for z, share in enumerate(each) if share > 0}
    families = {name: present[_family(how)].any(axis=0).mean() for name, how in FAMILIES.items()}
    return found | {name: float(share) for name, share in families.items()}


@cache
def _family(how: str) -> list[int]:
    return [z for z in range(1, MAX_Z + 1) if getattr(element(z), how)]


def _marks(shares: dict[str, float], everywhere: dict[str, float]) -> list[tuple[str, float]]:
    """Elements and families that are commoner in a region than elsewhere, the most so first."""
    more = {name: share - everywhere[name] for name, share in shares.items()}
    there = [name for name in more if shares[name] >= COMMON and more[name] >= MORE]
    found: list[str] = []
    for name in sorted(there, key=lambda one: (one in FAMILIES, -more[one])):
        members = {SYMBOLS[z] for z in _family(FAMILIES[name])} if name in FAMILIES else set()
        if all(shares[one] < COVERED * shares[name] for one in members & set(found)):
            found.append(name)
    return [(name, shares[name]) for name in found[:MOST_NAMES]]


def _commonest(column: Column, rows: Int64[np.ndarray, " k"]) -> list[tuple[str, int]]:
    values = column.values[rows]
    codes, counts = np.unique(values[values >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_NAMES]
    words = column.words or ()
    return [(words[int(codes[i])], int(counts[i])) for i in order]

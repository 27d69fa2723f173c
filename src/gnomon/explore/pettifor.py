"""Maps of structure types over pairs of elements, in the order of the modified Pettifor scale.

Pettifor, J. Phys. C 19, 285 (1986): along a scale of the elements, compounds of one formula and one
structure type come to lie together.  The scale is that of Glawe et al., New J. Phys. 18, 093011
(2016) (``gnomon.elements.MODIFIED_PETTIFOR``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from gnomon.elements import MODIFIED_PETTIFOR, SYMBOLS
from gnomon.explore.index import Index
from gnomon.explore.query import ANY, Query, QueryError, matching

MOST_TYPES = 8
"""Structure types that get a colour each, the commonest."""

MOST_FORMULAS = 24
"""Formulas to choose from, those of the most pairs of elements."""

SOURCE = "Glawe et al., New J. Phys. 18, 093011 (2016), doi:10.1088/1367-2630/18/9/093011"

PLACE = {symbol: place for place, symbol in enumerate(MODIFIED_PETTIFOR)}


@lru_cache(maxsize=1)
def formulas(index: Index) -> list[tuple[str, int]]:
    """Formulas with two elements left open, and how many crystals have them, the most first.

    ``**2`` is any AB2, ``**O3`` any oxide ABO3: in ternaries the element of the largest amount is
    named where it is the only one.
    """
    found: Counter[str] = Counter()
    for counts in index.crystals.reduced_counts:
        ordered = sorted(counts, key=lambda pair: pair[1])
        if len(ordered) == 3 and ordered[2][1] > ordered[1][1]:
            named = _amount(SYMBOLS[ordered[2][0]], ordered[2][1])
        elif len(ordered) == 2:
            named = ""
        else:
            continue
        found["".join(_amount(ANY, amount) for _, amount in ordered[:2]) + named] += 1
    return sorted(found.most_common(MOST_FORMULAS), key=lambda pair: (len(pair[0]) > 4, -pair[1]))


def pettifor_page(index: Index, formula: str) -> dict[str, Any]:
    """The lowest crystal of each pair of elements, with its structure type.

    Args:
        index: of all crystals.
        formula: with two stars; the commonest by default.

    Raises:
        QueryError: for another formula, or none that is there.
    """
    choices = formulas(index)
    formula = formula or (choices[0][0] if choices else f"{ANY}{ANY}")
    if formula.count(ANY) != 2:
        raise QueryError(f"{formula!r}: leave two elements open, as in **2 or **O3")
    rows = matching(index, Query(formula=[formula], sort="e_above_hull")).tolist()
    named = set(re.findall("[A-Z][a-z]?", formula))
    lowest: dict[tuple[str, str], int] = {}
    crystals: Counter[tuple[str, str]] = Counter()
    for row in rows:
        pair = _pair(index.crystals.reduced_counts[row], named)
        if pair is not None:
            lowest.setdefault(pair, row)
            crystals[pair] += 1
    prototype = index.columns["prototype"]
    kinds = Counter(str(prototype.at(row) or "") for row in lowest.values())
    kinds.pop("", None)
    types = [name for name, _ in kinds.most_common(MOST_TYPES)]
    return {
        "formula": formula,
        "formulas": choices,
        "scale": list(MODIFIED_PETTIFOR),
        "source": SOURCE,
        "types": [[name, kinds[name], index.type_name(name)] for name in types],
        "others": sum(kinds.values()) - sum(kinds[name] for name in types),
        "cells": [
            {
                **index.row(row, ("id", "reduced_formula", "prototype", "e_above_hull", "status")),
                "pair": [PLACE[pair[0]], PLACE[pair[1]]],
                "type": types.index(name) if (name := prototype.at(row)) in types else -1,
                "crystals": crystals[pair],
            }
            for pair, row in lowest.items()
        ],
    }


def _amount(symbol: str, amount: int) -> str:
    return f"{symbol}{amount if amount > 1 else ''}"


def _pair(counts: Sequence[tuple[int, int]], named: set[str]) -> tuple[str, str] | None:
    """The two elements that a formula leaves open: rising amounts, equal ones along the scale."""
    free = [(n, SYMBOLS[z]) for z, n in counts if SYMBOLS[z] not in named]
    if len(free) != 2 or any(symbol not in PLACE for _, symbol in free):
        return None
    (_, a), (_, b) = sorted(free, key=lambda one: (one[0], PLACE[one[1]]))
    return a, b

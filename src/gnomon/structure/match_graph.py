"""Which crystals of one composition are the same: connected components of the graph of matches.

Pairs are judged as pymatgen's ``StructureMatcher`` does (``duplicates.matching``).  Crystals whose
canonical cells agree to 0.001 (``symmetry.canonical_ids``) are the same without a match, as the
matcher's tolerances are a hundred times wider.  Unlike ``duplicates.group_duplicates`` no
fingerprint stands before the matcher: the few crystals of a composition that are worth a reduction
are compared pair by pair.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64, Shaped

from gnomon.crystals import Crystals
from gnomon.run.listener import Listener
from gnomon.structure.components import joined
from gnomon.structure.matching import Matcher
from gnomon.structure.symmetry import canonical_ids


def components(
    crystals: Crystals, matcher: Matcher | None = None, listener: Listener | None = None
) -> Int64[np.ndarray, " n"]:
    """The component of each crystal: the index of the first crystal that is the same as it.

    Crystals of different reduced formulas are never the same.

    Args:
        crystals: in any cells.
        matcher: tolerances.
        listener: hears how many crystals have been compared with those before them.
    """
    first: dict[str, int] = {}
    alike = [first.setdefault(name, i) for i, name in enumerate(canonical_ids(crystals).tolist())]
    distinct = np.array(sorted(first.values()), dtype=np.int64)
    chosen = crystals.take(distinct)
    pairs = _pairs(chosen.reduced_formulas, listener)
    root = joined(len(distinct), pairs, (matcher or Matcher()).on(chosen))
    found = np.zeros(len(crystals), np.int64)
    found[distinct] = distinct[root]
    return found[np.array(alike, dtype=np.int64)]


def _pairs(
    formulas: Shaped[np.ndarray, " n"], listener: Listener | None
) -> Iterator[tuple[int, int]]:
    """Each crystal with those of its formula before it."""
    buckets: dict[str, list[int]] = {}
    for i, formula in enumerate(formulas.tolist()):
        earlier = buckets.setdefault(formula, [])
        for j in earlier:
            yield j, i
        earlier.append(i)
        if listener is not None:
            listener.tick("match", i + 1, len(formulas))

"""Which crystals of one composition are the same: connected components of the graph of matches.

Pairs are judged by pymatgen's ``StructureMatcher`` (Ong et al., Comput. Mater. Sci. 68, 314
(2013)), which compares primitive cells of equal volume.  Three shortcuts, none of which can change
the components:

- crystals whose canonical cells agree to 0.001 (``symmetry.canonical_ids``) are the same without
  a match: the matcher's own tolerances are a hundred times wider;
- crystals with unequal numbers of atoms in the matcher's primitive cells are not compared, as the
  matcher rejects them at once;
- a pair that is connected already, through others, is not compared again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from gnomon.crystals import Crystals
from gnomon.io import to_pymatgen
from gnomon.listener import Listener
from gnomon.symmetry import canonical_ids


@dataclass(frozen=True)
class Matcher:
    """Tolerances of pymatgen's StructureMatcher; the defaults are pymatgen's.

    Attributes:
        length: of lattice vectors, relative.
        site: of positions, as a fraction of (volume / atoms)^(1/3).
        angle: of lattice angles, degrees.
    """

    length: float = 0.2
    site: float = 0.3
    angle: float = 5.0

    def build(self) -> Any:
        """The matcher, for structures that are reduced already."""
        from pymatgen.analysis.structure_matcher import StructureMatcher  # noqa: PLC0415

        return StructureMatcher(ltol=self.length, stol=self.site, angle_tol=self.angle)


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
    parent = np.arange(len(crystals))
    first: dict[str, int] = {}
    for i, name in enumerate(canonical_ids(crystals).tolist()):
        parent[i] = first.setdefault(name, i)
    distinct = np.flatnonzero(parent == np.arange(len(crystals))).tolist()
    structures = dict(zip(distinct, _reduced(crystals.take(distinct)), strict=True))
    formulas = crystals.reduced_formulas
    fit = (matcher or Matcher()).build().fit
    buckets: dict[tuple[str, int], list[int]] = {}
    for done, i in enumerate(distinct, start=1):
        earlier = buckets.setdefault((formulas[i], len(structures[i])), [])
        for j in earlier:
            if _root(parent, i) != _root(parent, j) and fit(
                structures[j], structures[i], skip_structure_reduction=True
            ):
                low, high = sorted((_root(parent, i), _root(parent, j)))
                parent[high] = low
        earlier.append(i)
        if listener is not None:
            listener.tick("match", done, len(distinct))
    return np.array([_root(parent, i) for i in range(len(crystals))], dtype=np.int64)


def _reduced(crystals: Crystals) -> list[Any]:
    """Primitive Niggli cells as the matcher would make them at every comparison."""
    return [
        structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()
        for structure in to_pymatgen(crystals)
    ]


def _root(parent: Int64[np.ndarray, " n"], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = int(parent[i])
    return int(i)

"""What a crystal is: dimensionality, space group and prototype."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.io import to_pymatgen
from gnomon.structure.labels import prototype_labels
from gnomon.structure.symmetry import space_group_symbol, space_groups

SYMPREC = 0.1
"""Default tolerance (Å) of the symmetry of relaxed crystals, whose forces are not quite zero."""

DESCRIPTION = pa.schema(
    [
        ("dimensionality", pa.int64()),
        ("unbonded_fraction", pa.float64()),
        ("space_group", pa.int64()),
        ("space_group_symbol", pa.string()),
        ("prototype", pa.string()),
    ]
)
"""Columns of ``describe``; space group 0, and no symbol nor prototype, where spglib finds none."""


class Dimensionality(NamedTuple):
    """How far the bonded atoms of n crystals extend.

    Attributes:
        directions: (n,), 0 (molecules) to 3 (networks), of the component that extends the furthest.
        unbonded: (n,), share of the atoms that are bonded to no other.
    """

    directions: Int64[np.ndarray, " n"]
    unbonded: Float64[np.ndarray, " n"]


def dimensionalities(crystals: Crystals) -> Dimensionality:
    """In how many directions the bonded atoms of each crystal extend.

    Atoms are bonded as Cheon et al. (Nano Lett. 17, 1915 (2017)) have it, within the sum of Jmol's
    radii and 0.45 Å.  The number of directions is the rank of a component's periodic images
    (Larsen et al., Phys. Rev. Mater. 3, 034003 (2019)), which needs no supercells; both as pymatgen
    has them.  Where atoms are bonded to no other, Cheon speaks of intercalated ions: layers with
    ions between them are 2.  Most ions of salts are bonded to none by these radii, so an ionic
    crystal of molecular anions is 0 and mostly unbonded: nothing is said of how it would cleave.
    """
    from pymatgen.analysis.dimensionality import get_dimensionality_larsen
    from pymatgen.analysis.local_env import JmolNN

    bonds = JmolNN()
    directions, unbonded = [], []
    for structure in to_pymatgen(crystals):
        graph = bonds.get_bonded_structure(structure)
        alone = [graph.get_coordination_of_site(i) == 0 for i in range(len(structure))]
        directions.append(get_dimensionality_larsen(graph))
        unbonded.append(float(np.mean(alone)))
    return Dimensionality(np.array(directions, dtype=np.int64), np.array(unbonded, np.float64))


def describe(crystals: Crystals, symprec: float = SYMPREC) -> pa.Table:
    """Dimensionality, space group and prototype label of each crystal (schema ``DESCRIPTION``)."""
    groups = space_groups(crystals, symprec).tolist()
    labels = prototype_labels(crystals, symprec).tolist()
    found = dimensionalities(crystals)
    columns = {
        "dimensionality": found.directions,
        "unbonded_fraction": found.unbonded,
        "space_group": groups,
        "space_group_symbol": [space_group_symbol(g) if g else None for g in groups],
        "prototype": [label or None for label in labels],
    }
    return pa.table(columns, schema=DESCRIPTION)

"""The polymorphs of a family as a table: one row each, with geometry, energy and description."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.io import to_arrow
from gnomon.io.arrow import CRYSTALS
from gnomon.structure.describe import DESCRIPTION, SYMPREC, describe
from gnomon.structure.polymorphs import Polymorph

POLYMORPHS = pa.schema(
    [
        ("name", pa.string()),  # what the source calls the representative
        ("chemical_system", pa.string()),
        ("energy_above_lowest", pa.float64()),  # eV/atom, of the same composition
        ("n_members", pa.int64()),
        ("members", pa.list_(pa.string())),  # names of all crystals that are this polymorph
        *DESCRIPTION,
        *CRYSTALS,
    ]
)
"""Columns of a table of polymorphs; energies null where no member has one."""


def polymorph_table(
    crystals: Crystals,
    found: Sequence[Polymorph],
    names: Sequence[str],
    symprec: float = SYMPREC,
) -> pa.Table:
    """One row a polymorph (schema ``POLYMORPHS``), in the order given.

    Args:
        crystals: those that were reduced.
        found: their polymorphs.
        names: of the crystals.
        symprec: tolerance of space groups and prototypes, Å.
    """
    chosen = crystals.take([one.representative for one in found])
    geometry, description = to_arrow(chosen), describe(chosen, symprec)
    above = np.array([one.energy_above_lowest for one in found], dtype=np.float64)
    columns = {
        "name": [names[one.representative] for one in found],
        "chemical_system": chosen.chemical_systems.tolist(),
        "energy_above_lowest": pa.array(above, mask=np.isnan(above)),
        "n_members": [len(one.members) for one in found],
        "members": [[names[i] for i in one.members] for one in found],
        **{name: description[name] for name in DESCRIPTION.names},
        **{name: geometry[name] for name in CRYSTALS.names},
    }
    return pa.table(columns, schema=POLYMORPHS)

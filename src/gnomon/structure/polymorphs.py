"""The distinct polymorphs of each composition, from its best crystals, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int64

from gnomon.crystals import Crystals
from gnomon.io import to_arrow
from gnomon.io.arrow import CRYSTALS
from gnomon.run.listener import SILENT, Listener
from gnomon.structure.describe import DESCRIPTION, SYMPREC, describe
from gnomon.structure.duplicates import Sameness, group_duplicates

BEST = 100
"""Crystals of a composition that are compared (Merchant et al., Nature 624, 80 (2023), Methods)."""

ANY_PAIR = Sameness(fingerprint=np.inf)
"""No fingerprint stands before the matcher: the few crystals worth a reduction are all compared."""

POLYMORPHS = pa.schema(
    [
        ("name", pa.string()),  # what the source calls the representative
        ("chemical_system", pa.string()),
        ("energy_above_lowest", pa.float64()),  # eV/atom, of the same composition
        ("n_members", pa.int64()),
        ("members", pa.list_(pa.string())),  # names of all crystals that are this polymorph
        ("also_like", pa.list_(pa.string())),  # of other polymorphs' crystals that a member matches
        *DESCRIPTION,
        *CRYSTALS,
    ]
)
"""Columns of a table of polymorphs; energies null where no member has one."""


@dataclass(frozen=True)
class Polymorph:
    """One polymorph: crystals of a composition that are the same.

    Attributes:
        representative: index of its crystal of lowest energy.
        members: indices of all its crystals that were compared, by rising energy.
        also_like: crystals of other polymorphs that one of the members matches, but not all.
        energy_per_atom: eV/atom of the representative; NaN where no member has an energy.
        energy_above_lowest: eV/atom above the lowest crystal of the composition; NaN likewise.
    """

    representative: int
    members: tuple[int, ...]
    also_like: tuple[int, ...]
    energy_per_atom: float
    energy_above_lowest: float


def polymorphs(
    crystals: Crystals,
    energy_per_atom: Float[np.ndarray, " n"],
    *,
    best: int = BEST,
    window: float = np.inf,
    same: Sameness = ANY_PAIR,
    listener: Listener = SILENT,
) -> list[Polymorph]:
    """The polymorphs of each reduced formula, formulas in order of appearance, lowest first.

    Args:
        crystals: of any compositions.
        energy_per_atom: (n,), eV/atom, of one energy scheme, total or of formation; NaN where it
            is not known, which counts as higher than any.
        best: crystals of a composition that are compared, those of lowest energy.
        window: eV/atom above the lowest crystal of the composition beyond which crystals are not
            compared; those without an energy are.
        same: when two crystals are one polymorph.
        listener: hears of progress.

    Raises:
        ValueError: if the energies are not one a crystal, or ``best`` or ``window`` is negative.
    """
    if len(energy_per_atom) != len(crystals):
        raise ValueError(f"{len(energy_per_atom)} energies for {len(crystals)} crystals")
    if best < 1 or not window >= 0:
        raise ValueError(f"best={best} must be at least 1, and window={window} at least 0 eV/atom")
    rows_of: dict[str, list[int]] = {}
    for i, formula in enumerate(crystals.reduced_formulas.tolist()):
        rows_of.setdefault(formula, []).append(i)
    chosen = [_best(np.array(rows), energy_per_atom, best, window) for rows in rows_of.values()]
    considered = np.concatenate([np.zeros(0, np.int64), *chosen])
    above = [energy_per_atom[rows] - energy_per_atom[rows[0]] for rows in chosen]
    above_lowest = dict(
        zip(considered.tolist(), np.concatenate([[], *above]).tolist(), strict=True)
    )
    groups = group_duplicates(crystals.take(considered), same, listener=listener)
    members: list[list[int]] = [[] for _ in set(groups.of.tolist())]
    like: list[set[int]] = [set() for _ in members]
    for i, group in zip(considered.tolist(), groups.of.tolist(), strict=True):
        members[group].append(i)
    for i, j in groups.chained:
        like[groups.of[i]].add(int(considered[j]))
        like[groups.of[j]].add(int(considered[i]))
    return [
        Polymorph(
            representative=rows[0],
            members=tuple(rows),
            also_like=tuple(sorted(others)),
            energy_per_atom=float(energy_per_atom[rows[0]]),
            energy_above_lowest=above_lowest[rows[0]],
        )
        for rows, others in zip(members, like, strict=True)
    ]


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
        "also_like": [[names[i] for i in one.also_like] for one in found],
        **{name: description[name] for name in DESCRIPTION.names},
        **{name: geometry[name] for name in CRYSTALS.names},
    }
    return pa.table(columns, schema=POLYMORPHS)


def _best(
    rows: Int64[np.ndarray, " k"],
    energy_per_atom: Float[np.ndarray, " n"],
    best: int,
    window: float,
) -> Int64[np.ndarray, " b"]:
    """The crystals of a composition that are compared, by rising energy, NaN last."""
    rising = rows[np.argsort(energy_per_atom[rows], kind="stable")]
    above = energy_per_atom[rising] - energy_per_atom[rising[0]]
    return rising[~(above > window)][:best]

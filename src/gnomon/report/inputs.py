"""What a report is made of: the tables of a campaign, checked once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gnomon.crystals import Crystals

STRUCTURE = ("lattice", "atomic_numbers", "frac_coords")
_CRYSTAL = ("id", "reduced_formula", "chemical_system", "n_atoms", *STRUCTURE)

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "candidates": (*_CRYSTAL, "round"),
    "lineage": ("id", "parent_id", "generator", "change", "score", "round"),
    "screening": (
        "id",
        "round",
        "kept",
        "reason",
        "predicted_formation_energy_per_atom",
        "uncertainty",
        "predicted_e_above_hull",
        "selection",
    ),
    "evaluations": (
        "id",
        "round",
        "relaxed_id",
        "status",
        "message",
        "energy_per_atom",
        "scheme",
        "steps",
        "fmax",
        "seconds",
    ),
    "relaxed": _CRYSTAL,
    "hull": (
        "id",
        "relaxed_id",
        "reduced_formula",
        "chemical_system",
        "formation_energy_per_atom",
        "e_above_hull",
        "stable",
        "space_group",
        "decomposition",
        "round",
        "is_reference",
    ),
    "rounds": ("round", "model", "n_labels", "message"),
}
"""Columns that each table of a campaign must have; others may be there too."""


@dataclass(frozen=True)
class CampaignTables:
    """The facts of a campaign, as its store holds them: energies in eV/atom, lengths in Å.

    Attributes:
        candidates: proposed crystals.
        lineage: the parent and the change that each candidate comes from.
        screening: the verdict on each candidate, with the reason, and how it was selected:
            ``ranked``, ``random`` (the baseline) or null (not selected).
        evaluations: one row for each evaluation, whatever its status.
        relaxed: relaxed crystals, keyed by relaxed_id.
        hull: evaluated and known phases with their place on the hull; ``decomposition`` is JSON
            text {reduced formula: fraction of the atoms}.
        rounds: the model that ranked each round.
        provenance: versions, commit, seed, configuration, scheme, system and the like.
        title: headline of the page.

    Raises:
        ValueError: if a table lacks a column.
    """

    candidates: pa.Table
    lineage: pa.Table
    screening: pa.Table
    evaluations: pa.Table
    relaxed: pa.Table
    hull: pa.Table
    rounds: pa.Table
    provenance: Mapping[str, Any]
    title: str

    def __post_init__(self) -> None:
        for field in fields(self):
            wanted = COLUMNS.get(field.name, ())
            table = getattr(self, field.name)
            missing = [name for name in wanted if name not in table.column_names]
            if missing:
                raise ValueError(
                    f"the table {field.name} lacks {', '.join(missing)}: it needs the columns "
                    f"{', '.join(wanted)}"
                )


def rows_with(table: pa.Table, column: str, values: Collection[str]) -> list[dict[str, Any]]:
    """Rows (as dicts, columns of ``table``) whose column holds one of these values."""
    wanted = pa.array(sorted(values), pa.string())
    return table.filter(pc.is_in(table[column], value_set=wanted)).to_pylist()


def crystal_of(row: Mapping[str, Any]) -> Crystals:
    """The crystal of a row that has the structure columns."""
    return Crystals.single(
        np.asarray(row["lattice"], dtype=np.float64).reshape(3, 3),
        np.asarray(row["atomic_numbers"]),
        np.asarray(row["frac_coords"], dtype=np.float64).reshape(-1, 3),
    )

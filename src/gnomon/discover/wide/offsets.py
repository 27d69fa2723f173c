"""What an evaluator finds other than a database says: measured on the phases that both hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.discover.closure import REACH, smoothed
from gnomon.discover.level import Level
from gnomon.discover.wide.database import Database
from gnomon.hull.phases import atom_fractions


@dataclass(frozen=True, eq=False)
class Offset:
    """Formation energies of a level less those of the database, of m phases.

    Attributes:
        rows: of the phases in the database.
        places: where they lie (``places``).
        differences: eV/atom.
        is_compound: which have more than one element.
    """

    rows: Int64[np.ndarray, " m"]
    places: Float64[np.ndarray, "m k"]
    differences: Float64[np.ndarray, " m"]
    is_compound: np.ndarray

    def expected(self, at: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, " n"]:
        """At other places, eV/atom (``smoothed``)."""
        return smoothed(at, self.places, self.differences)


def offset_of(
    level: Level, database: Database, within: Int64[np.ndarray, " r"] | None = None
) -> Offset:
    """The offset of a level from the database.

    Args:
        level: with formation energies of its own.
        database: of known phases.
        within: rows of the database that count; all by default.
    """
    rows = np.arange(len(database)) if within is None else within
    row_of = level.placed.row_of
    at = np.array([row_of.get(str(key), -1) for key in database.crystals.ids[rows]], np.int64)
    rows, at = rows[at >= 0], at[at >= 0]
    energies = level.placed.formation_energy_per_atom[at]
    return Offset(
        rows,
        places(database.crystals.composition[rows].astype(np.float64), database.e_above_hull[rows]),
        energies - database.formation_energy_per_atom[rows],
        (database.crystals.composition[rows] > 0).sum(axis=1) > 1,
    )


def places(
    composition: Float64[np.ndarray, "n 119"], e_above_hull: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, "n k"]:
    """Atom fractions and distances to the database's hull (eV/atom), in units of ``REACH``."""
    return np.column_stack([atom_fractions(composition) / REACH[0], e_above_hull / REACH[1]])

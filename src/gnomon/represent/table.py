"""Representations as tables keyed by id, as all facts about crystals are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.io.tables import ID, column
from gnomon.represent import Given, Representation
from gnomon.represent.similarity import nearest

FORMULA = column("reduced_formula", pa.string(), "as pymatgen writes it", nullable=False)


def as_table(
    given: Given, made: Representation, rows: Float64[np.ndarray, "n d"], novelty: pa.Table | None
) -> pa.Table:
    """One row a crystal or formula, with every number of the representation.

    Args:
        given: what is represented; formulas have no ``id``.
        made: what by.
        rows: its numbers.
        novelty: columns of ``novelty_of``, if it was asked for.
    """
    ids = pa.table([given.ids.tolist()], pa.schema([ID])) if isinstance(given, Crystals) else None
    about = [column(name, pa.float64(), made.card.about, unit="1") for name in made.columns]
    parts = [
        *([] if ids is None else [ids]),
        pa.table([given.reduced_formulas.tolist()], pa.schema([FORMULA])),
        *([] if novelty is None else [novelty]),
        pa.table([pa.array(values, from_pandas=True) for values in rows.T], pa.schema(about)),
    ]
    fields = [one for part in parts for one in part.schema]
    return pa.table([one for part in parts for one in part.columns], pa.schema(fields))


def novelty_of(
    rows: Float64[np.ndarray, "n d"], made: Representation, known: Given, metric: str
) -> pa.Table:
    """How far each row is from the nearest known crystal or formula, and which that is.

    Raises:
        ValueError: as ``gnomon.represent.similarity.nearest``.
    """
    found = nearest(rows, made.represent(known), metric)
    names = known.ids if isinstance(known, Crystals) else known.reduced_formulas
    formulas = known.reduced_formulas
    fields = [
        column("novelty", pa.float64(), f"{metric} distance to the nearest known", unit="1"),
        column("nearest_formula", pa.string(), "reduced formula of the nearest known"),
        column("nearest", pa.string(), "its id, or its formula where there is no crystal"),
    ]
    there = found.rows.tolist()
    columns = [
        pa.array(found.distances, from_pandas=True),
        [formulas[i] if i >= 0 else None for i in there],
        [names[i] if i >= 0 else None for i in there],
    ]
    return pa.table(columns, pa.schema(fields))

"""Tables of formulas: Parquet or CSV, with formation energies where they are to be learned."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pyarrow import csv

from gnomon.io.tables import read_table

FORMULA_COLUMNS = ("reduced_formula", "formula")
"""Names of the column of formulas, the first that is there."""

ENERGY_COLUMN = "formation_energy_per_atom"
"""eV/atom."""


def formulas_of_table(path: Path) -> list[str]:
    """The formulas of a table, row by row; an empty field is an empty text.

    Raises:
        ValueError: if the file is no such table.
    """
    return _formulas(path, _read(path))


def energies_of_table(path: Path) -> tuple[list[str], Float64[np.ndarray, " n"]]:
    """Formulas and formation energies per atom (eV/atom, NaN for none) of a table, row by row.

    Raises:
        ValueError: if the file is no such table.
    """
    table = _read(path)
    formulas = _formulas(path, table)
    if ENERGY_COLUMN not in table.column_names:
        raise ValueError(
            f"{path} has no column {ENERGY_COLUMN} (eV/atom) but {', '.join(table.column_names)}"
        )
    try:
        energies = table[ENERGY_COLUMN].cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: {ENERGY_COLUMN} must hold numbers (eV/atom): {error}") from error
    return formulas, energies.to_numpy(zero_copy_only=False)


def _formulas(path: Path, table: pa.Table) -> list[str]:
    name = next((n for n in FORMULA_COLUMNS if n in table.column_names), None)
    if name is None:
        raise ValueError(
            f"{path} has no column {' or '.join(FORMULA_COLUMNS)} but "
            f"{', '.join(table.column_names)}"
        )
    return [text or "" for text in table[name].to_pylist()]


def _read(path: Path) -> pa.Table:
    """The table; formulas are text, even where they read NaN (a sodium nitride) or 1e5.

    Units in brackets behind the names of columns, as `gnomon explore` writes them, are left out.
    """
    if path.suffix != ".csv":
        return read_table(path)
    text = dict.fromkeys(FORMULA_COLUMNS, pa.string())
    try:
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=text))
        return table.rename_columns([name.partition(" (")[0] for name in table.column_names])
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as CSV ({error})") from error

"""Tables of formulas: Parquet or CSV, with formation energies where they are to be learned."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

FORMULA_COLUMNS = ("reduced_formula", "formula")
"""Names of the column of formulas, the first that is there."""

ENERGY_COLUMN = "formation_energy_per_atom"
"""eV/atom."""


def formulas_of_table(path: Path) -> list[str]:
    """The formulas of a table, row by row; an empty field is an empty text.

    Raises:
        ValueError: if the file is no such table.
    """
    table = _read(path)
    return [text or "" for text in table[_formula_column(path, table)].to_pylist()]


def energies_of_table(path: Path) -> tuple[list[str], Float64[np.ndarray, " n"]]:
    """Formulas and formation energies per atom (eV/atom, NaN for none) of a table, row by row.

    Raises:
        ValueError: if the file is no such table.
    """
    import pyarrow as pa

    table = _read(path)
    formulas = [text or "" for text in table[_formula_column(path, table)].to_pylist()]
    if ENERGY_COLUMN not in table.column_names:
        raise ValueError(
            f"{path} has no column {ENERGY_COLUMN} (eV/atom) but {', '.join(table.column_names)}"
        )
    try:
        energies = table[ENERGY_COLUMN].cast(pa.float64())
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: {ENERGY_COLUMN} must hold numbers (eV/atom): {error}") from error
    return formulas, energies.to_numpy(zero_copy_only=False)


def _formula_column(path: Path, table: Any) -> str:
    for name in FORMULA_COLUMNS:
        if name in table.column_names:
            return name
    raise ValueError(
        f"{path} has no column {' or '.join(FORMULA_COLUMNS)} but {', '.join(table.column_names)}"
    )


def _read(path: Path) -> Any:
    """The table; formulas are text, even where they read NaN (a sodium nitride) or 1e5."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file: give a Parquet or CSV table of formulas")
    try:
        if path.suffix != ".csv":
            return parquet.read_table(path)
        text = dict.fromkeys(FORMULA_COLUMNS, pa.string())
        return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=text))
    except (pa.ArrowException, OSError) as error:
        kind = "CSV" if path.suffix == ".csv" else "Parquet"
        raise ValueError(f"{path} cannot be read as {kind} ({error})") from error

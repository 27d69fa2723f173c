"""Write crystals: the format by suffix, nothing overwritten unasked, no half-written files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.io.arrow import to_arrow
from gnomon.io.objects import as_crystals, to_ase, to_pymatgen
from gnomon.io.reasons import ENERGIES, InputError
from gnomon.run.files import renamed

SIGNIFICANT_FIGURES = 12
"""Digits of CIF and POSCAR numbers; Parquet and JSON are exact, extended XYZ has 8 decimals."""

_FACTS = ("source_id", *ENERGIES, "year")


def write(
    path: str | Path,
    crystals: Any,
    *,
    rows: pa.Table | None = None,
    overwrite: bool = False,
) -> None:
    """Write crystals to a file; the format is told by the suffix.

    ``.parquet`` (exact; the columns of ``rows`` beside those of ``to_arrow``), ``.extxyz``,
    ``.json`` (pymatgen ``Structure`` dictionaries, exact), ``.cif`` and ``.vasp`` or ``POSCAR``.
    CIF and POSCAR hold one crystal: for several, the path becomes a folder of files named by
    reduced formula and id, without ``rows``.  ``read(path)`` reads each of them back.
    Left-handed cells are written to CIF and POSCAR with all vectors reversed (the same crystal):
    CIF has no handedness, and VASP refuses them.

    >>> from ase.build import bulk
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write(f"{folder}/copper.cif", bulk("Cu"))
    ...     print(*(path.name for path in Path(folder).iterdir()))
    copper.cif

    Args:
        path: where to write.
        crystals: ``Crystals``, a pymatgen ``Structure``, an ASE ``Atoms``, or a list of them.
        rows: facts, row by row (as ``read`` returns them).
        overwrite: replace a file that exists; in a folder, the files of the same name.

    Raises:
        FileExistsError: if the path exists and ``overwrite`` is not set.
        InputError: for an unknown suffix, or rows that do not belong to these crystals.
    """
    target = Path(path)
    format = ".vasp" if target.name.startswith(("POSCAR", "CONTCAR")) else target.suffix.lower()
    if format not in (*_TABLES, *_SINGLES):
        raise InputError(
            f"{target}: crystals are not written as {format or 'a file without suffix'!r}; name "
            f"the file {', '.join(f'*{s}' for s in (*_TABLES, *_SINGLES))} or POSCAR"
        )
    crystals = as_crystals(crystals)
    if rows is not None:
        _check_rows(crystals, rows)
    if target.exists() and not overwrite:
        raise FileExistsError(
            f"{target} exists: choose another name, or pass overwrite=True to replace it"
        )
    if format in _TABLES:
        with renamed(target) as temporary:
            _TABLES[format](temporary, crystals, rows)
    elif len(crystals) == 1 and not target.is_dir():
        with renamed(target) as temporary:
            _SINGLES[format](temporary, crystals)
    else:
        _write_folder(target, format, crystals)


def _write_folder(folder: Path, format: str, crystals: Crystals) -> None:
    names = [
        f"{f}_{i}{format}" for f, i in zip(crystals.reduced_formulas, crystals.ids, strict=True)
    ]
    if folder.is_dir():
        for name, one in zip(names, crystals, strict=True):
            with renamed(folder / name) as temporary:
                _SINGLES[format](temporary, one)
        return
    with renamed(folder) as temporary:
        temporary.mkdir()
        for name, one in zip(names, crystals, strict=True):
            _SINGLES[format](temporary / name, one)


def _write_parquet(path: Path, crystals: Crystals, rows: pa.Table | None) -> None:
    table = to_arrow(crystals)
    if rows is not None:
        for name in (n for n in rows.column_names if n not in table.column_names):
            table = table.append_column(rows.schema.field(name), rows[name])
    pq.write_table(table, path, compression="zstd")


def _write_extxyz(path: Path, crystals: Crystals, rows: pa.Table | None) -> None:
    from ase.io.extxyz import write_xyz

    with path.open("w", encoding="utf-8") as file:
        for facts, id, atoms in zip(
            _facts(crystals, rows), crystals.ids, to_ase(crystals), strict=True
        ):
            atoms.info |= {"id": id, **facts}
            write_xyz(file, [atoms], write_results=False)


def _write_json(path: Path, crystals: Crystals, rows: pa.Table | None) -> None:
    documents = []
    for facts, id, structure in zip(
        _facts(crystals, rows), crystals.ids, to_pymatgen(crystals), strict=True
    ):
        structure.properties |= {"id": id, **facts}
        documents.append(structure.as_dict())
    path.write_text(json.dumps(documents[0] if len(documents) == 1 else documents), "utf-8")


def _write_cif(path: Path, crystal: Crystals) -> None:
    from pymatgen.io.cif import CifWriter

    (structure,) = to_pymatgen(_right_handed(crystal))
    writer = CifWriter(structure, significant_figures=SIGNIFICANT_FIGURES)
    path.write_text(str(writer), "utf-8")


def _write_poscar(path: Path, crystal: Crystals) -> None:
    from pymatgen.io.vasp import Poscar

    (structure,) = to_pymatgen(_right_handed(crystal))
    text = Poscar(structure).get_str(significant_figures=SIGNIFICANT_FIGURES)
    path.write_text(text, "utf-8")


def _right_handed(crystal: Crystals) -> Crystals:
    """The same atoms in the same places, in a right-handed cell: (-a, -b, -c) and -x."""
    if np.linalg.det(crystal.lattice[0]) > 0:
        return crystal
    return Crystals(
        -crystal.lattice, crystal.atomic_numbers, -crystal.frac_coords, crystal.offsets
    ).wrap()


def _facts(crystals: Crystals, rows: pa.Table | None) -> list[dict[str, Any]]:
    """What the rows say of each crystal, absent facts left out."""
    if rows is None:
        return [{} for _ in range(len(crystals))]
    known = rows.select([name for name in _FACTS if name in rows.column_names]).to_pylist()
    return [{k: v for k, v in row.items() if v is not None} for row in known]


def _check_rows(crystals: Crystals, rows: pa.Table) -> None:
    if len(rows) != len(crystals):
        raise InputError(f"{len(rows)} rows for {len(crystals)} crystals: they must be aligned")
    if "id" in rows.column_names and rows["id"].to_pylist() != crystals.ids.tolist():
        raise InputError(
            "the ids of the rows are not those of the crystals, row by row: align them"
        )


_TABLES: dict[str, Callable[[Path, Crystals, pa.Table | None], None]] = {
    ".parquet": _write_parquet,
    ".extxyz": _write_extxyz,
    ".json": _write_json,
}
_SINGLES: dict[str, Callable[[Path, Crystals], None]] = {
    ".cif": _write_cif,
    ".vasp": _write_poscar,
}

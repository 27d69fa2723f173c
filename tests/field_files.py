"""Small files as people of this field have them, and what reading them gave."""

import copy
import json
from pathlib import Path

from gnomon.io import ReadResult, read


def written(folder: Path, name: str, text: str) -> ReadResult:
    (folder / name).write_text(text)
    return read(folder / name)


def accepted(result: ReadResult) -> tuple[str, int, str | None]:
    """Formula, atoms and warnings of the one crystal."""
    assert result.rejects.to_pylist() == []
    [warning] = result.rows["warnings"].to_pylist()
    return str(result.crystals.reduced_formulas[0]), int(result.crystals.n_atoms[0]), warning


def rejected(result: ReadResult) -> tuple[str, str]:
    """Reason and detail of the one reject."""
    assert len(result.crystals) == 0
    [row] = result.rejects.to_pylist()
    return row["reason"], row["detail"]


def cell(a: float, b: float, c: float, alpha: float, beta: float, gamma: float) -> str:
    values = {"length_a": a, "length_b": b, "length_c": c}
    values |= {"angle_alpha": alpha, "angle_beta": beta, "angle_gamma": gamma}
    return "".join(f"_cell_{key} {value}\n" for key, value in values.items())


SITES = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"

ATTRIBUTES = {
    "dimension_types": [1, 1, 1],
    "lattice_vectors": [[5.64, 0, 0], [0, 5.64, 0], [0, 0, 5.64]],
    "cartesian_site_positions": [[0, 0, 0], [2.82, 0, 0]],
    "species_at_sites": ["Na", "Cl"],
    "species": [
        {"name": name, "chemical_symbols": [name], "concentration": [1.0]} for name in ("Na", "Cl")
    ],
    "structure_features": [],
    "nsites": 2,
    "site_coordinate_span": "asymmetric_unit",
    "chemical_formula_reduced": "ClNa",
    "chemical_formula_descriptive": "Na4Cl4",
    "space_group_it_number": 225,
    "space_group_symbol_hall": "-F 4 2 3",
}


def optimade(folder: Path, **changed: object) -> ReadResult:
    attributes = copy.deepcopy(ATTRIBUTES) | changed
    attributes = {key: value for key, value in attributes.items() if value is not ...}
    document = {"data": [{"type": "structures", "id": "a6", "attributes": attributes}]}
    return written(folder, "x.json", json.dumps(document))

"""Band gaps by VASP: inputs with the Materials Project's settings out, outputs back in.

After the two relaxations and the static run of a verification (``gnomon.verify.vasp_inputs``) come
two that read its charge density (ICHARG 11), both MPNonSCFSet of pymatgen: a uniform mesh for the
density of states, and the lines of the path of Setyawan and Curtarolo for the bands.
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.io import as_crystals, to_pymatgen
from gnomon.properties import answered
from gnomon.properties.electronic.bands import SCHEMA, Bands
from gnomon.run.writing import write_json
from gnomon.verify.vasp_inputs import MANIFEST, Job, Protocol, folder_name, jobs, write_jobs

UNIFORM, LINE = "4-uniform", "5-line"


def band_jobs() -> tuple[Job, ...]:
    """All runs of a crystal in their order; the last two need the CHGCAR of the third."""
    from pymatgen.io.vasp.sets import MPNonSCFSet

    return (
        *jobs(Protocol.PBE),
        Job(UNIFORM, partial(MPNonSCFSet, mode="uniform")),
        Job(LINE, partial(MPNonSCFSet, mode="line")),
    )


def export_bands(crystals: Crystals, folder: Path) -> dict[str, Any]:
    """Write the inputs of every crystal, in its standard primitive cell, which the path is of.

    Returns:
        What ``verify.json`` in the folder says.

    Raises:
        ValueError: if the folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there and not empty: choose another folder for --export")
    rows, spec = [], True
    for crystal in crystals:
        name = folder_name(crystal)
        said, spec = write_jobs(_standard(crystal), folder / name, band_jobs(), Protocol.PBE)
        rows.append({"id": str(crystal.ids[0]), "folder": name, "warnings": said})
    manifest = {
        "scheme": str(Protocol.PBE.scheme),
        "jobs": [job.name for job in band_jobs()],
        "copy": f"CONTCAR from job to job, CHGCAR of 3-static to {UNIFORM} and {LINE}",
        "potentials": "POTCAR.spec" if spec else "POTCAR",
        "crystals": rows,
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def import_bands(crystals: Crystals, folder: Path) -> pa.Table:
    """The table ``dft_band_gap`` of crystals whose runs lie in an exported folder."""
    rows = [_row(crystal, folder / folder_name(crystal)) for crystal in crystals]
    return answered(SCHEMA, crystals.ids, f"VASP, {Protocol.PBE.scheme}", rows)


def _row(crystal: Crystals, folder: Path) -> dict[str, Any]:
    for job in (UNIFORM, LINE):
        if not (folder / job / "vasprun.xml").is_file():
            return {"status": f"no output of {job} yet: {folder.name}/{job}/vasprun.xml"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bands, structure = read_bands(folder / UNIFORM, folder / LINE)
            if (other := _other(crystal, structure)) or (other := _of_one_cell(bands)):
                return {"status": other}
            return bands.row()
    except Exception as error:  # parsers of foreign files raise anything; the row says what
        return {"status": f"its output cannot be read ({type(error).__name__}: {error})"}


def read_bands(uniform: Path, line: Path) -> tuple[Bands, Any]:
    """What two runs left, and the structure (pymatgen's) that they are of.

    Args:
        uniform, line: their folders, with vasprun.xml, the latter with KPOINTS too.
    """
    from pymatgen.io.vasp.outputs import BSVasprun, Vasprun

    mesh = Vasprun(str(uniform / "vasprun.xml"), parse_dos=False, parse_potcar_file=False)
    path = BSVasprun(str(line / "vasprun.xml"), parse_potcar_file=False)
    found = path.get_band_structure(
        str(line / "KPOINTS"), efermi=_fermi(mesh), line_mode=True, force_hybrid_mode=False
    )
    weights = np.asarray(mesh.actual_kpoints_weights, np.float64)
    spins = sorted(found.bands, reverse=True)  # up before down
    distances = np.asarray(found.distance, np.float64)
    named = [(point.label, float(at)) for point, at in zip(found.kpoints, distances, strict=True)]
    bands = Bands(
        path=distances,
        labels=tuple((name, at) for name, at in named if name),
        along=np.array([np.asarray(found.bands[s], np.float64).T for s in spins]),
        mesh=np.array([np.asarray(mesh.eigenvalues[s], np.float64)[..., 0] for s in spins]),
        weights=weights / weights.sum(),
        fermi=float(found.efermi),
        atoms=len(mesh.final_structure),
    )
    return bands, mesh.final_structure


def _fermi(run: Any) -> float:
    """Between what is filled on the mesh and what is not, as VASP may put it at the edge of a gap;
    its file has it in the density of states, which need not be read for that."""
    levels, filled = np.concatenate(
        [np.asarray(values, np.float64).reshape(-1, 2) for values in run.eigenvalues.values()]
    ).T
    return float(levels[filled > 0.5].max() + levels[filled <= 0.5].min()) / 2


def _standard(crystal: Crystals) -> Crystals:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    (structure,) = to_pymatgen(crystal)
    return as_crystals(SpacegroupAnalyzer(structure).get_primitive_standard_structure())


def _other(crystal: Crystals, structure: Any) -> str:
    """Whether the run is of something else than was exported here."""
    found = str(as_crystals(structure).reduced_formulas[0])
    wanted = str(crystal.reduced_formulas[0])
    return "" if found == wanted else f"the run holds {found} where {wanted} was exported"


def _of_one_cell(bands: Bands) -> str:
    """Whether both runs have the same number of spins."""
    same = len(bands.along) == len(bands.mesh)
    return "" if same else "one run has a magnetic moment, the other none: run both the same way"

"""What one run of VASP left behind, read from vasprun.xml, or from OUTCAR where that is missing."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LAST_WORDS = "General timing and accounting"
"""With which a run that ended by itself closes its OUTCAR."""

NO_STEP = "the run ended before its first, or the file is damaged; run this job again"

CALCULATION = "<calculation>"
"""With which vasprun.xml begins each ionic step."""

REACHED = "reached required accuracy - stopping structural energy minimisation"

OUTCAR_SETTINGS = {
    "ENCUT": r"^\s*ENCUT\s*=\s*([\d.]+) eV",
    "NELM": r"^\s*NELM\s*=\s*(\d+)",
    "NSW": r"^\s*NSW\s*=\s*(\d+)",
    "ISPIN": r"^\s*ISPIN\s*=\s*(\d+)",
    "GGA": r"^\s*GGA\s*=\s*(\S+)\s+GGA type",
    "METAGGA": r"^\s*METAGGA\s*=\s*(\S+)\s",
    "LDAUU": r"^\s*U \(eV\)\s+for each species LDAUU =\s*([-\d. ]+)$",
}

OUTCAR_NUMBERS = ("ENCUT", "NELM", "NSW", "ISPIN")

NO_FUNCTIONAL = {"", "--", "F", "NONE"}
"""What VASP writes for a METAGGA that is not used."""


class OutputError(ValueError):
    """An output that cannot be read, or that a run left behind before its end."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run of VASP.

    Attributes:
        source: the file that it was read from.
        initial, final: pymatgen structures.
        energy: sigma -> 0, eV; of the whole cell.
        steps: ionic steps.
        fmax: the largest force on an atom in the end, eV/Å; NaN where the file lacks it.
        electronic, ionic: whether each loop converged.
        settings: INCAR tags as VASP took them, METAGGA and LDAUU only where they are in use.
        magmom: as it was started with, empty where the file lacks it.
        potcar: titles, such as ``PAW_PBE Li_sv 10Sep2004``.
        divisions: of the k-point mesh; None where the file does not say.
        total_moment: in the end, μB; None where only OUTCAR has it and is not there.
    """

    source: Path
    initial: Any
    final: Any
    energy: float
    steps: int
    fmax: float
    electronic: bool
    ionic: bool
    settings: dict[str, Any]
    magmom: tuple[float, ...]
    potcar: tuple[str, ...]
    divisions: tuple[int, int, int] | None
    total_moment: float | None


def find_output(folder: Path) -> Path | None:
    """The output of the run in a folder: vasprun.xml before OUTCAR, packed or not; None: none."""
    names = ("vasprun.xml", "vasprun.xml.gz", "OUTCAR", "OUTCAR.gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_run(folder: Path) -> Run | None:
    """The run in a folder, None where it has no output yet.

    Raises:
        OutputError: with a sentence, for what is damaged, cut off or of no use.
    """
    path = find_output(folder)
    if path is None:
        return None
    if not path.stat().st_size:
        raise OutputError(f"{path.name} is empty: the run was stopped, or the disk was full")
    read = _from_outcar if path.name.startswith("OUTCAR") else _from_vasprun
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is unconverged or odd is told by the row
            run = read(path)
    except OutputError:
        raise
    except Exception as error:  # parsers of foreign files raise anything; the row says what
        raise OutputError(
            f"{path.name} cannot be read ({type(error).__name__}: {error}): it is cut off or "
            "damaged; run this job again"
        ) from error
    if not np.isfinite(run.energy):
        raise OutputError(f"{path.name} holds no ionic step: {NO_STEP}")
    return run


def _from_vasprun(path: Path) -> Run:
    from pymatgen.io.vasp.outputs import Vasprun

    if CALCULATION not in _text(path):
        raise OutputError(f"{path.name} holds no ionic step: {NO_STEP}")
    found = Vasprun(str(path), parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    forces = np.asarray(found.ionic_steps[-1].get("forces", np.nan), np.float64)
    divisions = found.kpoints.kpts[0] if found.kpoints.kpts else ()
    outcar = next(iter(sorted(path.parent.glob("OUTCAR*"))), None)
    settings = {**found.parameters, **found.incar}
    return Run(
        source=path,
        initial=found.initial_structure,
        final=found.final_structure,
        energy=float(found.final_energy),
        steps=len(found.ionic_steps),
        fmax=float(np.linalg.norm(np.atleast_2d(forces), axis=1).max()),
        electronic=bool(found.converged_electronic),
        ionic=bool(found.converged_ionic),
        settings=_in_use(settings, found.incar.get("LDAUU") if found.is_hubbard else None),
        magmom=tuple(float(m) for m in found.incar.get("MAGMOM") or ()),
        potcar=tuple(found.potcar_symbols),
        divisions=_mesh(divisions),
        total_moment=None if outcar is None else _moment(_text(outcar)),
    )


def _from_outcar(path: Path) -> Run:
    from pymatgen.core import Structure
    from pymatgen.io.vasp.outputs import Outcar

    text = _text(path)
    if LAST_WORDS not in text:
        raise OutputError(f"{path.name} ends before the run did: it was stopped; run it again")
    found, settings = Outcar(str(path)), _outcar_settings(text)
    last = text.rpartition("Iteration")[2]
    iteration = re.match(r"\s*(\d+)\(\s*(\d+)\)", last)
    if iteration is None:
        raise OutputError(f"{path.name} holds no ionic step: {NO_STEP}")
    steps, electronic_steps = int(iteration[1]), int(iteration[2])
    structures = [Structure.from_file(str(path.parent / name)) for name in ("POSCAR", "CONTCAR")]
    shares = [float(u) for u in str(settings.pop("LDAUU", "")).split()]
    return Run(
        source=path,
        initial=structures[0],
        final=structures[1],
        energy=float(found.final_energy),
        steps=steps,
        fmax=float("nan"),
        electronic=electronic_steps < int(settings.get("NELM", 60)),
        ionic=int(settings.get("NSW", 0)) <= 1 or REACHED in text,
        settings=_in_use(settings, shares),
        magmom=(),
        potcar=tuple(re.findall(r"^\s*TITEL\s*=\s*(.+?)\s*$", text, re.MULTILINE)),
        divisions=None,
        total_moment=_moment(text),
    )


def _text(path: Path) -> str:
    from monty.io import zopen

    with zopen(path, "rt", encoding="utf-8", errors="replace") as file:
        return str(file.read())


def _moment(text: str) -> float | None:
    """The last total moment in an OUTCAR, μB."""
    found = re.findall(r"number of electron\s+\S+\s+magnetization\s+([-\d.]+)", text)
    return float(found[-1]) if found else None


def _outcar_settings(text: str) -> dict[str, Any]:
    matches = {tag: re.search(p, text, re.MULTILINE) for tag, p in OUTCAR_SETTINGS.items()}
    found = {tag: match[1] for tag, match in matches.items() if match}
    return found | {tag: float(found[tag]) for tag in OUTCAR_NUMBERS if tag in found}


def _in_use(settings: dict[str, Any], hubbard: list[float] | None) -> dict[str, Any]:
    """Settings, without the functionals and the +U that VASP names but does not use."""
    used = {k: v for k, v in settings.items() if not k.startswith("LDAU")}
    if str(used.get("METAGGA", "--")).strip().upper() in NO_FUNCTIONAL:
        used.pop("METAGGA", None)
    if hubbard and any(hubbard):
        used["LDAUU"] = [float(u) for u in hubbard]
    return used


def _mesh(divisions: Any) -> tuple[int, int, int] | None:
    mesh = tuple(int(n) for n in divisions) if len(divisions) == 3 else ()
    whole = len(mesh) == 3 and all(n >= 1 for n in mesh)
    return (mesh[0], mesh[1], mesh[2]) if whole else None

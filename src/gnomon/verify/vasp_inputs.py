"""Inputs for VASP with the settings of the Materials Project, all of them pymatgen's own sets.

Two protocols of three jobs.  ``pbe``: MPRelaxSet twice, then MPStaticSet, PBE with +U for Co, Cr,
Fe, Mn, Mo, Ni, V and W in oxides and fluorides at 520 eV (Jain et al., Comput. Mater. Sci. 50, 2295
(2011)).  ``r2scan``: a PBE relaxation that prepares the crystal, MPScanRelaxSet, MPScanStaticSet at
680 eV (Kingsbury et al., Phys. Rev. Mater. 6, 013801 (2022), who prepare with PBEsol).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from gnomon.crystals import Crystals
from gnomon.evaluate.scheme import EnergyScheme
from gnomon.io import to_pymatgen
from gnomon.store import write_bytes, write_json
from gnomon.verify.plan import Plan

MANIFEST = "verify.json"
"""What says of a folder which campaign, protocol and crystals it belongs to."""

PREPARING = {"METAGGA": None, "GGA": "PE"}
"""Changes of MPScanRelaxSet that make it the PBE relaxation before r2SCAN, on PBE_54 potentials."""


class Protocol(StrEnum):
    """How VASP is run."""

    PBE = "pbe"
    R2SCAN = "r2scan"

    @property
    def scheme(self) -> EnergyScheme:
        """Of the final energies; those of PBE hold the MP2020 corrections."""
        if self is Protocol.PBE:
            return EnergyScheme(
                functional="PBE",
                code="VASP",
                hubbard_u="Materials Project",
                pseudopotentials="PBE, MPRelaxSet",
                basis="520 eV",
                corrections="MP2020",
            )
        return EnergyScheme(
            functional="r2SCAN",
            code="VASP",
            pseudopotentials="PBE_54, MPScanRelaxSet",
            basis="680 eV",
        )


@dataclass(frozen=True)
class Job:
    """One run of VASP.

    Attributes:
        name: of its folder; jobs run in the order of their names.
        inputs: pymatgen's set for a structure.
    """

    name: str
    inputs: Callable[[Any], Any]


def jobs(protocol: Protocol) -> tuple[Job, ...]:
    """The three runs of a protocol, the one that gives the energy last."""
    from pymatgen.io.vasp import sets  # noqa: PLC0415

    if protocol is Protocol.PBE:
        return (
            Job("1-relax", sets.MPRelaxSet),
            Job("2-relax", sets.MPRelaxSet),
            Job("3-static", sets.MPStaticSet),
        )

    def preparing(structure: Any) -> Any:
        return sets.MPScanRelaxSet(structure, user_incar_settings=dict(PREPARING))

    return (
        Job("1-relax-pbe", preparing),
        Job("2-relax", sets.MPScanRelaxSet),
        Job("3-static", sets.MPScanStaticSet),
    )


def protocol_of(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        ValueError: if there is none.
    """
    try:
        return Protocol(name)
    except ValueError:
        known = ", ".join(Protocol)
        raise ValueError(f"no protocol {name!r} of VASP: choose one of {known}") from None


def export(plan: Plan, folder: Path, protocol: Protocol) -> dict[str, Any]:
    """Write the inputs of every crystal of a plan, each job in a folder of its own.

    POTCAR is written where pymatgen finds the licensed files (``PMG_VASP_PSP_DIR``), else
    POTCAR.spec with their names.  The POSCARs of later jobs are those of the first: VASP's CONTCAR
    of the job before is to replace them.

    Returns:
        The manifest, as it is written to ``verify.json``.

    Raises:
        ValueError: if the folder holds something already.
        StoreError: if it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there and not empty: choose another folder for --export")
    rows, spec = [], True
    for crystal in plan.crystals:
        name = folder_name(crystal)
        said, spec = _write_jobs(crystal, folder / name, protocol)
        rows.append({"id": str(crystal.ids[0]), "folder": name, "warnings": said})
    manifest = {
        "protocol": protocol.value,
        "scheme": str(protocol.scheme),
        "campaign_scheme": plan.scheme,
        "jobs": [job.name for job in jobs(protocol)],
        "potentials": "POTCAR.spec" if spec else "POTCAR",
        "crystals": rows,
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def folder_name(crystal: Crystals) -> str:
    """Of one crystal: for people to read, and unique."""
    return f"{crystal.reduced_formulas[0]}-{crystal.ids[0][:12]}"


def _write_jobs(crystal: Crystals, folder: Path, protocol: Protocol) -> tuple[list[str], bool]:
    """What pymatgen warned of, and whether the potentials are names only."""
    (structure,) = to_pymatgen(crystal)
    said: list[str] = []
    spec = True
    for job in jobs(protocol):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            inputs = job.inputs(structure)
            spec = not _has_potcar(inputs)
            files = inputs.get_input_set(potcar_spec=spec)
        said += [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        for name, content in files.items():
            if content is not None:
                write_bytes(folder / job.name / _file_name(name, spec), f"{content}\n".encode())
    return list(dict.fromkeys(said)), spec


def _file_name(name: str, spec: bool) -> str:
    return "POTCAR.spec" if spec and name.startswith("POTCAR") else name


def _has_potcar(inputs: Any) -> bool:
    """Whether pymatgen finds the licensed files of all elements."""
    try:
        return bool(inputs.potcar)
    except (OSError, ValueError):  # no folder is configured, or it lacks one
        return False

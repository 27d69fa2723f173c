"""Inputs for VASP with the settings of the Materials Project, all of them pymatgen's own sets.

Three protocols of three jobs.  ``pbe``: MPRelaxSet twice, then MPStaticSet, PBE with +U for Co, Cr,
Fe, Mn, Mo, Ni, V and W in oxides and fluorides at 520 eV (Jain et al., Comput. Mater. Sci. 50, 2295
(2011)).  ``pbe-newer``: the same with newer potentials of five elements, a scheme of its own.
``r2scan``: a PBE relaxation that prepares the crystal, MPScanRelaxSet, MPScanStaticSet at 680 eV
(Kingsbury et al., Phys. Rev. Mater. 6, 013801 (2022), who prepare with PBEsol).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from gnomon.crystals import Crystals
from gnomon.evaluate.scheme import EnergyScheme
from gnomon.io import to_pymatgen
from gnomon.run.writing import write_bytes, write_json
from gnomon.verify.plan import Plan

MANIFEST = "verify.json"
"""What says of a folder which campaign, protocol and crystals it belongs to."""

PREPARING = {"METAGGA": None, "GGA": "PE"}
"""Changes of MPScanRelaxSet that make it the PBE relaxation before r2SCAN, on PBE_54 potentials."""


NEWER = {"Ga": "Ga_d", "Ge": "Ge_d", "Li": "Li_sv", "Mg": "Mg_pv", "Na": "Na_pv"}
"""Elements that GNoME calculated with newer potentials than the Materials Project (Merchant et al.,
Nature 624, 80 (2023), Methods), by MPRelaxSet's names: valence electrons stay the same."""

NEWER_RELEASE = "PBE_54"
"""Of the potentials of ``NEWER``, as pymatgen names releases.  GNoME's is not stated; this is the
one that the Materials Project itself has moved on to (MPScanRelaxSet)."""


class Protocol(StrEnum):
    """How VASP is run."""

    PBE = "pbe"
    PBE_NEWER = "pbe-newer"
    R2SCAN = "r2scan"

    @property
    def scheme(self) -> EnergyScheme:
        """Of the final energies; those of PBE hold the MP2020 corrections."""
        if self is Protocol.R2SCAN:
            return EnergyScheme(
                functional="r2SCAN",
                code="VASP",
                pseudopotentials="PBE_54, MPScanRelaxSet",
                basis="680 eV",
            )
        newer = f" with {' '.join(NEWER)} of {NEWER_RELEASE}" if self.newer else ""
        return EnergyScheme(
            functional="PBE",
            code="VASP",
            hubbard_u="Materials Project",
            pseudopotentials=f"PBE, MPRelaxSet{newer}",
            basis="520 eV",
            corrections="MP2020",
        )

    @property
    def newer(self) -> dict[str, str]:
        """Potentials of ``NEWER_RELEASE`` by element, where the rest are of an older release."""
        return dict(NEWER) if self is Protocol.PBE_NEWER else {}


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
    from pymatgen.io.vasp import sets

    if protocol is not Protocol.R2SCAN:
        own = {"user_potcar_settings": protocol.newer} if protocol.newer else {}
        relax, static = partial(sets.MPRelaxSet, **own), partial(sets.MPStaticSet, **own)
        return Job("1-relax", relax), Job("2-relax", relax), Job("3-static", static)

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
    POTCAR.spec with their names; the manifest says which of them are of another release than the
    rest.  The POSCARs of later jobs are those of the first: VASP's CONTCAR
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
        said, spec = write_jobs(crystal, folder / name, jobs(protocol), protocol)
        rows.append({"id": str(crystal.ids[0]), "folder": name, "warnings": said})
    manifest = {
        "protocol": protocol.value,
        "scheme": str(protocol.scheme),
        "campaign_scheme": plan.scheme,
        "jobs": [job.name for job in jobs(protocol)],
        "potentials": "POTCAR.spec" if spec else "POTCAR",
        "releases": dict.fromkeys(protocol.newer.values(), NEWER_RELEASE),
        "crystals": rows,
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def folder_name(crystal: Crystals) -> str:
    """Of one crystal: for people to read, and unique."""
    return f"{crystal.reduced_formulas[0]}-{crystal.ids[0][:12]}"


def write_jobs(
    crystal: Crystals, folder: Path, every: tuple[Job, ...], protocol: Protocol
) -> tuple[list[str], bool]:
    """What pymatgen warned of, and whether the potentials are names only."""
    (structure,) = to_pymatgen(crystal)
    said: list[str] = []
    spec = True
    for job in every:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            inputs = job.inputs(structure)
            potcar = _potcar(inputs, protocol)
            spec = not potcar
            files = dict(inputs.get_input_set(potcar_spec=True))
        said += [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        names = next(files.pop(name) for name in list(files) if name.startswith("POTCAR"))
        files |= {"POTCAR.spec": names} if spec else {"POTCAR": potcar}
        for name, content in files.items():
            if content is not None:
                write_bytes(folder / job.name / name, f"{content}\n".encode())
    return list(dict.fromkeys(said)), spec


def _potcar(inputs: Any, protocol: Protocol) -> Any:
    """The licensed files of all elements as pymatgen finds them, None where it lacks one."""
    from pymatgen.io.vasp.inputs import Potcar, PotcarSingle

    newer = set(protocol.newer.values()) & set(inputs.potcar_symbols)
    try:
        if not newer:
            return inputs.potcar
        # pymatgen takes all potentials of a set from one release
        release = inputs.potcar_functional
        texts = {
            symbol: PotcarSingle.from_symbol_and_functional(
                symbol, NEWER_RELEASE if symbol in newer else release
            ).data
            for symbol in inputs.potcar_symbols
        }
        return Potcar(inputs.potcar_symbols, release, sym_potcar_map=texts)
    except (OSError, ValueError):  # no folder is configured, or it lacks one
        return None

"""CIF files of the phases that a report names."""

from __future__ import annotations

from pathlib import Path

from gnomon.crystals import Crystals
from gnomon.io import to_pymatgen
from gnomon.report.build import Report
from gnomon.structure.symmetry import SYMPREC


def cif_names(report: Report) -> dict[str, str]:
    """File names by id: new stable phases and the lowest of each composition."""
    return {
        phase.id: "".join(c if c.isalnum() else "_" for c in phase.reduced_formula)
        + f"_{phase.space_group}_{phase.relaxed_id}.cif"
        for phase in (*report.lowest, *report.finds)
    }


def write_cifs(report: Report, folder: Path) -> None:
    """Write them into a new folder."""
    folder.mkdir()
    placed = report.campaign.placed
    for key, name in cif_names(report).items():
        crystal = placed.found.relaxed[placed.row_of[key]]
        (folder / name).write_text(cif_text(crystal), encoding="utf-8")


def cif_text(crystal: Crystals) -> str:
    """CIF text of one crystal with its symmetry, at ``gnomon.structure.symmetry``'s tolerance."""
    from pymatgen.io.cif import CifWriter

    (structure,) = to_pymatgen(crystal)
    return str(CifWriter(structure, symprec=SYMPREC))

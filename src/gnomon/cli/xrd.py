"""`gnomon xrd`: which phases a powder scan shows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from gnomon.cli.options import CommandError, Output
from gnomon.cli.properties import campaign_of
from gnomon.cli.shared import numbers, place, read_crystals
from gnomon.diffraction import (
    PBE,
    Candidates,
    DiffractionSettings,
    Identification,
    identify,
    measured,
    read_scan,
)
from gnomon.diffraction.picture import draw
from gnomon.elements import parse_system
from gnomon.run.listener import Listener
from gnomon.run.writing import write_bytes


def xrd(
    scan: Path,
    listener: Listener,
    *,
    settings: DiffractionSettings,
    chemistry: str,
    phases: list[str] | None = None,
    cells: list[str] | None = None,
    above: float = 0.1,
    too_long: float = PBE,
    picture: Annotated[Path | None, place(".svg", option="--picture")] = None,
) -> Output:
    """Find the phases that a powder scan shows, how much of each, and what stays unexplained.

    Candidates are held against the scan alone and together, strained, shifted, textured and
    broadened; weights come from a Rietveld refinement (rietx).  The exit code is 1 where no phase
    is found.

    Args:
        scan: xy, xrdml, raw and others; copper radiation if the file does not say.
        chemistry: elements that may be in it, such as Li-Mn-O.
        phases: folder of a campaign, or files with computed crystals (CIF, Parquet and others);
            repeatable. Measured cells of a few starting materials are always there.
        cells: files with crystals whose cells were measured; repeatable.
        above: eV/atom above the hull up to which phases of campaigns and tables are candidates.
        too_long: part by which the lengths of computed cells are expected to be too long; 0.01
            for PBE and for potentials that learned it.
        picture: SVG of observed, calculated and difference.

    Example: gnomon xrd scan.xrdml --chemistry Li-Mn-O --phases campaign-Li-Mn-O
    """
    elements = parse_system(chemistry)
    pattern = read_scan(scan)
    candidates = measured()
    for one in phases or ():
        candidates += _computed(one, above, too_long)
    if cells:
        found = read_crystals(cells)
        names = [row["source_id"] or row["source"] for row in found.rows.to_pylist()]
        candidates += Candidates.of(found.crystals, measured=True, labels=names)
    candidates = candidates.within(elements)
    if not len(candidates):
        raise CommandError(
            f"no candidate holds only {', '.join(elements)}: give --phases or --cells"
        )
    listener.say(f"{len(pattern)} points, {len(candidates)} candidates")
    answer = identify(pattern, candidates, settings)
    if picture is not None:
        write_bytes(picture, draw(answer, pattern.name).encode())
    return Output(
        _data(answer, candidates),
        (_rows(answer, candidates),) if answer.phases else (),
        tuple(_said(answer)),
        int(not answer.phases),
    )


def _computed(given: str, above: float, too_long: float) -> Candidates:
    """Candidates of a campaign or of files with computed crystals."""
    campaign = campaign_of([given])
    if campaign is None:
        found = read_crystals([given])
        energies = numbers(found.rows, "e_above_hull")
        names = [row["source_id"] or row["source"] for row in found.rows.to_pylist()]
        crystals = found.crystals
    else:
        placed = campaign.placed
        crystals, energies = placed.found.relaxed, placed.e_above_hull
        names = [str(name) for name in crystals.ids]
    every = Candidates.of(crystals, e_above_hull=energies, labels=names, too_long=too_long)
    return every.take([i for i, x in enumerate(energies) if not x > above]).solid()


def _data(answer: Identification, candidates: Candidates) -> dict[str, Any]:
    rows = []
    for phase in answer.phases:
        row = asdict(phase)
        del row["positions"], row["candidate"]
        row["alternatives"] = [_name(candidates, i) for i in phase.alternatives]
        rows.append(row)
    return {
        "status": answer.status,
        "message": answer.message,
        "phases": rows,
        "unexplained": [asdict(peak) for peak in answer.unexplained],
        "explained": answer.explained,
        "r_wp": answer.r_wp,
    }


def _name(candidates: Candidates, i: int) -> str:
    return f"{candidates.crystals.reduced_formulas[i]} {candidates.labels[i]}"


def _rows(answer: Identification, candidates: Candidates) -> list[dict[str, Any]]:
    return [
        {
            "formula": phase.formula,
            "from": phase.label.partition(" (")[0],
            "weight": f"{100 * phase.weight_fraction:.1f} %",
            "±": "-" if phase.uncertainty is None else f"{100 * phase.uncertainty:.1f}",
            "confidence": f"{phase.confidence:.2f}",
            "volume": f"{100 * phase.strain:+.1f} %",
            "or": ", ".join(
                str(candidates.crystals.reduced_formulas[i]) for i in phase.alternatives
            )
            or "-",
        }
        for phase in answer.phases
    ]


def _said(answer: Identification) -> list[str]:
    said = [answer.message]
    if answer.unexplained:
        peaks = ", ".join(f"{p.two_theta:.2f} ({p.height:.0f})" for p in answer.unexplained[:20])
        said.append(f"unexplained peaks, degrees (counts): {peaks}")
    said.append(f"{100 * answer.explained:.0f} % of the intensity explained, Rwp {answer.r_wp:.3f}")
    return said

"""Runs of VASP as evaluations: one row a crystal, with a status and a sentence for each failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.dynamics.nonsense import nonsense
from gnomon.dynamics.result import Relaxation
from gnomon.evaluate import Evaluations, Status
from gnomon.evaluate.corrections import mp2020_correction_per_atom
from gnomon.evaluate.moments import wrong_moment
from gnomon.evaluate.scheme import difference
from gnomon.evaluate.table import rows_of
from gnomon.hull.phases import SchemeMismatch
from gnomon.io import as_crystals
from gnomon.verify.plan import Plan
from gnomon.verify.vasp_checks import wrong_settings
from gnomon.verify.vasp_inputs import MANIFEST, Protocol, jobs
from gnomon.verify.vasp_outputs import OutputError, Run, read_run


def import_runs(plan: Plan, folder: Path, protocol: Protocol) -> pa.Table:
    """Evaluations of the crystals of a plan whose runs lie in an exported folder.

    A crystal whose last job has no output yet has no row; one whose output is damaged, cut off,
    unconverged or of other settings has a row that says so.

    Returns:
        Rows of ``gnomon.evaluate.table.rows_of``, in the order of the plan.

    Raises:
        ValueError: if the folder is no export.
        SchemeMismatch: if it was exported for another protocol.
    """
    folders = _folders(folder, protocol)
    found = {}
    for crystal in plan.crystals:
        key = str(crystal.ids[0])
        if key in folders and (result := read_crystal(crystal, folders[key], protocol)):
            found[key] = result
    if not found:
        raise ValueError(
            f"{folder} has no output of VASP for the finds of this campaign yet: "
            f"run the jobs ({', '.join(job.name for job in jobs(protocol))}) there first"
        )
    ids = np.array(list(found), dtype=object)
    evaluations = Evaluations.of(list(found.values()), ids, str(protocol.scheme))
    return rows_of(replace(evaluations, seconds=np.full(len(ids), np.nan)))


def _folders(folder: Path, protocol: Protocol) -> dict[str, Path]:
    """Folders by the id of the crystal."""
    path = folder / MANIFEST
    try:
        manifest: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        scheme = str(manifest["scheme"])
        folders = {str(row["id"]): folder / str(row["folder"]) for row in manifest["crystals"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): --import takes a folder that --export wrote"
        ) from error
    if scheme != str(protocol.scheme):
        raise SchemeMismatch(
            f"{folder} was exported for {scheme!r}, not for {str(protocol.scheme)!r} "
            f"({difference(scheme, str(protocol.scheme))}): name its --protocol"
        )
    return folders


def read_crystal(crystal: Crystals, folder: Path, protocol: Protocol) -> Relaxation | None:
    """The evaluation of one crystal; None if its last job has no output yet."""
    every = jobs(protocol)
    last = folder / every[-1].name
    try:
        run = read_run(last)
        if run is None:
            return None
        before = [read_run(folder / job.name) for job in every[:-1]]
    except OutputError as error:
        return Relaxation(crystal, Status.NOT_CONVERGED, str(error))
    runs = [*before, run]
    for i, (job, one) in enumerate(zip(every, runs, strict=True)):
        if one is None:
            continue
        if other := _other_crystal(crystal, one):
            return Relaxation(crystal, Status.INVALID_INPUT, f"{job.name}: {other}")
        if wrong := wrong_settings(one, job.inputs, protocol, first=i == 0):
            return Relaxation(crystal, Status.INVALID_INPUT, f"{job.name}: {wrong}")
    return _judge(crystal, run, before, protocol)


def _judge(crystal: Crystals, run: Run, before: list[Run | None], protocol: Protocol) -> Relaxation:
    """Of runs with the right settings: did they end, and in something sensible?"""
    relaxation = next((one for one in reversed(before) if one is not None), None)
    relaxed = as_crystals(run.final)
    steps = sum(one.steps for one in before if one is not None)
    fmax = run.fmax if relaxation is None or np.isfinite(run.fmax) else relaxation.fmax
    energy = run.energy / len(run.final)
    if "MP2020" in protocol.scheme.corrections:
        energy += float(mp2020_correction_per_atom(relaxed)[0])
    unconverged = _unconverged(run, relaxation)
    if unconverged:
        return Relaxation(relaxed, Status.NOT_CONVERGED, unconverged, energy, steps, fmax)
    before_moment = None if relaxation is None else relaxation.total_moment
    moment = run.total_moment
    if moment is not None and (moved := wrong_moment(moment, before_moment, len(run.final))):
        return Relaxation(relaxed, Status.NOT_CONVERGED, moved, energy, steps, fmax)
    lattice, numbers, frac_coords = relaxed.arrays(0)
    if wrong := nonsense(float(crystal.volumes[0]), energy, lattice, numbers, frac_coords):
        return Relaxation(relaxed, Status.EXPLODED, wrong, steps=steps)
    return Relaxation(relaxed, Status.CONVERGED, "", energy, steps, fmax)


def _unconverged(run: Run, relaxation: Run | None) -> str:
    if not run.electronic:
        limit = run.settings.get("NELM", "its limit of")
        return f"the SCF did not converge within {limit} steps in the run that gives the energy"
    if relaxation is not None and not relaxation.ionic:
        limit = relaxation.settings.get("NSW", "its limit of")
        return f"the relaxation did not converge within {limit} steps"
    if relaxation is not None and not relaxation.electronic:
        return "the SCF of the last step of the relaxation did not converge"
    return ""


def _other_crystal(crystal: Crystals, run: Run) -> str:
    """Whether the run is of something else than was exported here."""
    found = as_crystals(run.final)
    if np.array_equal(found.composition, crystal.composition):
        return ""
    return (
        f"the run holds {run.final.formula} where {crystal.reduced_formulas[0]} "
        f"({int(crystal.n_atoms[0])} atoms) was exported: outputs were mixed up"
    )

"""Relaxation by an expensive calculator: each step is kept, so that a kill costs one step.

The checkpoint is one small JSON file a crystal, whole or not there.  It holds the geometry, which
is all that a relaxation needs to go on; densities and wave functions are found again in one
self-consistent calculation.
"""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.dynamics.nonsense import nonsense
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Status
from gnomon.evaluate.ase import Arrays, Relaxation
from gnomon.evaluate.cell_filter import CellFilter
from gnomon.evaluate.moments import wrong_moment
from gnomon.run.files import write_atomically
from gnomon.structure.symmetry import SYMPREC

MakeCalculator = Callable[[Any], Any]
"""ASE atoms to a calculator for them."""


class CalculationError(Exception):
    """A calculation that ended in a way that has a status and a sentence of its own."""

    def __init__(self, status: Status, sentence: str) -> None:
        """What the row of the crystal will say."""
        super().__init__(sentence)
        self.status = status


@dataclass
class Progress:
    """Where a relaxation stands; what its row will say if it ends here."""

    steps: int = 0
    moments: tuple[float, ...] = ()
    fmax: float = np.nan
    unsaved: str = ""


def relax_resumably(
    crystal: Arrays,
    make_calculator: MakeCalculator,
    relax: RelaxConfig,
    checkpoint: Path,
    *,
    final_energy: Callable[[Any], float] = lambda atoms: float(atoms.get_potential_energy()),
    unconverged: type[Exception] = CalculationError,
) -> Relaxation:
    """Relax one crystal, from its checkpoint if there is one; every failure is a status.

    Steps and time are limited for each call, so that going on grants both anew.

    Args:
        crystal: lattice (Å), atomic numbers, fractional coordinates.
        make_calculator: for the crystal as it begins.
        relax: when to stop; steps are those of BFGS.
        checkpoint: file of this crystal in this energy scheme.
        final_energy: eV of the cell, for the relaxed atoms with their calculator.
        unconverged: what the calculator raises when its SCF does not converge.
    """
    from ase import Atoms

    began, (lattice, numbers, frac_coords) = time.monotonic(), crystal
    progress = Progress()
    energy, status, message = np.nan, Status.NOT_CONVERGED, ""
    atoms = Atoms(numbers, cell=lattice, scaled_positions=frac_coords, pbc=True)
    try:
        atoms.calc = make_calculator(atoms)
        _resume(atoms, checkpoint, progress)
        status = _relax(atoms, relax, began, checkpoint, progress)
        done = status == Status.CONVERGED
        energy = (final_energy(atoms) if done else float(atoms.get_potential_energy())) / len(atoms)
        status, message = _judge(status, progress, relax, len(atoms))
    except CalculationError as error:
        status, message = error.status, str(error)
    except unconverged as error:
        status = Status.NOT_CONVERGED
        message = f"the SCF did not converge after {progress.steps} steps of relaxation: {error}"
    except OSError as error:
        status, message = Status.NOT_CONVERGED, _of_the_disk(error, checkpoint)
    except Exception as error:  # calculators raise anything; the row says what it was
        status = Status.EXPLODED if progress.steps else Status.INVALID_INPUT
        message = f"{type(error).__name__}: {error}"
    relaxed, frac_left = np.array(atoms.cell[:]), np.array(atoms.get_scaled_positions(wrap=True))
    volume = float(abs(np.linalg.det(lattice)))
    if np.isfinite(energy) and (wrong := nonsense(volume, energy, relaxed, numbers, frac_left)):
        status, message, energy = Status.EXPLODED, wrong, np.nan
    seconds = time.monotonic() - began
    return Relaxation(
        status, message, energy, progress.steps, progress.fmax, seconds, relaxed, frac_left
    )


def _relax(
    atoms: Any, relax: RelaxConfig, began: float, checkpoint: Path, progress: Progress
) -> Status:
    from ase.constraints import FixSymmetry
    from ase.optimize import BFGS

    if relax.symmetry:
        atoms.set_constraint(FixSymmetry(atoms, symprec=SYMPREC))
    subject = CellFilter(atoms) if relax.relax_cell else atoms
    before, status = progress.steps, Status.NOT_CONVERGED
    optimizer = BFGS(subject, logfile=None)
    for converged in optimizer.irun(fmax=relax.fmax, steps=relax.max_steps):
        forces = np.asarray(subject.get_forces()).reshape(-1, 3)
        progress.steps = before + int(optimizer.nsteps)
        progress.fmax = float(np.sqrt((forces**2).sum(axis=1).max()))
        progress.moments = (*progress.moments[-1:], _moment(atoms))
        _save(atoms, checkpoint, progress)
        if converged:
            status = Status.CONVERGED
        elif time.monotonic() - began > relax.max_seconds:
            return Status.TIMEOUT
    if relax.max_steps == 0:
        return Status.CONVERGED  # a single point was asked for, and taken
    return status


def _judge(
    status: Status, progress: Progress, relax: RelaxConfig, n_atoms: int
) -> tuple[Status, str]:
    """The status and sentence of a relaxation that ended by itself."""
    if status == Status.TIMEOUT:
        return status, f"{relax.max_seconds:g} s ran out; its last step is kept to go on from"
    if status == Status.NOT_CONVERGED:
        return status, f"{relax.max_steps} steps ran out; the last is kept to go on from"
    before = progress.moments[0] if len(progress.moments) > 1 else None
    moment = progress.moments[-1] if progress.moments else 0.0
    if wrong := wrong_moment(moment, before, n_atoms):
        return Status.NOT_CONVERGED, wrong
    return status, progress.unsaved


def _moment(atoms: Any) -> float:
    """Total moment, μB; 0 for a calculation without spin."""
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        return float(atoms.get_magnetic_moment())
    except PropertyNotImplementedError:
        return 0.0


def _save(atoms: Any, checkpoint: Path, progress: Progress) -> None:
    """Keep the geometry; a full disk costs the checkpoint, not the calculation."""
    facts = {
        "lattice": np.array(atoms.cell[:]).tolist(),
        "frac_coords": np.array(atoms.get_scaled_positions(wrap=False)).tolist(),
        "atomic_numbers": atoms.numbers.tolist(),
        "steps": progress.steps,
    }
    try:
        write_atomically(checkpoint, json.dumps(facts).encode())
    except OSError as error:
        progress.unsaved = f"without a checkpoint: {_of_the_disk(error, checkpoint)}"


def _resume(atoms: Any, checkpoint: Path, progress: Progress) -> None:
    """Go on from a checkpoint of the same atoms; begin anew where there is none that can be read.

    A damaged one is set aside: to begin anew costs time, and no result.
    """
    if not checkpoint.is_file():
        return
    try:
        facts = json.loads(checkpoint.read_text("utf-8"))
        lattice = np.array(facts["lattice"], dtype=np.float64).reshape(3, 3)
        frac_coords = np.array(facts["frac_coords"], dtype=np.float64).reshape(len(atoms), 3)
        steps = int(facts["steps"])
        same = facts["atomic_numbers"] == atoms.numbers.tolist()
    except (ValueError, KeyError, TypeError):
        same = False
    if not same or not (np.isfinite(lattice).all() and np.isfinite(frac_coords).all()):
        checkpoint.replace(checkpoint.with_suffix(".damaged"))
        return
    atoms.set_cell(lattice)
    atoms.set_scaled_positions(frac_coords)
    progress.steps = steps


def _of_the_disk(error: OSError, checkpoint: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk of {checkpoint.parent} is full: free space, then try again"
    return f"{error.strerror or error} ({error.filename or checkpoint.parent})"

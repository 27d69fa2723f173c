"""Relaxation of one crystal by a calculator of ASE; every failure is a status."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.dynamics.nonsense import nonsense
from gnomon.dynamics.result import Relaxation, Status
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.cell_filter import CellFilter
from gnomon.io import to_ase
from gnomon.structure.symmetry import SYMPREC

NOTHING_ACTS = "no force and no stress at all: the atoms do not see each other"


class CalculationError(Exception):
    """A calculation that ended in a way that has a status and a sentence of its own."""

    def __init__(self, status: Status, sentence: str) -> None:
        """What the row of the crystal will say."""
        super().__init__(sentence)
        self.status = status


class Watch:
    """Where a relaxation stands, and what is done beside it: here nothing."""

    def __init__(self) -> None:
        """Before the first step."""
        self.steps, self.fmax = 0, np.nan

    def begin(self, atoms: Any) -> None:
        """Before the first calculation; may set geometry and steps of an earlier relaxation."""

    def step(self, atoms: Any) -> None:
        """After each calculation."""

    def end(self, atoms: Any, status: Status) -> str:
        """What is to be said of a relaxation that ended by itself.

        Raises:
            CalculationError: if it ended in another way than it seems.
        """
        return ""

    def failed(self, error: Exception, atoms: Any) -> tuple[Status, str]:
        """Status and sentence of an error: calculators raise anything."""
        results = getattr(atoms.calc, "results", None) or {}
        begun = self.steps or np.isfinite(results.get("energy", np.nan))
        return (
            Status.EXPLODED if begun else Status.INVALID_INPUT,
            f"{type(error).__name__}: {error}",
        )


def relax_one(
    given: Crystals,
    make_calculator: Callable[[Any], Any],
    config: RelaxConfig,
    *,
    optimizer: Literal["FIRE", "BFGS"] = "FIRE",
    watch: Watch | None = None,
    final_energy: Callable[[Any], float] = lambda atoms: float(atoms.get_potential_energy()),
) -> Relaxation:
    """Relax one crystal.

    Args:
        given: the crystal.
        make_calculator: ASE atoms to a calculator for them.
        config: when to stop, and what to keep.
        optimizer: of ASE.
        watch: follows the relaxation.
        final_energy: eV of the cell, for the relaxed atoms with their calculator.
    """
    began, watch = time.monotonic(), watch or Watch()
    (atoms,) = to_ase(given)
    energy, forces, stress, failed = np.nan, None, None, False
    try:
        atoms.calc = make_calculator(atoms)
        watch.begin(atoms)
        status = _descend(atoms, config, began, optimizer, watch)
        forces = atoms.get_forces(apply_constraint=False)
        stress = _stress(atoms, needed=config.relax_cell)
        done = status == Status.CONVERGED
        energy = (final_energy(atoms) if done else float(atoms.get_potential_energy())) / len(atoms)
        message = watch.end(atoms, status)
        if done and stress is not None and not (watch.steps or forces.any() or stress.any()):
            status, message = Status.ISOLATED, NOTHING_ACTS
    except CalculationError as error:
        status, message, failed = error.status, str(error), True
    except Exception as error:  # calculators raise anything; the row says what it was
        status, message = watch.failed(error, atoms)
        failed = True
    arrays = np.array(atoms.cell[:]), atoms.numbers, np.array(atoms.get_scaled_positions(wrap=True))
    if not failed and (wrong := nonsense(float(given.volumes[0]), energy, *arrays)):
        status, message, energy = Status.EXPLODED, wrong, np.nan
    try:
        relaxed = Crystals.single(*arrays)
    except ValueError:  # nothing is left of it
        relaxed = given
    seconds = time.monotonic() - began
    return Relaxation(
        relaxed, status, message, energy, watch.steps, watch.fmax, seconds, forces, stress
    )


def _stress(atoms: Any, needed: bool) -> Float64[np.ndarray, "3 3"] | None:
    """The stress; of a cell that stays, only where the calculator gives one."""
    try:
        return atoms.get_stress(voigt=False, apply_constraint=False)
    except NotImplementedError:
        if needed:
            raise
        return None


def _descend(atoms: Any, config: RelaxConfig, began: float, optimizer: str, watch: Watch) -> Status:
    from ase import optimize
    from ase.constraints import FixSymmetry

    if config.symmetry:
        atoms.set_constraint(FixSymmetry(atoms, symprec=SYMPREC))
    subject = CellFilter(atoms) if config.relax_cell else atoms
    before, status = watch.steps, Status.NOT_CONVERGED
    descent = getattr(optimize, optimizer)(subject, logfile=None)
    for converged in descent.irun(fmax=config.fmax, steps=config.max_steps):
        forces = np.asarray(subject.get_forces()).reshape(-1, 3)
        watch.steps = before + int(descent.nsteps)
        watch.fmax = float(np.sqrt((forces**2).sum(axis=1).max()))
        watch.step(atoms)
        if converged:
            status = Status.CONVERGED
        elif time.monotonic() - began > config.max_seconds:
            return Status.TIMEOUT
        elif not np.isfinite(atoms.get_positions()).all():
            break
    return Status.CONVERGED if config.max_steps == 0 else status  # a single point was asked for

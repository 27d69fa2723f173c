"""Relaxation by an expensive calculator: each step is kept, so that a kill costs one step.

The checkpoint is one small JSON file a crystal, whole or not there.  It holds the geometry, which
is all that a relaxation needs to go on; densities and wave functions are found again in one
self-consistent calculation.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.dynamics.result import Status
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.moments import wrong_moment
from gnomon.evaluate.relaxing import CalculationError, Watch
from gnomon.run.files import write_atomically


class Keeper(Watch):
    """Keeps each step, goes on from the last one, and judges how a relaxation by DFT ended.

    Steps and time are limited for each call, so that going on grants both anew.
    """

    def __init__(
        self,
        checkpoint: Path,
        config: RelaxConfig,
        unconverged: type[Exception] = CalculationError,
    ) -> None:
        """Of one crystal in one energy scheme.

        Args:
            checkpoint: its file.
            config: the limits, for messages.
            unconverged: what the calculator raises when its SCF does not converge.
        """
        super().__init__()
        self.checkpoint, self.config, self.unconverged = checkpoint, config, unconverged
        self.moments: tuple[float, ...] = ()
        self.unsaved = ""

    def begin(self, atoms: Any) -> None:
        """Go on from a checkpoint of the same atoms; begin anew where none can be read.

        A damaged one is set aside: to begin anew costs time, and no result.
        """
        if not self.checkpoint.is_file():
            return
        try:
            facts = json.loads(self.checkpoint.read_text("utf-8"))
            lattice = np.array(facts["lattice"], dtype=np.float64).reshape(3, 3)
            frac_coords = np.array(facts["frac_coords"], dtype=np.float64).reshape(len(atoms), 3)
            steps = int(facts["steps"])
            same = facts["atomic_numbers"] == atoms.numbers.tolist()
        except (ValueError, KeyError, TypeError):
            same = False
        if not same or not (np.isfinite(lattice).all() and np.isfinite(frac_coords).all()):
            self.checkpoint.replace(self.checkpoint.with_suffix(".damaged"))
            return
        atoms.set_cell(lattice)
        atoms.set_scaled_positions(frac_coords)
        self.steps = steps

    def step(self, atoms: Any) -> None:
        """Keep the geometry; a full disk costs the checkpoint, not the calculation."""
        self.moments = (*self.moments[-1:], _moment(atoms))
        facts = {
            "lattice": np.array(atoms.cell[:]).tolist(),
            "frac_coords": np.array(atoms.get_scaled_positions(wrap=False)).tolist(),
            "atomic_numbers": atoms.numbers.tolist(),
            "steps": self.steps,
        }
        try:
            write_atomically(self.checkpoint, json.dumps(facts).encode())
        except OSError as error:
            self.unsaved = f"without a checkpoint: {self._of_the_disk(error)}"

    def end(self, atoms: Any, status: Status) -> str:
        """What ran out, or what was not kept; moments that are nonsense are no convergence."""
        if status == Status.TIMEOUT:
            return f"{self.config.max_seconds:g} s ran out; its last step is kept to go on from"
        if status == Status.NOT_CONVERGED:
            return f"{self.config.max_steps} steps ran out; the last is kept to go on from"
        before = self.moments[0] if len(self.moments) > 1 else None
        moment = self.moments[-1] if self.moments else 0.0
        if wrong := wrong_moment(moment, before, len(atoms)):
            raise CalculationError(Status.NOT_CONVERGED, wrong)
        return self.unsaved

    def failed(self, error: Exception, atoms: Any) -> tuple[Status, str]:
        """An SCF and a disk can do better the next time; the rest cannot."""
        if isinstance(error, self.unconverged):
            after = f"after {self.steps} steps of relaxation"
            return Status.NOT_CONVERGED, f"the SCF did not converge {after}: {error}"
        if isinstance(error, OSError):
            return Status.NOT_CONVERGED, self._of_the_disk(error)
        return super().failed(error, atoms)

    def _of_the_disk(self, error: OSError) -> str:
        folder = self.checkpoint.parent
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk of {folder} is full: free space, then try again"
        return f"{error.strerror or error} ({error.filename or folder})"


def _moment(atoms: Any) -> float:
    """Total moment, μB; 0 for a calculation without spin."""
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        return float(atoms.get_magnetic_moment())
    except PropertyNotImplementedError:
        return 0.0

"""A calculator that behaves like DFT at its worst, for tests without DFT.

Also run as a script, ``python -m tests.fake_dft CHECKPOINT``: a slow relaxation to be killed.
"""

import errno
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT

from gnomon.crystals import Crystals
from gnomon.dynamics.result import Relaxation
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.relaxing import relax_one
from gnomon.evaluate.resumable import Keeper

RATTLED = (
    np.array([[3.75, 0.05, 0.0], [0.0, 3.7, 0.0], [0.0, 0.0, 3.8]]),
    np.array([29, 29, 79, 29], np.uint8),
    np.array([[0.01, 0, 0], [0.02, 0.5, 0.5], [0.5, 0.01, 0.47], [0.5, 0.5, 0.02]]),
)
"""Copper and gold far from their places: a relaxation of many steps."""


class UnconvergedError(Exception):
    """What the fake raises when its SCF does not converge."""


class FakeDft(EMT):
    """EMT with moments; ``before`` is called with the number of each calculation."""

    implemented_properties: Sequence[str] = (*EMT.implemented_properties, "magmom")

    def __init__(
        self,
        before: Callable[[int], None] = lambda _: None,
        moment: Callable[[int], float] = lambda _: 0.0,
    ) -> None:
        super().__init__()
        self.before, self.moment, self.count = before, moment, 0

    def calculate(
        self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes
    ) -> None:
        self.count += 1
        self.before(self.count)
        super().calculate(atoms, properties, system_changes)
        self.results["magmom"] = self.moment(self.count)


def full_disk(count: int) -> None:
    """From the third calculation on there is no room for its files."""
    if count >= 3:
        raise OSError(errno.ENOSPC, "No space left on device", "density.gpw")


def no_scf(count: int) -> None:
    """The third calculation does not converge."""
    if count == 3:
        raise UnconvergedError("200 iterations")


def relax(checkpoint: Path, calculator: FakeDft | None = None, **limits: Any) -> Relaxation:
    """A relaxation of ``RATTLED``; in a fixed cell, unless asked for, as that is much faster."""
    limits = {"relax_cell": False} | limits
    config = RelaxConfig(**limits)
    keeper = Keeper(checkpoint, config, UnconvergedError)
    crystal = Crystals.single(*RATTLED)
    dft = calculator or FakeDft()
    return relax_one(crystal, lambda _: dft, config, optimizer="BFGS", watch=keeper)


if __name__ == "__main__":
    relax(Path(sys.argv[1]), FakeDft(before=lambda _: time.sleep(0.1)), fmax=1e-6)

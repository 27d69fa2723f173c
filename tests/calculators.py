"""Calculators and evaluators for tests, in a module that worker processes can import."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from gnomon.crystals import Crystals
from gnomon.dynamics.result import Relaxation, Status
from gnomon.evaluate import Evaluations

RAISES, HANGS, DIES, LIES, NO_ENERGY, FLIES_APART = 47, 46, 78, 13, 28, 79  # Ag Pd Pt Al Ni Au
"""Elements that ``Treacherous`` mistreats."""

EXIT_CODE = 7
"""With which ``Treacherous`` ends its process."""


class Treacherous(EMT):
    """EMT for copper; every other element meets its own misfortune."""

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        super().calculate(*args, **kwargs)
        match int(self.atoms.numbers[0]):
            case z if z == RAISES:
                self.results = {}
                raise RuntimeError("no silver today")
            case z if z == HANGS:
                time.sleep(3600)
            case z if z == DIES:
                os._exit(EXIT_CODE)
            case z if z == LIES:
                self.results["energy"] = self.results["free_energy"] = 1e9
            case z if z == NO_ENERGY:
                self.results["energy"] = self.results["free_energy"] = np.nan
            case z if z == FLIES_APART:
                self.results["stress"] = np.array([-1.0, -1.0, -1.0, 0.0, 0.0, 0.0])


class Quick(Calculator):  # type: ignore[misc]  # ASE has no types
    """Takes options, and refuses those that it does not know; energies of nothing."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, energy: float = -1.0) -> None:
        super().__init__()
        if energy > 0:
            raise ValueError(f"energy must not be positive, got {energy}")
        self.energy = energy

    def calculate(
        self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        n = len(self.atoms)
        self.results = {
            "energy": n * self.energy,
            "forces": np.zeros((n, 3)),
            "stress": np.full(6, 1e-6),  # none at all would be that of atoms far apart
        }


class Springs(Calculator):  # type: ignore[misc]
    """Draws each atom to where it first saw it, by 5 eV/Å2."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]
    home: Any = None

    def calculate(
        self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.home = self.atoms.positions.copy() if self.home is None else self.home
        away = self.atoms.positions - self.home
        self.results = {"energy": 2.5 * float((away**2).sum()), "forces": -5 * away}


def evaluated(
    given: Crystals,
    scheme: str,
    energy_per_atom: Any,
    status: Any,
    message: Any = None,
    relaxed: Crystals | None = None,
    steps: int = 0,
) -> Evaluations:
    """Evaluations of a batch as an evaluator of a test wants them."""
    left = given if relaxed is None else relaxed
    told = [""] * len(given) if message is None else message
    columns = zip(left, status, told, energy_per_atom, strict=True)
    each = [
        Relaxation(crystal, Status(one), str(text), float(energy), steps, fmax=0.0)
        for crystal, one, text, energy in columns
    ]
    return Evaluations.of(each, given.ids, scheme)


def answers_and_dies(task: int) -> int:
    """A task for the pool that takes its worker down just after it has answered."""
    threading.Timer(0.05, os._exit, [EXIT_CODE]).start()
    return task


def make_unpicklable(task: int) -> object:
    """A task for the pool whose answer cannot leave its process."""
    return lambda: task


SPECIFIC_VOLUME = 12.0
"""Å^3 an atom at which ``FastEvaluator`` holds a crystal for best."""


class FastEvaluator:
    """Deterministic energies of composition and packing, in this process; knows what it was asked.

    Mixed crystals are up to 0.3 eV/atom below their elements, and each structure pays for the
    distance of its volume from ``SPECIFIC_VOLUME``.  Crystals of an element in ``failing`` do not
    converge.
    """

    def __init__(
        self,
        scheme: str = "fast",
        failing: tuple[int, ...] = (),
        before_chunk: Callable[[], None] = lambda: None,
    ) -> None:
        self.scheme, self.failing, self.before_chunk = scheme, failing, before_chunk
        self.asked: list[str] = []

    def evaluate(self, crystals: Crystals) -> Iterator[Evaluations]:
        for start in range(0, len(crystals), 2):
            self.before_chunk()
            yield self._results(crystals[start : start + 2])

    def _results(self, part: Crystals) -> Evaluations:
        self.asked += part.ids.tolist()
        share = part.composition / part.n_atoms[:, None]
        volume = part.volumes / part.n_atoms
        energy = 1.2 * (np.sum(share**2, axis=1) - 1) / 2
        energy += 0.1 * (volume / SPECIFIC_VOLUME - 1) ** 2 - 3.0
        failed = part.composition[:, list(self.failing)].any(axis=1)
        status = np.where(failed, "not_converged", "converged")
        return evaluated(part, self.scheme, energy, status, relaxed=part.scale_volume(0.9), steps=1)


class Better(FastEvaluator):
    """Another scheme, whose energies of compounds lie higher by up to 30 meV/atom."""

    def _results(self, part: Crystals) -> Evaluations:
        found = super()._results(part)
        share = part.composition / part.n_atoms[:, None]
        raised = 0.12 * share.max(axis=1) * (1 - share.max(axis=1))
        energy = found.energy_per_atom + raised - 1.0
        return evaluated(part, self.scheme, energy, found.status, relaxed=found.relaxed)


def tell_and_sleep(path: str) -> int:
    """Write the number of this process to a file, then take long."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(300)
    return 0

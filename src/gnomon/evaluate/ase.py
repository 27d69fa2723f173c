"""Any ASE calculator as an evaluator: positions and cell are relaxed, failures become statuses.

A calculator is named ``module.Class``, such as ``ase.calculators.emt.EMT`` (effective medium theory
for Al, Cu, Ag, Au, Ni, Pd and Pt: Jacobsen, Stoltze and Nørskov, Surf. Sci. 366, 394 (1996)).
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from gnomon.dynamics.nonsense import nonsense
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations, Status
from gnomon.evaluate.cell_filter import CellFilter
from gnomon.run.pool import Lost, Pool
from gnomon.structure.symmetry import SYMPREC

__all__ = ["AseEvaluator", "RelaxConfig", "Relaxation", "make_calculator", "relax_one"]

GRACE = 2.0
"""A worker is stopped at this factor of the time limit: the limit itself is kept between steps."""


@dataclass(frozen=True)
class Relaxation:
    """The result for one crystal, in plain arrays that travel between processes."""

    status: Status
    message: str
    energy_per_atom: float
    steps: int
    fmax: float
    seconds: float
    lattice: np.ndarray
    frac_coords: np.ndarray


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


class AseEvaluator:
    """Relaxes crystals with an ASE calculator in a pool of processes."""

    def __init__(
        self,
        calculator: str,
        options: dict[str, Any] | None = None,
        relax: RelaxConfig | None = None,
        workers: int = 1,
    ) -> None:
        """``calculator`` is a dotted name, ``options`` its keyword arguments.

        Raises:
            ValueError: if there is no such calculator or it refuses the options.
        """
        self.calculator, self.options = calculator, options or {}
        self.relax, self.workers = relax or RelaxConfig(), max(1, workers)
        make_calculator(calculator, self.options)

    @property
    def scheme(self) -> str:
        """Calculator, its options and the version of the package that it comes from."""
        package = self.calculator.split(".", maxsplit=1)[0]
        release = getattr(importlib.import_module(package), "__version__", "unknown version")
        options = json.dumps(self.options, sort_keys=True) if self.options else ""
        return f"{self.calculator}{options} ({package} {release})"

    def evaluate(self, crystals: Crystals, *, chunk: int = 16) -> Iterator[Evaluations]:
        """Yield results for consecutive chunks, in the order of the crystals."""
        tasks = [crystals.arrays(i) for i in range(len(crystals))]
        shared = (self.calculator, self.options, self.relax)
        with Pool[Arrays, Relaxation](
            relax_one, shared, self.workers, GRACE * self.relax.max_seconds
        ) as pool:
            results: list[Relaxation] = []
            start = 0
            for task, result in zip(tasks, pool.run(tasks), strict=True):
                results.append(as_row(task, result))
                if len(results) == chunk or start + len(results) == len(tasks):
                    yield collect(crystals[start : start + len(results)], results)
                    start, results = start + len(results), []


def make_calculator(name: str, options: dict[str, Any]) -> Any:
    """An ASE calculator by its dotted name.

    Raises:
        ValueError: if the name leads nowhere or the class refuses the options.
    """
    module, _, attribute = name.rpartition(".")
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"no ASE calculator {name!r} ({error}): give module.Class, as in "
            "'ase:ase.calculators.emt.EMT', and install its package"
        ) from error
    try:
        return factory(**options)
    except Exception as error:  # whatever a foreign constructor raises is about its options
        raise ValueError(f"{name} cannot be made with options {options}: {error}") from error


def relax_one(
    calculator: str, options: dict[str, Any], config: RelaxConfig, crystal: Arrays
) -> Relaxation:
    """Relax one crystal; every failure is a status."""
    from ase import Atoms

    began = time.monotonic()
    lattice, numbers, frac_coords = crystal
    atoms = Atoms(numbers, cell=lattice, scaled_positions=frac_coords, pbc=True)
    atoms.calc = _ready_calculator(calculator, json.dumps(options, sort_keys=True))
    energy, steps, fmax, message = np.nan, 0, np.nan, ""
    try:
        status, steps, fmax = _relax(atoms, config, began)
        energy = float(atoms.get_potential_energy()) / len(atoms)
    except Exception as error:  # calculators raise anything; the row says what it was
        status = Status.EXPLODED if steps or _computable(atoms) else Status.INVALID_INPUT
        message = f"{type(error).__name__}: {error}"
    relaxed, frac_left = np.array(atoms.cell[:]), np.array(atoms.get_scaled_positions(wrap=True))
    volume = float(abs(np.linalg.det(lattice)))
    if not message and (wrong := nonsense(volume, energy, relaxed, numbers, frac_left)):
        status, message, energy = Status.EXPLODED, wrong, np.nan
    seconds = time.monotonic() - began
    return Relaxation(status, message, energy, steps, fmax, seconds, relaxed, frac_left)


def _ready_calculator(name: str, options: str) -> Any:
    """A calculator that remembers no crystal; learned potentials take seconds to load, so kept."""
    calculator = _kept_calculator(name, options)
    if hasattr(calculator, "reset"):
        calculator.reset()
        return calculator
    return make_calculator(name, json.loads(options))


@lru_cache(maxsize=1)
def _kept_calculator(name: str, options: str) -> Any:
    return make_calculator(name, json.loads(options))


def _relax(atoms: Any, config: RelaxConfig, began: float) -> tuple[Status, int, float]:
    from ase.constraints import FixSymmetry
    from ase.optimize import FIRE

    if config.symmetry:
        atoms.set_constraint(FixSymmetry(atoms, symprec=SYMPREC))
    subject = CellFilter(atoms) if config.relax_cell else atoms
    optimizer = FIRE(subject, logfile=None)
    status = Status.NOT_CONVERGED
    for converged in optimizer.irun(fmax=config.fmax, steps=config.max_steps):
        if converged:
            status = Status.CONVERGED
        elif time.monotonic() - began > config.max_seconds:
            status = Status.TIMEOUT
            break
        elif not np.isfinite(atoms.get_positions()).all():
            break
    forces = np.asarray(subject.get_forces()).reshape(-1, 3)
    if config.max_steps == 0:
        status = Status.CONVERGED  # a single point was asked for, and taken
    return status, int(optimizer.nsteps), float(np.sqrt((forces**2).sum(axis=1).max()))


def _computable(atoms: Any) -> bool:
    """Whether the calculator has produced an energy at all for these atoms."""
    results = getattr(atoms.calc, "results", None) or {}
    return bool(np.isfinite(results.get("energy", np.nan)))


def as_row(task: Arrays, result: Relaxation | Lost) -> Relaxation:
    """The result of a task; of a lost one, that it timed out or took its worker along."""
    if isinstance(result, Relaxation):
        return result
    status = Status.TIMEOUT if result.timed_out else Status.EXPLODED
    lattice, _, frac_coords = task
    return Relaxation(
        status, result.reason, np.nan, 0, np.nan, result.seconds, lattice, frac_coords
    )


def collect(given: Crystals, results: list[Relaxation]) -> Evaluations:
    """Results in columns; where a geometry came to nothing, the crystal as it was given."""
    whole = [
        bool(
            np.isfinite(r.lattice).all()
            and np.isfinite(r.frac_coords).all()
            and abs(np.linalg.det(r.lattice)) > 1e-3
        )
        for r in results
    ]
    relaxed = Crystals.concatenate(
        [
            Crystals.single(r.lattice, given.arrays(i)[1], r.frac_coords) if ok else given[i]
            for i, (r, ok) in enumerate(zip(results, whole, strict=True))
        ]
    )
    return Evaluations(
        relaxed=relaxed,
        status=np.array([r.status.value for r in results], dtype=object),
        message=np.array([r.message for r in results], dtype=object),
        energy_per_atom=np.array([r.energy_per_atom for r in results], dtype=np.float64),
        steps=np.array([r.steps for r in results], dtype=np.int64),
        fmax=np.array([r.fmax for r in results], dtype=np.float64),
        seconds=np.array([r.seconds for r in results], dtype=np.float64),
    )

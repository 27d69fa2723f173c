"""Evaluators: candidates in, relaxed crystals and energies of one energy scheme out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from gnomon.crystals import Crystals
from gnomon.dynamics.result import Relaxation, Status
from gnomon.hull.phases import Phases

__all__ = ["Evaluations", "Evaluator", "Status"]


@dataclass(frozen=True, eq=False)
class Evaluations:
    """Results for n crystals, in the order in which they were given.

    Attributes:
        scheme: energy scheme of all energies.
        ids: (n,), of the crystals as they were given.
        relaxed: the crystals as the evaluation left them; as given where nothing came back.
        status: (n,), ``Status`` values.
        message: (n,), what went wrong or is to be known, or empty.
        energy_per_atom: (n,), eV/atom in the scheme; NaN where there is none.
        steps: (n,), relaxation steps.
        fmax: (n,), the largest force left, the stress counted through the cell filter, eV/Å.
        seconds: (n,), wall time of each.
        forces: (atoms, 3), eV/Å, of the atoms of ``relaxed``; NaN where they are not known.
        stress: (n, 3, 3), eV/Å3, positive under tension; NaN where it is not known.

    >>> copper = Crystals.single([[0, 1.8, 1.8], [1.8, 0, 1.8], [1.8, 1.8, 0]], [29], [[0, 0, 0]])
    >>> ended = Relaxation(copper, Status.CONVERGED, energy_per_atom=-3.7)
    >>> found = Evaluations.of([ended], copper.ids, "PBE by hand")
    >>> found.scheme, found.status.tolist(), found.energy_per_atom.tolist()
    ('PBE by hand', ['converged'], [-3.7])
    """

    scheme: str
    ids: Shaped[np.ndarray, " n"]
    relaxed: Crystals
    status: Shaped[np.ndarray, " n"]
    message: Shaped[np.ndarray, " n"]
    energy_per_atom: Float64[np.ndarray, " n"]
    steps: Int64[np.ndarray, " n"]
    fmax: Float64[np.ndarray, " n"]
    seconds: Float64[np.ndarray, " n"]
    forces: Float64[np.ndarray, "atoms 3"]
    stress: Float64[np.ndarray, "n 3 3"]

    def __len__(self) -> int:
        """How many crystals were evaluated."""
        return len(self.ids)

    @classmethod
    def of(
        cls, results: Sequence[Relaxation], ids: Shaped[np.ndarray, " n"], scheme: str
    ) -> Evaluations:
        """Results of several crystals in columns.

        Args:
            results: as they ended.
            ids: (n,), of the crystals as they were given.
            scheme: energy scheme of the energies.
        """
        forces = [
            np.full((len(r.crystal.atomic_numbers), 3), np.nan) if r.forces is None else r.forces
            for r in results
        ]
        stress = [np.full((3, 3), np.nan) if r.stress is None else r.stress for r in results]
        return cls(
            scheme=scheme,
            ids=ids,
            relaxed=Crystals.concatenate([r.crystal for r in results]),
            status=np.array([r.status.value for r in results], dtype=object),
            message=np.array([r.message for r in results], dtype=object),
            energy_per_atom=np.array([r.energy_per_atom for r in results], dtype=np.float64),
            steps=np.array([r.steps for r in results], dtype=np.int64),
            fmax=np.array([r.fmax for r in results], dtype=np.float64),
            seconds=np.array([r.seconds for r in results], dtype=np.float64),
            forces=np.concatenate([np.zeros((0, 3)), *forces]),
            stress=np.array(stress, dtype=np.float64).reshape(-1, 3, 3),
        )

    def phases(self) -> Phases:
        """The converged crystals as phases of a hull, by the ids of what was given.

        >>> from ase.build import bulk
        >>> from gnomon.io import as_crystals
        >>> cells = as_crystals([bulk("Cu"), bulk("Au")])
        >>> ended = [Relaxation(cell, Status.CONVERGED, energy_per_atom=-3.0) for cell in cells]
        >>> ids = np.array(["copper", "gold"], dtype=object)
        >>> Evaluations.of(ended, ids, "by hand").phases().formation_energy_per_atom.tolist()
        [0.0, 0.0]

        Returns:
            Formation energies in eV/atom of the scheme; the lowest of each element among the rows
            is its reference.

        Raises:
            MissingElementError: if no crystal of an element by itself converged.
        """
        kept = self.status == Status.CONVERGED.value
        found = Phases.of(self.relaxed[kept], self.energy_per_atom[kept], self.scheme)
        return replace(found, ids=self.ids[kept])

    @classmethod
    def concatenate(cls, parts: Sequence[Evaluations]) -> Evaluations:
        """Several parts as one; at least one.

        Raises:
            ValueError: if they are of different energy schemes.
        """
        schemes = {part.scheme for part in parts}
        if len(schemes) != 1:
            raise ValueError(f"evaluations of different energy schemes: {sorted(schemes)}")
        columns = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name not in ("scheme", "relaxed")
        }
        relaxed = Crystals.concatenate([part.relaxed for part in parts])
        return cls(scheme=parts[0].scheme, relaxed=relaxed, **columns)


@runtime_checkable
class Evaluator(Protocol):
    """Anything that verifies candidates: two members, and nothing else is asked of it.

    >>> from gnomon.evaluate.by_name import evaluator
    >>> isinstance(evaluator("ase:ase.calculators.emt.EMT"), Evaluator)
    True
    """

    @property
    def scheme(self) -> str:
        """Name of the energy scheme: energies of two schemes never share a hull."""

    def evaluate(self, crystals: Crystals) -> Iterator[Evaluations]:
        """Yield results in the order of the crystals, in parts of any size, as they come in.

        A crystal that cannot be evaluated has a row with a status, and stops no other.

        Args:
            crystals: n of them; evaluators of gnomon take what ``gnomon.io.as_crystals`` takes.
        """

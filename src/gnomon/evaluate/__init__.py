"""Evaluators: candidates in, relaxed crystals and energies of one energy scheme out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from gnomon.crystals import Crystals
from gnomon.dynamics.result import Relaxation, Status

__all__ = ["Evaluations", "Evaluator", "Status"]


@dataclass(frozen=True, eq=False)
class Evaluations:
    """Results for n crystals, in the order in which they were given.

    Attributes:
        relaxed: the crystals as the evaluation left them; as given where nothing came back.
        status: (n,), ``Status`` values.
        message: (n,), what went wrong, or empty.
        energy_per_atom: (n,), eV/atom in the evaluator's scheme; NaN where there is none.
        steps: (n,), relaxation steps.
        fmax: (n,), the largest force left, the stress counted through the cell filter, eV/Å.
        seconds: (n,), wall time of each.
    """

    relaxed: Crystals
    status: Shaped[np.ndarray, " n"]
    message: Shaped[np.ndarray, " n"]
    energy_per_atom: Float64[np.ndarray, " n"]
    steps: Int64[np.ndarray, " n"]
    fmax: Float64[np.ndarray, " n"]
    seconds: Float64[np.ndarray, " n"]

    @classmethod
    def of(cls, results: Sequence[Relaxation]) -> Evaluations:
        """Results of several crystals in columns."""
        return cls(
            relaxed=Crystals.concatenate([r.crystal for r in results]),
            status=np.array([r.status.value for r in results], dtype=object),
            message=np.array([r.message for r in results], dtype=object),
            energy_per_atom=np.array([r.energy_per_atom for r in results], dtype=np.float64),
            steps=np.array([r.steps for r in results], dtype=np.int64),
            fmax=np.array([r.fmax for r in results], dtype=np.float64),
            seconds=np.array([r.seconds for r in results], dtype=np.float64),
        )


@runtime_checkable
class Evaluator(Protocol):
    """Anything that verifies candidates."""

    @property
    def scheme(self) -> str:
        """Name of the energy scheme: energies of two schemes never share a hull."""
        ...

    def evaluate(self, crystals: Crystals, *, chunk: int) -> Iterator[Evaluations]:
        """Yield results for consecutive chunks of the crystals as they come in."""
        ...

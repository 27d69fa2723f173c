"""Evaluators: candidates in, relaxed crystals and energies of one energy scheme out."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from gnomon.crystals import Crystals


class Status(StrEnum):
    """How the evaluation of one crystal ended."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not_converged"
    EXPLODED = "exploded"
    TIMEOUT = "timeout"
    INVALID_INPUT = "invalid_input"


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

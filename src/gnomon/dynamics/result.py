"""What comes of relaxing a crystal, whoever relaxes it."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float

from gnomon.crystals import Crystals


class Status(StrEnum):
    """How the evaluation of one crystal ended; only ``converged`` ones are phases of a hull.

    >>> Status.CONVERGED == "converged"
    True
    """

    CONVERGED = "converged"
    NOT_CONVERGED = "not_converged"
    EXPLODED = "exploded"
    TIMEOUT = "timeout"
    INVALID_INPUT = "invalid_input"
    ISOLATED = "isolated"
    """An atom sees no neighbour: it feels no force for want of company, not at a minimum."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """How the relaxation of one crystal ended.

    Attributes:
        crystal: as the relaxation left it; as given where nothing came back.
        status, message: how it ended, and what went wrong, or empty.
        energy_per_atom: eV/atom; NaN where there is none.
        steps: of the relaxation.
        fmax: the largest force left, the stress counted through the cell filter, eV/Å.
        seconds: wall time.
        forces, stress: eV/Å; eV/Å3, positive under tension; None where they are not known.
    """

    crystal: Crystals
    status: Status
    message: str = ""
    energy_per_atom: float = np.nan
    steps: int = 0
    fmax: float = np.nan
    seconds: float = 0.0
    forces: Float[np.ndarray, "atoms 3"] | None = None
    stress: Float[np.ndarray, "3 3"] | None = None

"""Energy models: crystals in, formation energies per atom with an uncertainty out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from gnomon.crystals import Crystals


@dataclass(frozen=True, eq=False)
class Predictions:
    """Formation energies per atom (eV/atom) of n crystals by the members of an ensemble.

    >>> members = np.array([[-1.0, -0.2], [-1.1, -0.6], [-1.2, -0.1]])
    >>> found = Predictions(members, np.array(["", ""], dtype=object))
    >>> found.median.tolist(), found.iqr.round(3).tolist()
    ([-1.1, -0.2], [0.1, 0.25])

    Attributes:
        members: (m, n), one row a member, eV/atom; NaN where a crystal cannot be predicted.
        reasons: (n,), why not, in words; empty where there is a prediction.
    """

    members: Float64[np.ndarray, "m n"]
    reasons: Shaped[np.ndarray, " n"]

    @staticmethod
    def concatenate(parts: "Sequence[Predictions]") -> "Predictions":
        """Those of several batches by the same members, in order."""
        return Predictions(
            np.concatenate([p.members for p in parts], axis=1),
            np.concatenate([p.reasons for p in parts]),
        )

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.reasons)

    @property
    def predicted(self) -> Bool[np.ndarray, " n"]:
        """Which crystals have a prediction."""
        return self.reasons == ""

    @cached_property
    def median(self) -> Float64[np.ndarray, " n"]:
        """The prediction: the median over members, eV/atom (Merchant et al. 2023, Methods)."""
        return np.median(self.members, axis=0)

    @cached_property
    def iqr(self) -> Float64[np.ndarray, " n"]:
        """The uncertainty: the inter-quartile range over members, eV/atom.

        Quartiles are interpolated linearly: of two members it is half their difference, of one 0.
        """
        low, high = np.quantile(self.members, [0.25, 0.75], axis=0)
        return high - low


@runtime_checkable
class EnergyModel(Protocol):
    """Anything that predicts formation energies per atom, of one energy scheme.

    >>> from gnomon.models.ensemble import load_model
    >>> isinstance(load_model("composition-1"), EnergyModel)
    True
    """

    @property
    def scheme(self) -> str:
        """Name of the energy scheme."""

    def predict(self, crystals: Crystals) -> Predictions:
        """Predictions for every crystal, in order: eV/atom, NaN with a reason where there is none.

        Args:
            crystals: n of them; models of gnomon take what ``gnomon.io.as_crystals`` takes.
        """

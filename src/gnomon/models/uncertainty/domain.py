"""Domain of a model: how far a crystal lies, to the networks, from those they were trained on.

What the readouts of all members see of a crystal is joined to one vector, whitened on training rows
(principal axes, each divided by its standard deviation), and the distance to the nearest of up to
``REFERENCES`` of those rows is its strangeness.  Joining the members matters: where they are sure,
their features move together, and a crystal that parts them lies far out in directions of little
variance.

How well that works, on a small ensemble (5 members of width 32, MAE 43 meV/atom), as the area under
the curve against held-out Materials Project crystals and the share flagged beside their 5 %:
elements shuffled between crystals 0.81 and 27 %, crystals of the WBM set 0.62 and 11 %, atoms
rattled by 0.1 Å and volumes off by up to 15 % 0.52 and 6 %.  In a first comparison one member
found less of the shuffled than all did (0.76 for 0.89), and the Mahalanobis distance to the mean of
all rows nothing (0.46).  A crystal that is not flagged can be wrong all the same: a wide interval
is the stronger warning.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float16, Float32, Float64

REFERENCES = 2000
"""Training rows that are kept, in float16."""

SAMPLE = 8000
"""Training rows that say which directions vary, and how much; the references are among them."""

COMPONENTS = 128
"""Principal axes that are kept; 32 and 64 found less, and all of them no more (measured)."""

RIDGE = 1e-4
"""Of the largest variance, added to each: directions that hold only rounding stay small."""

QUANTILE = 0.95
"""Of held-out rows, whose distance is the threshold: so many of the like of them pass."""

CHUNK = 2048
"""Crystals whose distances to all references are in memory at a time."""


@dataclass(frozen=True, eq=False)
class Domain:
    """Where the training rows lie.

    Attributes:
        center, axes: whitened coordinates are ``(embedding - center) @ axes``.
        references: whitened coordinates of training rows.
        threshold: distances beyond it are out of distribution.
    """

    center: Float32[np.ndarray, " features"]
    axes: Float32[np.ndarray, "features k"]
    references: Float16[np.ndarray, "r k"]
    threshold: float

    def coordinates(
        self, embeddings: Float32[np.ndarray, "n features"]
    ) -> Float64[np.ndarray, "n k"]:
        """Whitened coordinates, in standard deviations over training rows."""
        return np.asarray((embeddings - self.center).astype(np.float64) @ self.axes)

    def distances(self, embeddings: Float32[np.ndarray, "n features"]) -> Float64[np.ndarray, " n"]:
        """Distance to the nearest reference in standard deviations; NaN for rows of NaN."""
        references = self.references.astype(np.float64)
        squares = (references**2).sum(axis=1)
        out = np.full(len(embeddings), np.nan)
        for start in range(0, len(embeddings), CHUNK):
            x = self.coordinates(embeddings[start : start + CHUNK])
            square = (x**2).sum(axis=1)[:, None] - 2 * x @ references.T + squares
            # a NaN is the least of its row, and stays one
            out[start : start + CHUNK] = np.sqrt(np.maximum(square.min(axis=1), 0))
        return out

    def outside(self, distances: Float64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which distances are out of distribution; without a distance it is."""
        return ~(distances <= self.threshold)


def fit_domain(
    training: Float32[np.ndarray, "r features"],
    held_out: Float32[np.ndarray, "h features"],
    quantile: float = QUANTILE,
) -> Domain:
    """The domain that training rows span, with a threshold from held-out rows.

    Args:
        training: in random order: the first ``REFERENCES`` are kept.
        held_out: rows like those that will count as within.
        quantile: of the held-out distances, which is the threshold.

    Raises:
        ValueError: if fewer than two training rows or no held-out row have an embedding.
    """
    training = training[np.isfinite(training).all(axis=1)]
    held_out = held_out[np.isfinite(held_out).all(axis=1)]
    if len(training) < 2 or not len(held_out):
        raise ValueError(
            f"{len(training)} training and {len(held_out)} held-out rows have an embedding: a "
            "domain needs two and one at least; give the data that the model was trained on"
        )
    center = training.mean(axis=0)
    covariance = np.atleast_2d(np.cov(training.astype(np.float64), rowvar=False))
    variance, directions = np.linalg.eigh(covariance)
    if not variance[-1] > 0:
        raise ValueError("all training rows have the same embedding: a domain needs different ones")
    scale = np.sqrt(np.maximum(variance, 0) + RIDGE * variance[-1])
    axes = (directions / scale)[:, ::-1][:, :COMPONENTS].astype(np.float32)
    references = ((training[:REFERENCES] - center) @ axes).astype(np.float16)
    domain = Domain(center, axes, references, np.inf)
    threshold = float(np.quantile(domain.distances(held_out), quantile))
    return Domain(center, axes, references, threshold)

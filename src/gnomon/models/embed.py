"""Embeddings: where the networks put a crystal, so that crystals which are alike lie together.

What the readouts of all members see is written in the whitened axes of the model's domain
(``gnomon.models.uncertainty.domain``), which its calibration keeps: they were fitted on training
rows once, so a crystal has the same numbers whatever it is asked with.  Nothing in it is random.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from pydantic import BaseModel, ConfigDict

from gnomon.io.objects import as_crystals
from gnomon.models.bundled import STRUCTURAL, model_path
from gnomon.models.structural.model import CHUNK, StructuralModel
from gnomon.models.uncertainty.calibration import calibration_path, load_calibration
from gnomon.run.files import sha256_of
from gnomon.run.listener import SILENT, Listener


class EmbeddingCard(BaseModel):
    """What embeddings were made with: those of two different cards have nothing in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    model_sha256: str
    scheme: str
    members: int
    features: int
    """Numbers that the readouts of all members see."""
    dimensions: int
    """Whitened axes that are kept of them."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """n crystals as the networks see them.

    Attributes:
        values: (n, d), in standard deviations over training rows; NaN where the networks have
            nothing to say of a crystal.
        card: what made them.
    """

    values: Float32[np.ndarray, "n d"]
    card: EmbeddingCard


class Embedder:
    """A structural ensemble with the axes of its domain."""

    def __init__(self, model: str | Path = STRUCTURAL) -> None:
        """Read the networks and the axes.

        Args:
            model: one in the package, or a file with its calibration beside it.

        Raises:
            FileNotFoundError: if the model or its calibration is not there.
            ValueError: if a file is damaged, no structural model, or the calibration has no domain.
        """
        path = model_path(model)
        self._networks = StructuralModel.load(path)
        sha256 = sha256_of(path)
        domain = load_calibration(calibration_path(path), sha256).domain
        if domain is None:
            raise ValueError(f"{calibration_path(path)} keeps no domain: calibrate {model} anew")
        self._domain = domain
        features, dimensions = domain.axes.shape
        self.card = EmbeddingCard(
            model=path.stem,
            model_sha256=sha256,
            scheme=self._networks.scheme,
            members=self._networks.members,
            features=features,
            dimensions=dimensions,
        )

    def embed(self, crystals: Any, listener: Listener = SILENT) -> Embeddings:
        """Embeddings of crystals, in order.

        Args:
            crystals: whatever ``gnomon.io.as_crystals`` takes.
            listener: hears of progress.
        """
        given = as_crystals(crystals)
        out = np.empty((len(given), self.card.dimensions), np.float32)
        for start in range(0, len(given), CHUNK):
            seen = self._networks.embed(given[start : start + CHUNK])
            out[start : start + CHUNK] = self._domain.coordinates(seen)
            listener.tick("embedding", min(start + CHUNK, len(given)), len(given))
        return Embeddings(out, self.card)


def embed(crystals: Any, model: str | Path = STRUCTURAL) -> Embeddings:
    """Crystals as the networks of a model see them; near ones are alike.

    >>> from ase.build import bulk
    >>> salt, potash = bulk("NaCl", "rocksalt", a=5.64), bulk("KCl", "rocksalt", a=6.29)
    >>> found = embed([salt, potash, bulk("Cu"), salt * (2, 1, 1)]).values
    >>> x = found / np.linalg.norm(found, axis=1, keepdims=True)
    >>> bool(x[0] @ x[1] > x[0] @ x[2]), bool(np.allclose(x[0], x[3], atol=1e-4))
    (True, True)

    Args:
        crystals: n of them: whatever ``gnomon.io.as_crystals`` takes.
        model: a structural one in the package, or a file with its calibration beside it.

    Raises:
        FileNotFoundError: if the model or its calibration is not there.
        ValueError: if a file is not what it should be.
    """
    return Embedder(model).embed(crystals)

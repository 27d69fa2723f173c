"""The card of a trained model: what it is, what it was trained on, what it was measured to do."""

import hashlib
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from gnomon.run.stamp import Stamp

Errors = TypeVar("Errors", bound=BaseModel)


class Card(BaseModel, Generic[Errors]):
    """What every trained model says of itself; kinds of models add to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    scheme: str
    """Energy scheme of the labels, or the property and its unit."""
    data: str
    data_sha256: str
    """Of the data as arrays."""
    rows: int
    train_rows: int
    split: str
    config: dict[str, Any]
    validation: Errors | None
    """Measured on rows that trained nothing."""
    wall_seconds: float
    stamp: Stamp

    @property
    def key(self) -> dict[str, Any]:
        """The ``run_key`` of the training."""
        return self.model_dump(mode="json", include={"data_sha256", "scheme", "config"})


def run_key(columns: Sequence[np.ndarray], config: BaseModel, scheme: str) -> dict[str, Any]:
    """What makes two trainings the same: data (a hash of its arrays), settings, energy scheme."""
    return {
        "data_sha256": sha256_of_arrays(columns),
        "scheme": scheme,
        "config": config.model_dump(mode="json"),
    }


def sha256_of_arrays(columns: Sequence[np.ndarray]) -> str:
    """Checksum of the bytes of arrays, in hexadecimal."""
    digest = hashlib.sha256()
    for array in columns:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

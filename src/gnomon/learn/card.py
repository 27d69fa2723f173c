"""The card of a trained model: what it is, what it was trained on, what it was measured to do."""

import os
import platform
from typing import Any

import jax
from pydantic import BaseModel, ConfigDict


class Validation(BaseModel):
    """Mean absolute errors on the validation rows, eV/atom, beside those of simpler predictors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    unpredicted: int
    """Rows without a prediction; they are in no error."""
    mae: float
    """Of the median over members."""
    mae_of_members: tuple[float, ...]
    median_iqr: float
    """Of the uncertainty; half of the rows have a smaller one."""
    mae_of_elements: float
    """Of the best sum of energies of the elements (ridge regression on the training rows)."""
    mae_of_mean: float
    """Of the mean of the training rows, whatever the crystal."""


class ModelCard(BaseModel):
    """What a trained model is; energies in eV/atom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    scheme: str
    data: str
    data_sha256: str
    """Of the crystals and energies as arrays."""
    rows: int
    train_rows: int
    split: str
    seed: int
    members: int
    train_mae: float
    validation: Validation | None
    config: dict[str, Any]
    gnomon_version: str
    git_commit: str | None
    wall_seconds: float
    machine: str
    trained_at: str


def machine() -> str:
    """The machine that runs, in words."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {jax.devices()[0].device_kind}"

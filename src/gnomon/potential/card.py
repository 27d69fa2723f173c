"""The card of a potential that gnomon trained: what it is, of what, and how well it does."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, ConfigDict

from gnomon.potential.validate import Validation
from gnomon.run.stamp import git_commit, stamp

PACKAGES = ("gnomon", "jax", "jaxlib", "equinox", "optax", "e3nn-jax", "numpy")
"""Packages whose versions the card names."""


class PotentialCard(BaseModel):
    """What a trained potential is, what it was trained on, what it was measured to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = "potential"
    scheme: str
    """Energy scheme of the labels: total energies (eV) as their source gives them."""
    data: str
    data_sha256: str
    """Of frames, labels and settings of the split, as arrays."""
    train_frames: int
    train_first_frames: int
    """Unrelaxed starts of relaxations among them."""
    train_atoms: int
    train_formulas: int
    validation_frames: int
    validation_unknown: int
    """Frames that could validate but hold an element that never trained; they are in no error."""
    split: str
    elements: int
    parameters: int
    started_from: str | None
    """Name and sha256 of the weights that training went on from."""
    validation: Validation | None
    config: dict[str, Any]
    finished: bool
    epochs: float
    steps: int
    wall_seconds: float
    command: str | None
    versions: dict[str, str]
    git_commit: str | None
    machine: str
    trained_at: str


def circumstances() -> dict[str, Any]:
    """What a card says of the place and time of its training."""
    return {
        "versions": {name: version(name) for name in PACKAGES},
        "git_commit": git_commit(),
        "machine": stamp()["machine"],
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }

"""What trainings of any network share: which run it is, going on after a kill, and the errors."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64, Int64
from pydantic import BaseModel

from gnomon.crystals import Crystals
from gnomon.learn.card import ModelCard, Validation, machine
from gnomon.learn.checkpoint import load_arrays, load_header
from gnomon.models import Predictions
from gnomon.run.stamp import git_commit

Tree = TypeVar("Tree")


def data_columns(crystals: Crystals) -> tuple[np.ndarray, ...]:
    """The arrays of a batch that, with its energies, make the data of a training."""
    return crystals.lattice, crystals.atomic_numbers, crystals.frac_coords, crystals.offsets


def run_key(columns: Sequence[np.ndarray], config: BaseModel, scheme: str) -> dict[str, Any]:
    """What makes two trainings the same: data (a hash of its arrays), settings, energy scheme."""
    digest = hashlib.sha256()
    for array in columns:
        digest.update(np.ascontiguousarray(array).tobytes())
    return {
        "data_sha256": digest.hexdigest(),
        "scheme": scheme,
        "config": config.model_dump(mode="json"),
    }


def check_finished(out: Path, card: ModelCard | None, key: dict[str, Any]) -> ModelCard:
    """The card of the model in ``out``, if it is that of this run.

    Raises:
        ValueError: if it is that of another run.
    """
    if card is None or key != {
        "data_sha256": card.data_sha256,
        "scheme": card.scheme,
        "config": card.config,
    }:
        raise ValueError(
            f"{out} holds a model of other data or settings: choose another file, or delete it"
        )
    return card


def resume(partial: Path, key: dict[str, Any], state: Tree) -> tuple[Tree, int, float]:
    """State, epochs behind and seconds spent of an unfinished training, or of none.

    Raises:
        ValueError: if the unfinished training is another run.
    """
    if not partial.exists():
        return state, 0, 0.0
    header = load_header(partial)
    if header.get("run") != key:
        raise ValueError(
            f"{partial} is an unfinished training of other data or settings: delete it, or choose "
            "another file to write"
        )
    arrays = jax.tree.map(jnp.asarray, load_arrays(partial, state))
    return arrays, int(header["epoch"]), float(header["seconds"])


def measure(
    predicted: Predictions,
    baseline: Float64[np.ndarray, " n"],
    energies: Float64[np.ndarray, " n"],
    rows: Int64[np.ndarray, " v"],
    shift: float,
) -> Validation | None:
    """Errors on those of the validation rows that have a prediction, None if there are none.

    Args:
        predicted: of all rows.
        baseline: what the elements alone say of all rows, eV/atom.
        energies: the truth of all rows, eV/atom.
        rows: which validate.
        shift: mean of the training rows, eV/atom.
    """
    known = rows[predicted.predicted[rows]]
    if not len(known):
        return None
    truth = energies[known]
    return Validation(
        rows=len(rows),
        unpredicted=len(rows) - len(known),
        mae=float(np.abs(predicted.median[known] - truth).mean()),
        mae_of_members=tuple(np.abs(predicted.members[:, known] - truth).mean(axis=1).tolist()),
        median_iqr=float(np.median(predicted.iqr[known])),
        mae_of_elements=float(np.abs(baseline[known] - truth).mean()),
        mae_of_mean=float(np.abs(shift - truth).mean()),
    )


def provenance(key: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What a card says of the run and of the code and the machine that made the model."""
    return {
        **key,
        "wall_seconds": round(seconds, 1),
        "gnomon_version": version("gnomon"),
        "git_commit": git_commit(),
        "machine": machine(),
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }

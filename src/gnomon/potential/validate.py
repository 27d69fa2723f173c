"""Errors of a potential on labelled frames."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from gnomon.io.frames import Frames
from gnomon.io.labels import Labels
from gnomon.potential.batch import Shape
from gnomon.potential.card import Errors, Validation
from gnomon.potential.network import Potential
from gnomon.potential.predict import LoadedPotential

GENTLE = 1.0
"""eV/Å; frames whose forces have a smaller rms length are relaxed or mildly perturbed."""


def validate(potential: Potential, frames: Frames, shape: Shape) -> Validation:
    """Errors on all the frames, in batches of this shape (made larger where a frame needs it)."""
    found = LoadedPotential("", "", potential).predict(frames.crystals, capacity=shape)
    return Validation(
        all=_errors(frames, found, np.arange(len(frames))),
        gentle=_errors(frames, found, np.flatnonzero(is_gentle(frames))),
    )


def is_gentle(frames: Frames) -> Bool[np.ndarray, " n"]:
    """Which frames have forces of an rms length below ``GENTLE``."""
    squares = np.add.reduceat((frames.forces**2).sum(axis=1), frames.crystals.offsets[:-1])
    return np.sqrt(squares / frames.crystals.n_atoms) < GENTLE  # NaN is not gentle


def _errors(frames: Frames, found: Labels, chosen: Int64[np.ndarray, " k"]) -> Errors:
    """Mean absolute errors on the chosen frames."""
    wanted, found = frames.take(chosen), found.take(frames.crystals.offsets, chosen)
    return Errors(
        frames=len(wanted),
        energy=_mean((found.energy - wanted.energy) / wanted.crystals.n_atoms),
        forces=_mean(found.forces - wanted.forces),
        stress=_mean(found.stress - wanted.stress),
    )


def _mean(errors: Float[np.ndarray, "*any"]) -> float | None:
    """Of the magnitudes, NaN left out."""
    finite = errors[np.isfinite(errors)]
    return float(np.abs(finite).mean()) if len(finite) else None

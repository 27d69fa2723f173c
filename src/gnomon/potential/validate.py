"""Errors of a potential on labelled frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from gnomon.io.frames import Frames
from gnomon.potential.batch import Shape
from gnomon.potential.card import Errors, Validation
from gnomon.potential.loader import Samples, fill, stream
from gnomon.potential.network import Potential
from gnomon.potential.predict import compiled

GENTLE = 1.0
"""eV/Å; frames whose forces have a smaller rms length are relaxed or mildly perturbed."""


class _Sums(NamedTuple):
    """Absolute errors, NaN where there is no label: of each frame, component or component."""

    energy: np.ndarray
    forces: np.ndarray
    stress: np.ndarray


def validate(potential: Potential, samples: Samples, shape: Shape) -> Validation:
    """Errors on all the frames, in batches of this shape (made larger where a frame needs it)."""
    frames = samples.frames
    largest = Shape(int(frames.crystals.n_atoms.max()), int(samples.n_rows.max()), 1)
    shape = Shape(*(max(a, b) for a, b in zip(shape, largest, strict=True)))
    plan = fill(np.arange(len(frames)), samples, shape)
    gentle = is_gentle(frames)
    parts: list[_Sums] = []
    which: list[Bool[np.ndarray, " _"]] = []
    for chosen, (batch, targets) in zip(plan, stream(samples, plan, shape), strict=True):
        energy, forces, stress = (np.asarray(x) for x in compiled(potential, batch))
        k, n = len(chosen), int(frames.crystals.n_atoms[chosen].sum())
        off = np.abs(energy - targets.energy) / targets.n_atoms
        parts.append(
            _Sums(off[:k], np.abs(forces - targets.forces)[:n], np.abs(stress - targets.stress)[:k])
        )
        which.append(gentle[chosen])
    return _summary(parts, which, [frames.crystals.n_atoms[chosen] for chosen in plan])


def is_gentle(frames: Frames) -> Bool[np.ndarray, " n"]:
    """Which frames have forces of an rms length below ``GENTLE``."""
    squares = np.add.reduceat((frames.forces**2).sum(axis=1), frames.crystals.offsets[:-1])
    return np.sqrt(squares / frames.crystals.n_atoms) < GENTLE  # NaN is not gentle


def _summary(
    parts: list[_Sums],
    which: list[Bool[np.ndarray, " _"]],
    sizes: list[Int64[np.ndarray, " _"]],
) -> Validation:
    energy, forces, stress = (np.concatenate(column) for column in zip(*parts, strict=True))
    gentle = np.concatenate(which)
    of_atoms = np.repeat(gentle, np.concatenate(sizes))
    return Validation(
        all=_errors(energy, forces, stress),
        gentle=_errors(energy[gentle], forces[of_atoms], stress[gentle]),
    )


def _errors(energy: np.ndarray, forces: np.ndarray, stress: np.ndarray) -> Errors:
    def mean(values: np.ndarray) -> float | None:
        found = values[np.isfinite(values)]
        return float(found.mean(dtype=np.float64)) if len(found) else None

    return Errors(frames=len(energy), energy=mean(energy), forces=mean(forces), stress=mean(stress))

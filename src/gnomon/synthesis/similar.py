"""Which targets are made alike: a similarity of compositions learned from precursors.

A network of one hidden layer reads a composition and says, for each element that a precursor must
bring, which precursor brings it; targets whose hidden layers point the same way are made alike
(after He et al., Sci. Adv. 9, eadg8180 (2023), whose encoder is trained on masked precursors).  It
is trained where it is used, in seconds, with Adam in NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gnomon.elements import MAX_Z, electronegativities
from gnomon.synthesis.literature import FREE, Amounts, Synthesis

HIDDEN, EPOCHS, BATCH, RATE = 96, 25, 256, 4e-3
"""Width of the hidden layer; training."""

FADE = 1e-3
"""Weight decay, of which 1e-3 is best of three on syntheses of 2010 to 2012 after earlier ones."""


def features(compositions: Sequence[Amounts]) -> Float64[np.ndarray, "n f"]:
    """What the network reads: fractions, which elements are there, means of element facts."""
    n, width = len(compositions), MAX_Z + 1
    found = np.zeros((n, 2 * width + 4))
    chi = np.nan_to_num(electronegativities(), nan=1.5)
    for row, amounts in zip(found, compositions, strict=True):
        z = np.array([z for z, _ in amounts])
        x = np.array([x for _, x in amounts])
        row[z] = np.sqrt(x)
        row[width + z] = 1.0
        mean = float(chi[z] @ x)
        row[-4:] = mean, np.sqrt((chi[z] - mean) ** 2 @ x), len(z) / 4, np.log(z) @ x / 3
    return found


@dataclass(frozen=True)
class Similarity:
    """A trained network.

    Attributes:
        precursors: that it can name.
        weights: of the hidden layer, its bias, of the answers, their bias.
    """

    precursors: tuple[Amounts, ...]
    weights: tuple[np.ndarray, ...]

    def hidden(self, compositions: Sequence[Amounts]) -> Float64[np.ndarray, "n h"]:
        """The hidden layer of each composition, of length 1."""
        found = np.tanh(features(compositions) @ self.weights[0] + self.weights[1])
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def chances(self, target: Amounts) -> dict[int, dict[int, float]]:
        """For each element that must be brought: indices of precursors to probabilities."""
        hidden = np.tanh(features([target]) @ self.weights[0] + self.weights[1])
        logits = (hidden @ self.weights[2] + self.weights[3])[0]
        allowed = {z for z, _ in target} | FREE
        found = {}
        for z in needed(target):
            index = [
                i
                for i, p in enumerate(self.precursors)
                if z in {a for a, _ in p} and {a for a, _ in p} <= allowed
            ]
            if index:
                shares = np.exp(logits[index] - logits[index].max())
                found[z] = dict(zip(index, (shares / shares.sum()).tolist(), strict=True))
        return found


def needed(target: Amounts) -> tuple[int, ...]:
    """Elements of a target that precursors must bring."""
    return tuple(z for z, _ in target if z not in FREE)


def train(syntheses: Sequence[Synthesis], seed: int = 0) -> Similarity:
    """Fit a network to syntheses.

    Raises:
        ValueError: if there are none.
    """
    if not syntheses:
        raise ValueError("no synthesis to learn from")
    precursors = tuple(sorted({p for one in syntheses for p in one.precursors}))
    place = {p: i for i, p in enumerate(precursors)}
    holds = np.zeros((MAX_Z + 1, len(precursors)), bool)
    for i, p in enumerate(precursors):
        holds[[z for z, _ in p], i] = True
    rows, elements, answers = [], [], []
    for row, one in enumerate(syntheses):
        for z in needed(one.target):
            for p in one.precursors:
                if z in {a for a, _ in p}:
                    rows.append(row)
                    elements.append(z)
                    answers.append(place[p])
    x = features([one.target for one in syntheses]).astype(np.float32)
    data = (x, np.array(rows), holds, np.array(elements), np.array(answers))
    return Similarity(precursors, _fitted(*data, np.random.default_rng(seed)))


def _fitted(
    x: np.ndarray,
    rows: np.ndarray,
    holds: np.ndarray,
    elements: np.ndarray,
    answers: np.ndarray,
    random: np.random.Generator,
) -> tuple[np.ndarray, ...]:
    """Weights by Adam on the cross entropy of each element's precursor."""
    inputs, outputs = x.shape[1], holds.shape[1]
    parts = [
        random.normal(0, 1 / np.sqrt(12), (inputs, HIDDEN)),
        np.zeros(HIDDEN),
        random.normal(0, 0.1, (HIDDEN, outputs)),
        np.zeros(outputs),
    ]
    weights: list[np.ndarray] = [part.astype(np.float32) for part in parts]
    first = [np.zeros_like(w) for w in weights]
    second = [np.zeros_like(w) for w in weights]
    forbidden = np.where(holds, 0, -1e9).astype(np.float32)
    step, steps = 0, EPOCHS * (len(rows) // BATCH + 1)
    for _ in range(EPOCHS):
        order = random.permutation(len(rows))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            inside = x[rows[chosen]]
            hidden = np.tanh(inside @ weights[0] + weights[1])
            logits = hidden @ weights[2] + weights[3] + forbidden[elements[chosen]]
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            shares[np.arange(len(chosen)), answers[chosen]] -= 1
            shares /= len(chosen)
            back = (shares @ weights[2].T) * (1 - hidden**2)
            slopes = (inside.T @ back, back.sum(0), hidden.T @ shares, shares.sum(0))
            step += 1
            rate = RATE * (1 - step / (steps + 1))
            for i, slope in enumerate(slopes):
                first[i] = 0.9 * first[i] + 0.1 * slope
                second[i] = 0.99 * second[i] + 0.01 * slope**2
                size = np.sqrt(second[i] / (1 - 0.99**step)) + 1e-8
                weights[i] = weights[i] * (1 - FADE) - rate * first[i] / (1 - 0.9**step) / size
    return tuple(weights)

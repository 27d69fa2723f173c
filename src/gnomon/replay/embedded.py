"""A pretrained ensemble that learns where it errs: a Gaussian process on its own embeddings."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64

from gnomon.crystals import Crystals
from gnomon.models import Predictions
from gnomon.replay.gaussian import condition, whitened
from gnomon.replay.learners import (
    ELEMENT_PRIOR,
    IQR_OF_NORMAL,
    MODEL_NOISE,
    OFFSET_PRIOR,
    Forecast,
    Revealed,
    bootstrapped,
    forecast_of,
    named_offset,
    scheme_shifts,
)
from gnomon.replay.pool import Pool

COMPONENTS = 128
"""Principal axes of the embeddings that are kept, as for the domain of a model."""


@runtime_checkable
class EmbeddingModel(Protocol):
    """An energy model that also says what it sees of each crystal, as the structural ensemble."""

    def predict_and_embed(
        self, crystals: Crystals
    ) -> tuple[Predictions, Float32[np.ndarray, "n features"]]:
        """Predictions, and vectors that lie near where crystals are alike to the model."""
        ...


class EmbeddedLearner:
    """A trained ensemble, left as it is, plus what revealed errors say about crystals like them.

    Errors of the ensemble are a Gaussian process: linear in the fractions of the elements and in
    the offset between schemes, smooth in the ensemble's embedding.  Its scale and reach are fitted
    to the revealed answers in every round.  Each seed draws its own bootstrap of the members.
    """

    def __init__(self, model: EmbeddingModel, name: str) -> None:
        """Take a model; it predicts the pool once."""
        self.name = name
        self._model = model
        self._base: tuple[Crystals, Predictions, Float64[np.ndarray, "n k"]] | None = None

    def forecast(self, pool: Pool, revealed: Revealed, *, seed: int) -> Forecast:
        """The median of the ensemble plus the errors expected of it."""
        predictions, coordinates = self._see(pool.crystals)
        base = bootstrapped(predictions, seed)
        shifts = scheme_shifts(pool)
        fractions = pool.crystals.composition / pool.crystals.n_atoms[:, None]
        prior = np.r_[
            np.full(fractions.shape[1], ELEMENT_PRIOR), np.full(shifts.shape[1], OFFSET_PRIOR)
        ]
        errors = revealed.formation_energy_per_atom - base[revealed.index]
        told = np.isfinite(errors)
        posterior = condition(
            np.concatenate([fractions, shifts], axis=1),
            prior,
            coordinates,
            revealed.index[told],
            errors[told],
            MODEL_NOISE,
        )
        spread = np.hypot(
            np.hypot(posterior.deviation, MODEL_NOISE), predictions.iqr / IQR_OF_NORMAL
        )
        spread = np.where(predictions.predicted, spread, np.nan)
        offset = named_offset(posterior.linear, shifts.shape[1])
        return forecast_of(pool, base + posterior.mean, spread, offset)

    def _see(self, crystals: Crystals) -> tuple[Predictions, Float64[np.ndarray, "n k"]]:
        """Predictions and whitened embeddings of the pool."""
        if self._base is None or self._base[0] is not crystals:
            predictions, embeddings = self._model.predict_and_embed(crystals)
            self._base = crystals, predictions, whitened(embeddings.astype(float), COMPONENTS)
        return self._base[1:]

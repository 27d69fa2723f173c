"""What a strategy is told: energies with a spread, by a model that learns from every reveal.

Energies of the pool may come from another scheme than those of the known crystals.  The difference
is a row of coefficients, a constant and one for each anion and +U metal that corrections treat
(``linear.offset_features``), fitted each round on revealed answers and reported.  It also takes up
errors that a model makes on all compounds of an anion: the two cannot be told apart by energies.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int64

from gnomon.crystals import Crystals
from gnomon.models import EnergyModel, Predictions
from gnomon.models.card import Labelled
from gnomon.replay.gaussian import condition, whitened
from gnomon.replay.linear import OFFSET_NAMES, composition_features, fit, offset_features
from gnomon.replay.pool import Pool

if TYPE_CHECKING:
    from gnomon.models.structural.train import TrainConfig

IQR_OF_NORMAL = 1.349
"""Inter-quartile range of a normal distribution of standard deviation 1."""

OFFSET_PRIOR = 0.5
"""eV/atom for an atom fraction of 1; the largest correction of MP2020 is 0.69 (oxygen)."""

ELEMENT_PRIOR = 0.15
"""eV/atom for an atom fraction of 1: how far off a trained model may be for a pure element."""

WEIGHT_PRIOR = 5.0
"""eV/atom: formation energies are at most about this, so weights on fractions are."""

RIDGE_NOISE = 0.15
"""eV/atom that a linear model on compositions leaves unexplained, about."""

MODEL_NOISE = 0.05
"""eV/atom that a trained network leaves unexplained on crystals unlike its own, about."""


COMPONENTS = 128
"""Principal axes of the embeddings that are kept, as for the domain of a model."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a model says of every crystal of the pool, in the pool's scheme.

    Attributes:
        energy: formation energy, eV/atom; NaN where there is no prediction.
        spread: standard deviation, eV/atom.
        e_above_hull: of the known phases, eV/atom.
        offset: fitted difference pool scheme - known scheme, eV/atom for an atom fraction of 1.
    """

    energy: Float64[np.ndarray, " n"]
    spread: Float64[np.ndarray, " n"]
    e_above_hull: Float64[np.ndarray, " n"]
    offset: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Revealed:
    """Rows of the pool that were paid for, and their energies (eV/atom)."""

    index: Int64[np.ndarray, " k"]
    formation_energy_per_atom: Float64[np.ndarray, " k"]


@runtime_checkable
class Learner(Protocol):
    """Anything that learns from revealed answers."""

    name: str

    def forecast(self, pool: Pool, revealed: Revealed, *, seed: int) -> Forecast:
        """Learn from known and revealed rows; predict the whole pool."""


class RidgeLearner:
    """Composition only: linear on element fractions and products of groups.

    Each seed draws its own Bayesian bootstrap of the known rows (Rubin, Ann. Stat. 9, 130 (1981)).
    """

    name = "ridge on element fractions"

    def forecast(self, pool: Pool, revealed: Revealed, *, seed: int) -> Forecast:
        """Known and revealed rows in one regression; revealed ones carry the offset too."""
        known = composition_features(pool.known.crystals.composition)
        inside = composition_features(pool.crystals.composition)
        shifts = scheme_shifts(pool)
        n, k = len(known), shifts.shape[1]
        features = np.concatenate([known, inside[revealed.index]])
        extra = np.concatenate([np.zeros((n, k)), shifts[revealed.index]])
        targets = [pool.known.values, revealed.formation_energy_per_atom]
        rng = np.random.default_rng([seed, 0])
        weights = np.concatenate([rng.exponential(size=n), np.ones(len(revealed.index))])
        prior = np.r_[np.full(known.shape[1], WEIGHT_PRIOR), np.full(k, OFFSET_PRIOR)]
        every = np.concatenate([features, extra], axis=1)
        model = fit(every, np.concatenate(targets), prior, RIDGE_NOISE, weights)
        asked = np.concatenate([inside, shifts], axis=1)
        spread = np.hypot(RIDGE_NOISE, model.spread(asked))
        return forecast_of(pool, model.predict(asked), spread, model.mean)


@runtime_checkable
class EmbeddingModel(Protocol):
    """An energy model that also says what it sees of each crystal, as the structural ensemble."""

    def predict_and_embed(
        self, crystals: Crystals
    ) -> tuple[Predictions, Float32[np.ndarray, "n features"]]:
        """Predictions, and vectors that lie near where crystals are alike to the model."""


class CorrectedLearner:
    """A trained model, left as it is, plus what revealed errors say about those to come.

    Errors are linear in the fractions of the elements and in the offset between schemes; those of
    a model that embeds crystals also a smooth function of the embedding, a Gaussian process whose
    scale and reach are fitted in every round.  So a round costs milliseconds however large the
    model.  Each seed draws its own bootstrap of the members.
    """

    def __init__(self, model: EnergyModel, name: str) -> None:
        """Take a model; it predicts the pool once."""
        self.name = name
        self._model = model
        self._base: tuple[Crystals, Predictions, Float64[np.ndarray, "n k"] | None] | None = None

    def forecast(self, pool: Pool, revealed: Revealed, *, seed: int) -> Forecast:
        """The model's median plus the errors expected of it."""
        predictions, coordinates = self._see(pool.crystals)
        base, shifts = bootstrapped(predictions, seed), scheme_shifts(pool)
        fractions = pool.crystals.fractions
        features = np.concatenate([fractions, shifts], axis=1)
        prior = np.r_[
            np.full(fractions.shape[1], ELEMENT_PRIOR), np.full(shifts.shape[1], OFFSET_PRIOR)
        ]
        errors = revealed.formation_energy_per_atom - base[revealed.index]
        told = np.isfinite(errors)
        rows, targets = revealed.index[told], errors[told]
        if coordinates is None:
            line = fit(features[rows], targets, prior, MODEL_NOISE)
            expected, weights, deviation = line.predict(features), line.mean, np.zeros(len(base))
        else:
            found = condition(features, prior, coordinates, rows, targets, MODEL_NOISE)
            expected, weights, deviation = found.mean, found.linear, found.deviation
        # what the bootstrap of the members must not hide: how far all of them lie apart
        apart = predictions.iqr / IQR_OF_NORMAL
        spread = np.hypot(np.hypot(deviation, MODEL_NOISE), apart)
        return forecast_of(pool, base + expected, spread, weights)

    def _see(self, crystals: Crystals) -> tuple[Predictions, Float64[np.ndarray, "n k"] | None]:
        """Predictions of the pool, and whitened embeddings where the model has any."""
        if self._base is None or self._base[0] is not crystals:
            if isinstance(self._model, EmbeddingModel):
                predictions, seen = self._model.predict_and_embed(crystals)
                self._base = crystals, predictions, whitened(seen.astype(float), COMPONENTS)
            else:
                self._base = crystals, self._model.predict(crystals), None
        return self._base[1:]


class StructuralLearner:
    """The structural ensemble, trained anew every round on known and revealed rows.

    The offset is fitted to the errors of the ensemble of round 0, which saw known rows only;
    revealed energies learn without it and predictions get it back, so schemes never mix.
    """

    def __init__(self, config: TrainConfig, folder: Path, known_rows: int) -> None:
        """Models go into the folder; at most ``known_rows`` known crystals, drawn by the seed."""
        self._config, self._folder, self._known_rows = config, folder, known_rows
        settings = hashlib.sha256(f"{config.model_dump_json()} {known_rows}".encode())
        self.name = f"structural ensemble, trained every round ({settings.hexdigest()[:12]})"

    def forecast(self, pool: Pool, revealed: Revealed, *, seed: int) -> Forecast:
        """Train, or take the finished model of the same rows, and predict."""
        nothing = np.zeros(0, np.int64)
        first = self._train(pool, nothing, np.zeros(0), seed).median
        shifts = scheme_shifts(pool)
        errors = revealed.formation_energy_per_atom - first[revealed.index]
        told = np.isfinite(errors)
        prior = np.full(shifts.shape[1], OFFSET_PRIOR)
        model = fit(shifts[revealed.index[told]], errors[told], prior, MODEL_NOISE)
        shift = model.predict(shifts)
        labels = revealed.formation_energy_per_atom - shift[revealed.index]
        found = self._train(pool, revealed.index, labels, seed)
        spread = np.hypot(found.iqr / IQR_OF_NORMAL, MODEL_NOISE)
        return forecast_of(pool, found.median + shift, spread, model.mean)

    def _train(
        self, pool: Pool, rows: np.ndarray, labels: Float64[np.ndarray, " k"], seed: int
    ) -> Predictions:
        from gnomon.models.ensemble import train_into
        from gnomon.models.structural.train import train

        known = pool.known
        count = min(self._known_rows, len(known))
        drawn = np.random.default_rng([seed, 1]).choice(len(known), count, replace=False)
        key = hashlib.sha256(np.sort(rows).tobytes()).hexdigest()[:12]
        path = self._folder / f"seed={seed:03d}-{key}.gnomon"
        path.parent.mkdir(parents=True, exist_ok=True)
        data = Labelled(
            Crystals.concatenate([known.crystals.take(drawn), pool.crystals.take(rows)]),
            np.concatenate([known.values[drawn], labels]),
            scheme=known.scheme,
        )
        model = train_into(path, train, data, self._config.model_copy(update={"seed": seed}))
        return model.predict(pool.crystals)


def bootstrapped(predictions: Predictions, seed: int) -> Float64[np.ndarray, " n"]:
    """Median over members drawn with replacement, eV/atom: what tells seeds apart."""
    rng = np.random.default_rng([seed, 0])
    members = predictions.members
    return np.median(members[rng.integers(len(members), size=len(members))], axis=0)


def scheme_shifts(pool: Pool) -> Float64[np.ndarray, "n k"]:
    """Columns of the offset; none where pool and known crystals share a scheme."""
    if pool.scheme == pool.known.scheme:
        return np.zeros((len(pool), 0))
    return offset_features(pool.crystals.composition)


def forecast_of(
    pool: Pool,
    energy: Float64[np.ndarray, " n"],
    spread: Float64[np.ndarray, " n"],
    weights: Float64[np.ndarray, " f"],
) -> Forecast:
    """A forecast of energies with their distance from the known hull.

    Where the scheme of the pool is another one, the last weights are those of the offset.
    """
    offset = weights[-len(OFFSET_NAMES) :].tolist() if pool.scheme != pool.known.scheme else []
    named = dict(zip(OFFSET_NAMES, offset, strict=False))
    return Forecast(energy, spread, energy - pool.hull_energy, named)

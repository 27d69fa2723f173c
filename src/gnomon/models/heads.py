"""Heads on what the ensembles in the package see of crystals: a probability of yes, or an amount.

The bodies stay as they are, so that thousands of crystals are embedded once, in seconds, and any
number of heads is trained on them (``gnomon.learn.heads``): on bootstrap draws where all rows are
labelled, or by transductive bagging where only positive ones are known.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Float64, Shaped
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.io.objects import as_crystals
from gnomon.learn.card import Card, run_key
from gnomon.learn.fit import QUIET, Session
from gnomon.learn.heads import Heads, HeadsConfig, bags, bootstraps, out_of_bag, train_heads
from gnomon.learn.model_file import ModelFile, write_model_file
from gnomon.learn.split import SplitConfig
from gnomon.models import Predictions
from gnomon.models.card import Labelled
from gnomon.models.ensemble import load_model
from gnomon.run.stamp import stamp

Body = Literal["structural-2", "composition-1"]


class HeadsModelConfig(SplitConfig):
    """How heads learn of crystals."""

    bodies: tuple[Body, ...] = Field(
        default=("structural-2", "composition-1"),
        min_length=1,
        description="ensembles that embed crystals",
    )
    unlabelled: bool = Field(
        default=False, description="rows without a yes are unlabelled, not a no: bagging"
    )
    heads: HeadsConfig = HeadsConfig()


class ClassErrors(BaseModel):
    """On validation rows; with ``unlabelled`` negatives are the unlabelled, out of bag."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    positive: int
    negative: int
    auc: float
    """Chance that a positive row is above a negative one."""
    positive_above_half: float
    negative_above_half: float


class AmountErrors(BaseModel):
    """Mean absolute errors on validation rows, in the unit of the amount."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    mae: float
    """Of the mean over heads."""
    mae_above_zero: float
    """Of the rows whose amount is not 0."""
    mae_of_median: float
    """Of the median of the rows, whatever the crystal."""


class HeadsCard(Card[ClassErrors | AmountErrors]):
    """What trained heads are."""

    members: int


class HeadsModel:
    """Trained heads on the bodies of ensembles."""

    kind = "heads"

    def __init__(self, heads: Heads, card: HeadsCard) -> None:
        """With a card, whose settings name the bodies."""
        self.heads, self.card = heads, card
        self.config = HeadsModelConfig.model_validate(card.config)

    @property
    def scheme(self) -> str:
        """What is answered, and its unit."""
        return self.card.scheme

    def predict(self, crystals: Any) -> Predictions:
        """Answers of each head; NaN with a reason where a body sees nothing.

        Args:
            crystals: whatever ``gnomon.io.as_crystals`` takes.
        """
        features, reasons = embedded(as_crystals(crystals), self.config.bodies)
        return Predictions(self.heads.answers(features), reasons)

    def save(self, path: Path) -> None:
        """Write the model to a file, weights in half precision."""
        about = {
            "kind": self.kind,
            "features": len(self.heads.center),
            "card": self.card.model_dump(mode="json"),
        }
        write_model_file(path, about, _stored(eqx.filter(self.heads, eqx.is_array)))

    @classmethod
    def read(cls, file: ModelFile) -> HeadsModel:
        """The model in a file that ``save`` wrote."""
        card = HeadsCard.model_validate(file.about["card"])
        config = HeadsModelConfig.model_validate(card.config)
        blank = Heads.untrained(config.heads, file.about["features"])
        arrays, rest = eqx.partition(blank, eqx.is_array)
        stored = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), file.fill(_stored(arrays)))
        return cls(eqx.combine(stored, rest), card)


def _stored(heads: Any) -> Any:
    """The arrays of heads, weights in half precision."""
    halved = jax.tree.map(lambda a: np.asarray(a, np.float16), heads.readouts)
    return eqx.tree_at(lambda h: h.readouts, heads, halved)


def embedded(
    crystals: Crystals, bodies: tuple[Body, ...]
) -> tuple[Float32[np.ndarray, "n features"], Shaped[np.ndarray, " n"]]:
    """What the bodies see of crystals, side by side, and why they see nothing (else empty)."""
    parts, reasons = [], np.full(len(crystals), "", dtype=object)
    for name in bodies:
        body = load_model(name)
        part = body.embed(crystals)
        blind = np.flatnonzero(~np.isfinite(part).all(axis=1) & (reasons == ""))
        reasons[blind] = body.predict(crystals[blind]).reasons
        parts.append(part)
    features = np.concatenate(parts, axis=1)
    features[reasons != ""] = np.nan
    return features, reasons


def train_on_bodies(
    data: Labelled, config: HeadsModelConfig, session: Session = QUIET
) -> HeadsModel:
    """Train heads; the model that comes out has a card.

    Args:
        data: crystals with amounts, or with 1 for yes and 0 for no or, with ``unlabelled``, for
            not known.
        config: settings.
        session: where unfinished work is kept, and who hears of it.

    Raises:
        ValueError: if too few rows train, or there is no row of either kind.
    """
    began = time.monotonic()
    features, reasons = embedded(data.crystals, config.bodies)
    known = np.flatnonzero(reasons == "")
    train, validation = (rows[np.isin(rows, known)] for rows in config.split(data.reduced_formulas))
    values, heads = data.values, config.heads
    if config.unlabelled:
        yes = values[train] > 0.5
        draws = bags(yes, ~yes, heads.rounds, heads.seed)
    else:
        draws = bootstraps(values[train], heads.rounds, heads.seed)
    trained = train_heads(features[train], draws, heads, session)
    said = trained.answers(features)
    said[:, train] = out_of_bag(said[:, train], draws.rows)
    score = mean_of_heads(said)
    errors: ClassErrors | AmountErrors | None
    if heads.answer == "amount":
        errors = amount_errors(score[validation], values[validation])
    else:
        against = known if config.unlabelled else validation
        of_yes = score[validation[values[validation] > 0.5]]
        errors = class_errors(of_yes, score[against[values[against] <= 0.5]])
    card = HeadsCard(
        kind=HeadsModel.kind,
        data=data.name,
        rows=len(data),
        train_rows=len(train),
        split=config.rule,
        members=heads.rounds,
        validation=errors,
        wall_seconds=round(time.monotonic() - began, 1),
        stamp=stamp(),
        **run_key(data.columns, config, data.scheme),
    )
    return HeadsModel(trained, card)


def mean_of_heads(said: Float64[np.ndarray, "m n"]) -> Float64[np.ndarray, " n"]:
    """Mean over the heads that say something of a row; NaN where none does."""
    heard = np.isfinite(said)
    with np.errstate(invalid="ignore"):
        return np.where(heard, said, 0).sum(axis=0) / heard.sum(axis=0)


def class_errors(
    positive: Float64[np.ndarray, " p"], negative: Float64[np.ndarray, " q"]
) -> ClassErrors | None:
    """How well scores part the two; None where there are none of either.

    >>> class_errors(np.array([0.9, 0.6, 0.2]), np.array([0.1, 0.3])).auc.__round__(3)
    0.833
    """
    positive, negative = (x[np.isfinite(x)] for x in (positive, negative))
    if not len(positive) or not len(negative):
        return None
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    upto = np.searchsorted(ordered, positive, side="right")
    return ClassErrors(
        positive=len(positive),
        negative=len(negative),
        auc=float((below + upto).mean() / 2 / len(negative)),
        positive_above_half=float((positive > 0.5).mean()),
        negative_above_half=float((negative > 0.5).mean()),
    )


def amount_errors(
    said: Float64[np.ndarray, " n"], truth: Float64[np.ndarray, " n"]
) -> AmountErrors | None:
    """Mean absolute errors; None without rows above zero."""
    if not (truth > 0).any():
        return None
    off = np.abs(said - truth)
    return AmountErrors(
        rows=len(truth),
        mae=float(off.mean()),
        mae_above_zero=float(off[truth > 0].mean()),
        mae_of_median=float(np.abs(truth - np.median(truth)).mean()),
    )

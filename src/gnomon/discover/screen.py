"""Screening: which candidates are worth an evaluation, and for each of the others the reason.

Candidates pass gates that need no model (elements, novelty of the composition, sanity), then,
where there is a network, those of predicted stability and uncertainty.  Of what is left the best of
each composition is taken (Merchant et al., Nature 624, 80 (2023), Methods), and a share of the
budget is drawn at random from all that passed the first gates: the baseline of the hit rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gnomon.chemistry.sanity import SanityConfig, insane
from gnomon.crystals import Crystals
from gnomon.elements import atomic_number, symbols


class ScreenConfig(BaseModel):
    """What is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(
        default=0.05,
        allow_inf_nan=False,
        description="predicted e_above_hull that is still worth a look, eV/atom",
    )
    max_uncertainty: float = Field(
        default=0.2, gt=0, description="inter-quartile range beyond which no prediction counts"
    )
    random_share: float = Field(
        default=0.2, ge=0, lt=1, description="share of each round drawn at random as the baseline"
    )
    objective_share: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="share of each round for the best fronts of the campaign's objectives, as the "
        "networks in the package foretell them; where stability is the only one there is none",
    )
    sanity: SanityConfig = SanityConfig()
    exclude: Annotated[tuple[str, ...], AfterValidator(symbols)] = Field(
        default=(), description="elements that no candidate may hold"
    )


@dataclass(frozen=True, eq=False)
class Verdicts:
    """The verdict on n candidates, row by row.

    Attributes:
        kept: (n,), whether the candidate may be selected by rank.
        eligible: (n,), whether it passed all gates that need no model: the pool of the baseline.
        reason: (n,), why not kept, or empty (str objects).
        wanted: rows by the objectives of a campaign, the best first.
        places: of those that are ranked, so many go to what is wanted and would not be ranked.
    """

    kept: Bool[np.ndarray, " n"]
    eligible: Bool[np.ndarray, " n"]
    reason: Shaped[np.ndarray, " n"]
    wanted: tuple[int, ...] = ()
    places: int = 0


def screen(
    crystals: Crystals,
    config: ScreenConfig,
    *,
    known: frozenset[str],
    predicted_e_above_hull: Float64[np.ndarray, " n"] | None = None,
    uncertainty: Float64[np.ndarray, " n"] | None = None,
    unpredicted: Shaped[np.ndarray, " n"] | None = None,
) -> Verdicts:
    """Apply the gates in order; the first that closes gives the reason.

    Args:
        crystals: n candidates.
        config: thresholds.
        known: reduced formulas that are not new.
        predicted_e_above_hull: (n,), eV/atom, NaN where there is no prediction; None without a
            network.
        uncertainty: (n,), eV/atom, of the predictions.
        unpredicted: (n,), why there is no prediction, or empty.
    """
    reason = np.full(len(crystals), "", dtype=object)
    excluded = [atomic_number(symbol) for symbol in config.exclude]
    _close(reason, crystals.composition[:, excluded].any(axis=1), "excluded element")
    old = np.array([formula in known for formula in crystals.reduced_formulas], dtype=bool)
    _close(reason, old, "known composition")
    open_ = np.flatnonzero(reason == "")
    reason[open_] = insane(crystals.take(open_), config.sanity)
    eligible = reason == ""
    if predicted_e_above_hull is not None and uncertainty is not None:
        if unpredicted is not None:
            for text in sorted(set(unpredicted) - {""}):
                here = np.array([given == text for given in unpredicted], dtype=bool)
                _close(reason, here, f"no prediction: {text}")
        _close(reason, np.isnan(predicted_e_above_hull), "no prediction")
        _close(
            reason,
            ~(predicted_e_above_hull <= config.threshold),
            f"predicted more than {config.threshold:g} eV/atom above the hull",
        )
        _close(
            reason,
            ~(uncertainty <= config.max_uncertainty),
            f"uncertainty above {config.max_uncertainty:g} eV/atom",
        )
    return Verdicts(kept=reason == "", eligible=eligible, reason=reason)


def _close(reason: Shaped[np.ndarray, " n"], closed: Any, why: str) -> None:
    """Note why the gate closed on those that had passed so far."""
    reason[closed & (reason == "")] = why


def select(
    groups: Sequence[str] | Shaped[np.ndarray, " n"],
    merit: Float64[np.ndarray, " n"],
    verdicts: Verdicts,
    *,
    count: int,
    random_share: float,
    one_each: bool,
    rng: np.random.Generator,
) -> Shaped[np.ndarray, " n"]:
    """Choose candidates: ``"ranked"``, ``"random"``, ``"objective"`` or None for each.

    Args:
        groups: (n,), what each belongs to: its reduced formula, or its id where none take turns.
        merit: (n,), lower is better, such as the predicted e_above_hull.
        verdicts: of ``screen``.
        count: how many to choose in all.
        random_share: share of the chosen drawn at random among the eligible.
        one_each: take only the best of each group; otherwise all groups in turn, the best of each
            first, until the count is reached.
        rng: source of the random draw.
    """
    # the baseline is in proportion to what is ranked, and never all there is
    most = min(count, max(1, round(count * (1.0 - random_share))))
    n_ranked = len(_best(groups, merit, verdicts.kept, one_each)[:most])
    n_random = round(n_ranked * random_share / (1.0 - random_share))
    n_random = min(n_random, count - n_ranked, int(verdicts.eligible.sum()))
    selection = np.full(len(merit), None, dtype=object)
    # drawn first, so that the baseline does not depend on the ranking
    selection[rng.choice(np.flatnonzero(verdicts.eligible), n_random, replace=False)] = "random"
    n_wanted = min(len(verdicts.wanted), verdicts.places, n_ranked)
    free = verdicts.kept & np.array([how is None for how in selection], dtype=bool)
    best = _best(groups, merit, free, one_each)[:n_ranked]
    selection[best[: n_ranked - n_wanted]] = "ranked"
    for row in (*verdicts.wanted, *best.tolist()):
        if n_wanted and selection[row] is None:
            selection[row] = "objective" if row in verdicts.wanted else "ranked"
            n_wanted -= 1
    return selection


def _best(
    groups: Sequence[str] | Shaped[np.ndarray, " n"],
    merit: Float64[np.ndarray, " n"],
    free: Bool[np.ndarray, " n"],
    one_each: bool,
) -> Int64[np.ndarray, " k"]:
    """Indices of the free candidates, the best of every group before any second-best."""
    rows = np.flatnonzero(free)
    rows = rows[np.argsort(merit[rows], kind="stable")]
    turns = np.zeros(len(rows), dtype=np.int64)
    seen: dict[str, int] = {}
    for k, i in enumerate(rows.tolist()):
        turns[k] = seen.get(groups[i], 0)
        seen[groups[i]] = int(turns[k]) + 1
    if one_each:
        return rows[turns == 0]
    return rows[np.argsort(turns, kind="stable")]

"""Hit rates: k of n, the interval that belongs to them, and the random baseline beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NEAR_HULL = 0.05
"""eV/atom: the screening threshold of Merchant et al. (2023); "near the hull" in every table."""

CONFIDENCE = 0.95
"""Of the intervals."""


@dataclass(frozen=True)
class Rate:
    """k of n, with the Wilson score interval of the true rate; n may be 0."""

    k: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """k / n, None where nothing was tried."""
        return self.k / self.n if self.n else None


def wilson(k: int, n: int, confidence: float = CONFIDENCE) -> Rate:
    """Wilson's score interval for k hits in n trials (J. Am. Stat. Assoc. 22, 209 (1927)).

    Unlike k/n plus or minus a standard error it stays within 0 and 1 and does not shrink to a
    point at 0 of n.  Without a trial the interval is all of 0 to 1.

    Raises:
        ValueError: if not 0 <= k <= n.

    >>> rate = wilson(8, 10)
    >>> round(rate.low, 3), round(rate.high, 3)
    (0.49, 0.943)
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} hits in {n} trials: the hits must lie between 0 and the trials")
    if n == 0:
        return Rate(0, 0, 0.0, 1.0)
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(confidence, method="wilson")
    return Rate(k, n, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class HitRate:
    """How the candidates that one selection sent to evaluation in one round turned out.

    Attributes:
        round: None for all rounds together.
        selection: ``ranked`` or ``random``.
        failed: evaluations without an energy; they count in the denominators.
        pending: selected, but not evaluated yet; they do not.
        stable: on the hull of all evaluated phases.
        near: within ``NEAR_HULL`` of it.
    """

    round: int | None
    selection: str
    failed: int
    pending: int
    stable: Rate
    near: Rate


def hit_rates(
    selected: Iterable[Mapping[str, Any]],
    evaluated: set[str],
    hull: Mapping[str, Mapping[str, Any]],
) -> list[HitRate]:
    """Hit rates of each round and selection, and over all rounds where there are several.

    Args:
        selected: screening rows (id, round, selection) of the candidates sent to evaluation.
        evaluated: ids that have an evaluation, failed or not.
        hull: hull rows (stable, e_above_hull) by id.
    """
    groups: dict[tuple[int | None, str], list[str]] = {}
    for row in selected:
        groups.setdefault((row["round"], row["selection"]), []).append(row["id"])
        groups.setdefault((None, row["selection"]), []).append(row["id"])
    several = len({number for number, _ in groups if number is not None}) > 1
    last = max((number for number, _ in groups if number is not None), default=0) + 1
    order = sorted(groups, key=lambda key: (last if key[0] is None else key[0], key[1] != "ranked"))
    return [
        _hit_rate(number, selection, groups[number, selection], evaluated, hull)
        for number, selection in order
        if several or number is not None
    ]


def comparison(hits: Sequence[HitRate]) -> str:
    """What the stable hits of the ranked and the random candidates say about the ranking.

    Rounds are taken together.  Intervals that do not overlap show a difference; intervals that do
    leave it open.
    """
    last = {hit.selection: hit.stable for hit in hits}  # the sum over rounds comes last
    ranked, random = last.get("ranked"), last.get("random")
    if ranked is None or random is None or not ranked.n or not random.n:
        return "Ranking cannot be judged yet: it takes evaluated candidates of both kinds."
    if ranked.low > random.high:
        verdict = "the intervals do not overlap: ranking finds more stable phases than chance"
    elif random.low > ranked.high:
        verdict = "the intervals do not overlap: ranking finds fewer stable phases than chance"
    else:
        verdict = "the intervals overlap: a benefit of ranking is not shown"
    return (
        f"Stable: {ranked.k} of {ranked.n} by rank, {random.k} of {random.n} at random; {verdict}."
    )


def _hit_rate(
    number: int | None,
    selection: str,
    ids: list[str],
    evaluated: set[str],
    hull: Mapping[str, Mapping[str, Any]],
) -> HitRate:
    done = [name for name in ids if name in evaluated]
    placed = [hull[name] for name in done if name in hull]
    return HitRate(
        round=number,
        selection=selection,
        failed=len(done) - len(placed),
        pending=len(ids) - len(done),
        stable=wilson(sum(bool(row["stable"]) for row in placed), len(done)),
        near=wilson(sum(row["e_above_hull"] <= NEAR_HULL for row in placed), len(done)),
    )

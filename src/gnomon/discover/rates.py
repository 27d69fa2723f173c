"""Hit rates: k of n, the interval that belongs to them, and the random baseline beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gnomon.discover.finds import NEAR_HULL

ORDER = {"ranked": 0, "objective": 1, "random": 2}
"""Of selections."""

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
        selection: ``ranked``, ``objective`` or ``random``.
        failed: evaluations without an energy; they count in the denominators.
        pending: selected, but not evaluated yet; they do not.
        stable: that ended in a new stable phase, whether the first to do so or not.
        near: within ``NEAR_HULL`` of the hull.
    """

    round: int | None
    selection: str
    failed: int
    pending: int
    stable: Rate
    near: Rate


def hit_rates(
    selected: Iterable[tuple[str, int, str]],
    evaluated: Collection[str],
    e_above_hull: Mapping[str, float],
    hits: Collection[str],
) -> list[HitRate]:
    """Hit rates of each round and selection, and over all rounds where there are several.

    Args:
        selected: (id, round, selection) of the candidates sent to evaluation.
        evaluated: ids that have an evaluation, failed or not.
        e_above_hull: of those that have an energy, eV/atom.
        hits: those that ended in a new stable phase.
    """
    groups: dict[tuple[int | None, str], list[str]] = {}
    for key, of_round, selection in selected:
        groups.setdefault((of_round, selection), []).append(key)
        groups.setdefault((None, selection), []).append(key)
    several = len({number for number, _ in groups if number is not None}) > 1
    last = max((number for number, _ in groups if number is not None), default=0) + 1
    order = sorted(
        groups, key=lambda key: (last if key[0] is None else key[0], ORDER.get(key[1], 3))
    )
    rates = []
    for number, selection in order:
        if number is None and not several:
            continue
        ids = groups[number, selection]
        done = [key for key in ids if key in evaluated]
        above = [e_above_hull[key] for key in done if key in e_above_hull]
        rates.append(
            HitRate(
                round=number,
                selection=selection,
                failed=len(done) - len(above),
                pending=len(ids) - len(done),
                stable=wilson(sum(key in hits for key in done), len(done)),
                near=wilson(sum(energy <= NEAR_HULL for energy in above), len(done)),
            )
        )
    return rates


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

"""Recipes for a target: precursors, reaction, temperature, time, and papers they come from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gnomon.elements import SYMBOLS, element_facts, parse_formula
from gnomon.synthesis.balance import Reaction, with_gases
from gnomon.synthesis.literature import Amounts, Literature, Synthesis, composition, written
from gnomon.synthesis.similar import Similarity, features, needed, train

CHOICES, BEAM = 8, 60
"""Precursors of an element that are tried, and sets that are followed."""

SOURCES = 5
"""Most similar syntheses whose conditions count, and that are named."""

LEAVES, ROUNDS, PACE, TREES = 31, 300, 0.05, 200
"""Of the boosted and the random trees that say temperatures."""

FACTS = ("melting_point", "atomic_radius", "mendeleev_no", "X", "molar_volume", "row")
"""Of elements, by pymatgen's names: what the trees read beside the composition."""

KNOWN_PRECURSORS = 100
"""Commonest precursors that the trees know by name."""


@dataclass(frozen=True)
class Recipe:
    """One way to make a target.

    Attributes:
        precursors: formulas as papers write them.
        counts: syntheses of the set that use each.
        score: natural logarithm of the probability of the set.
        reaction: balanced, gases included; None where no single reaction fits.
        temperature: highest heating, °C.
        interval: of temperature, °C: 80 % of withheld syntheses lie inside.
        hours: longest heating, median of the sources; None where none says.
        atmosphere: most usual among the sources; empty where none says.
        sources: (DOI, formula) of similar syntheses, those with these precursors first.
    """

    precursors: tuple[str, ...]
    counts: tuple[int, ...]
    score: float
    reaction: Reaction | None
    temperature: float
    interval: tuple[float, float]
    hours: float | None
    atmosphere: str
    sources: tuple[tuple[str, str], ...]


class Recipes:
    """What is learned of the literature, for any number of targets."""

    def __init__(self, literature: Literature, seed: int = 0) -> None:
        """Train on all syntheses, in half a minute.

        Raises:
            ValueError: if there are none.
        """
        self.literature = literature
        self.similarity = train(literature.syntheses, seed)
        self._hidden = self.similarity.hidden([s.target for s in literature.syntheses])
        self.heating = Heating(literature.syntheses, seed)

    def sets(self, target: Amounts, most: int = 10) -> list[tuple[float, tuple[Amounts, ...]]]:
        """The likeliest sets of precursors and their log probabilities, best first.

        Raises:
            ValueError: if no precursor of the set brings an element.
        """
        return likely_sets(self.similarity, target, most)

    def recipes(self, formula: str, target: Amounts, most: int = 10) -> list[Recipe]:
        """The likeliest recipes, best first.

        Args:
            formula: of the target, for reactions.
            target: the same as fractions.
            most: recipes.

        Raises:
            ValueError: if no precursor of the set brings an element.
        """
        near = self._hidden @ self.similarity.hidden([target])[0]
        order = np.argsort(-near, kind="stable")[:500].tolist()
        found = []
        sets = [one for one in self.sets(target, 2 * most) if target not in one[1]]
        for score, chosen in sets[:most]:
            alike = [self.literature.syntheses[i] for i in order]
            alike.sort(key=lambda one: one.precursors != chosen)
            papers = list({one.doi: one for one in alike}.values())[:SOURCES]
            names = tuple(_formula(self.literature.names[p], p) for p in chosen)
            low, middle, high = self.heating.of(target, chosen)
            hours = [one.hours for one in papers if one.hours is not None]
            gases = Counter(one.atmosphere for one in papers if one.atmosphere)
            found.append(
                Recipe(
                    names,
                    tuple(self.literature.counts[p] for p in chosen),
                    score,
                    with_gases(names, formula),
                    middle,
                    (low, high),
                    float(np.median(hours)) if hours else None,
                    gases.most_common(1)[0][0] if gases else "",
                    tuple((one.doi, one.formula) for one in papers),
                )
            )
        return found


def _formula(text: str, amounts: Amounts) -> str:
    """How papers write a precursor, water as LiOH(H2O), or else a formula of its amounts."""
    text = re.sub(r"[·•]([0-9.]*)H2O$", r"(H2O)\1", text)
    try:
        return text if composition(parse_formula(text)) == amounts else written(amounts)
    except ValueError:
        return written(amounts)


def likely_sets(
    similarity: Similarity, target: Amounts, most: int
) -> list[tuple[float, tuple[Amounts, ...]]]:
    """Sets of precursors that bring all elements, by falling probability.

    Raises:
        ValueError: if an element has no precursor.
    """
    chances = similarity.chances(target)
    lacking = [SYMBOLS[z] for z in needed(target) if z not in chances]
    if lacking:
        raise ValueError(
            f"no precursor of the published syntheses brings {', '.join(lacking)} to such a target"
        )
    holds = [{z for z, _ in p} for p in similarity.precursors]
    states: list[tuple[float, frozenset[int]]] = [(0.0, frozenset())]
    for z in sorted(chances, key=lambda z: -max(chances[z].values())):
        best = sorted(chances[z].items(), key=lambda item: -item[1])[:CHOICES]
        new: dict[frozenset[int], float] = {}
        for score, chosen in states:
            there = [p for p in chosen if z in holds[p]]
            options = [(there[0], chances[z].get(there[0], 0.0))] if there else best
            for p, chance in options:
                key, value = chosen | {p}, score + float(np.log(max(chance, 1e-9)))
                new[key] = max(value, new.get(key, -np.inf))
        states = sorted(((v, k) for k, v in new.items()), key=lambda s: -s[0])[:BEAM]
    return [
        (score, tuple(sorted(similarity.precursors[p] for p in chosen)))
        for score, chosen in states[:most]
    ]


class Heating:
    """Temperatures by two kinds of trees, with an interval from withheld syntheses."""

    def __init__(
        self, syntheses: Sequence[Synthesis], seed: int = 0, step: str = "temperature"
    ) -> None:
        """Fit to four fifths of the targets, and measure the interval on the others.

        Args:
            syntheses: those that say nothing of the step are left out.
            seed: of the division.
            step: ``temperature``, ``sintering`` or ``calcination``.

        Raises:
            ValueError: if hardly any synthesis says a temperature.
        """
        from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

        every = {(s.target, s.precursors, getattr(s, step)) for s in syntheses}
        said = {one for one in every if one[2] is not None}
        if len(said) < 20:
            raise ValueError(f"{len(said)} syntheses say a temperature: too few to learn from")
        told = sorted(said)
        common = Counter(p for _, precursors, _ in told for p in precursors)
        self._known = [p for p, _ in common.most_common(KNOWN_PRECURSORS)]
        x = self._features([(target, precursors) for target, precursors, _ in told])
        y = np.array([t for _, _, t in told], np.float64)
        targets = sorted({target for target, _, _ in told})
        random = np.random.default_rng(seed)
        withheld = {targets[i] for i in random.permutation(len(targets))[::5]}
        out = np.array([target in withheld for target, _, _ in told])
        self._boosted = HistGradientBoostingRegressor(
            loss="absolute_error",
            max_iter=ROUNDS,
            learning_rate=PACE,
            max_leaf_nodes=LEAVES,
            random_state=seed,
        ).fit(x[~out], y[~out])
        self._random = ExtraTreesRegressor(TREES, max_features=0.3, random_state=seed).fit(
            x[~out], y[~out]
        )
        low, high = np.quantile(y[out] - self._of(x[out]), [0.1, 0.9])
        self.spread = min(float(low), 0.0), max(float(high), 0.0)

    def _features(
        self, asked: Sequence[tuple[Amounts, tuple[Amounts, ...]]]
    ) -> Float64[np.ndarray, "n f"]:
        by_name = [[p in precursors for p in self._known] for _, precursors in asked]
        targets = [target for target, _ in asked]
        return np.hstack([features(targets), _facts(targets), np.array(by_name, np.float64)])

    def _of(self, x: Float64[np.ndarray, "n f"]) -> Float64[np.ndarray, " n"]:
        """Mean of the boosted trees and of the median of the random ones, °C."""
        votes = [tree.predict(x) for tree in self._random.estimators_]
        return np.asarray(self._boosted.predict(x) + np.median(votes, axis=0)) / 2

    def predict(
        self, asked: Sequence[tuple[Amounts, tuple[Amounts, ...]]]
    ) -> Float64[np.ndarray, " n"]:
        """Temperatures of targets and precursors, °C."""
        return self._of(self._features(asked))

    def of(self, target: Amounts, precursors: tuple[Amounts, ...]) -> tuple[float, float, float]:
        """Low end, temperature and high end, °C."""
        middle = float(self.predict([(target, precursors)])[0])
        return middle + self.spread[0], middle, middle + self.spread[1]


def _facts(targets: Sequence[Amounts]) -> Float64[np.ndarray, "n f"]:
    """Mean, deviation, least and greatest of facts of the elements of each target."""
    facts = element_facts(FACTS)
    rows = []
    for target in targets:
        of, x = facts[[z for z, _ in target]], np.array([x for _, x in target])
        mean = x @ of
        deviation = np.sqrt(x @ (of - mean) ** 2)
        rows.append(np.concatenate([mean, deviation, of.min(axis=0), of.max(axis=0)]))
    return np.array(rows)


def amounts_of(contents: dict[str, float]) -> Amounts:
    """Fractions of a target's amounts by element.

    Raises:
        ValueError: if it is one element, or nothing that a precursor must bring.
    """
    if len(contents) < 2:
        raise ValueError(f"{next(iter(contents))} is one element: there is nothing to react")
    found = composition(contents)
    if not needed(found):
        raise ValueError("a target of H, C, N and O alone is none of solid-state chemistry")
    return found

"""Recipes for targets that were not learned from: precursors within five tries, temperatures.

Targets are divided by formula (MD5 of the composition modulo 100: below 75 to learn from, the rest
to ask), or by year where the DOI shows it (up to 2012 to learn from, from 2014 on to ask, targets
that were learned from left out).  A target is answered if one of the sets that papers report for it
is among the proposed ones.  The nearest neighbour takes the sets of the targets of nearest atom
fractions that need the same elements, and the mean temperature of the five nearest.  Temperatures
are of entries (target, precursors, temperature once), and of targets (medians over their entries).

    python benchmarks/recipes.py SET formula|year
"""

import hashlib
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from gnomon.synthesis.literature import read_literature
from gnomon.synthesis.recipe import Heating, likely_sets
from gnomon.synthesis.similar import needed, train
from record import RESULTS, save

TRIES = (1, 5, 10)
ASKED = 1500
STEPS = ("temperature", "sintering", "calcination")


def bucket(target) -> int:
    return int(hashlib.md5(str(target).encode()).hexdigest(), 16) % 100


def divided(syntheses, way: str):
    if way == "formula":
        old = [s for s in syntheses if bucket(s.target) < 75]
        return old, [s for s in syntheses if bucket(s.target) >= 75]
    dated = [s for s in syntheses if s.year is not None]
    old = [s for s in dated if s.year <= 2012]
    known = {s.target for s in old}
    return old, [s for s in dated if s.year >= 2014 and s.target not in known]


def fractions(targets) -> np.ndarray:
    found = np.zeros((len(targets), 119), np.float32)
    for row, target in zip(found, targets, strict=True):
        for z, x in target:
            row[z] = x
    return found


class Nearest:
    """Sets of the nearest targets by atom fractions, those first that need the same elements."""

    def __init__(self, syntheses):
        """Of what is learned from."""
        self.pairs = sorted({(s.target, s.precursors) for s in syntheses})
        self.x = fractions([t for t, _ in self.pairs])
        self.by_need = defaultdict(list)
        for i, (target, _) in enumerate(self.pairs):
            self.by_need[needed(target)].append(i)

    def sets(self, target, most):
        """At most so many sets, the nearest target's first."""
        rows = np.array(self.by_need.get(needed(target), ()), int)
        if not len(rows):
            return []
        far = np.abs(self.x[rows] - fractions([target])).sum(1)
        order = rows[np.argsort(far, kind="stable")]
        return list(dict.fromkeys(self.pairs[i][1] for i in order))[:most]


def share(hit: int, n: int) -> str:
    """Per cent with twice the standard error."""
    return f"{100 * hit / n:.1f} ± {200 * np.sqrt(hit / n * (1 - hit / n) / n):.1f} %"


def precursors(old, new) -> dict:
    reported = defaultdict(set)
    for one in new:
        reported[one.target].add(one.precursors)
    targets = sorted(reported)
    random = np.random.default_rng(0)
    targets = [targets[i] for i in random.permutation(len(targets))[:ASKED]]
    similarity, nearest = train(old), Nearest(old)
    hits = {"learned": np.zeros(3, int), "nearest neighbour": np.zeros(3, int)}
    for target in targets:
        try:
            learned = [chosen for _, chosen in likely_sets(similarity, target, max(TRIES))]
        except ValueError:
            learned = []
        for name, sets in (
            ("learned", learned),
            ("nearest neighbour", nearest.sets(target, max(TRIES))),
        ):
            hits[name] += [bool({*sets[:n]} & reported[target]) for n in TRIES]
    n = len(targets)
    return {
        "targets asked": n,
        "syntheses learned from": len(old),
        **{
            name: {
                f"within {k}": share(hit, n) for k, hit in zip(TRIES, found.tolist(), strict=True)
            }
            for name, found in hits.items()
        },
    }


def once(syntheses, step):
    """Entries that say the temperature of a step, each (target, precursors, temperature) once."""
    found = {}
    for one in syntheses:
        if getattr(one, step) is not None:
            found.setdefault((one.target, one.precursors, getattr(one, step)), one)
    return list(found.values())


def temperatures(old, new, step) -> dict:
    old, new = once(old, step), once(new, step)
    heating = Heating(old, step=step)
    truth = np.array([getattr(s, step) for s in new])
    own = heating.predict([(s.target, s.precursors) for s in new])
    known, x = np.array([getattr(s, step) for s in old]), fractions([s.target for s in old])
    near = np.empty(len(new))
    for i, row in enumerate(fractions([s.target for s in new])):
        near[i] = known[np.argpartition(np.abs(x - row).sum(1), 5)[:5]].mean()
    inside = np.mean((truth >= own + heating.spread[0]) & (truth <= own + heating.spread[1]))

    def of_targets(values):
        by = defaultdict(list)
        for s, value in zip(new, values, strict=True):
            by[s.target].append(value)
        return np.array([np.median(v) for v in by.values()])

    def said(values):
        entry, target = values - truth, of_targets(values) - of_targets(truth)
        return {
            "entries": round(float(np.abs(entry).mean()), 1),
            "targets": round(float(np.abs(target).mean()), 1),
            "median of targets": round(float(np.median(np.abs(target))), 1),
        }

    return {
        "entries learned from": len(old),
        "entries asked": len(new),
        "targets asked": len({s.target for s in new}),
        "MAE (°C)": said(own),
        "MAE of the five nearest (°C)": said(near),
        "MAE of the median of all (°C)": said(np.full(len(new), np.median(known))),
        "inside the interval of 80 %": round(float(inside), 3),
    }


if __name__ == "__main__":
    place, way = Path(sys.argv[1]), sys.argv[2]
    out = RESULTS / "recipes.json"
    before = json.loads(out.read_text("utf-8")) if out.is_file() else {}
    began = time.process_time()
    literature = read_literature(place)
    old, new = divided(literature.syntheses, way)
    result = {
        "precursors": precursors(old, new),
        **{step: temperatures(old, new, step) for step in STEPS},
        "cpu_seconds": round(time.process_time() - began, 1),
    }
    facts = {
        "syntheses": len(literature.syntheses),
        "left out": dict(literature.left_out),
        "with a year in the DOI": sum(s.year is not None for s in literature.syntheses),
    }
    kept = {key: before[key] for key in ("formula", "year") if key in before}
    save({"set": facts, **kept, way: result}, out)

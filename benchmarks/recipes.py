"""Recipes for targets that were not learned from: precursors within five tries, temperatures.

Targets are divided by formula (MD5 of the composition modulo 100: below 75 to learn from, the rest
to ask), or by year where the DOI shows it (up to 2012 to learn from, from 2014 on to ask, targets
that were learned from left out).  A target is answered if one of the sets that papers report for it
is among the proposed ones.  The nearest neighbour takes the precursors of the target of nearest
atom fractions, completed from the next ones, and the mean temperature of the five nearest.
Temperatures are of entries (target, precursors, temperature once), and of targets (medians over
their entries).

`known` proposes recipes for twenty well-known targets, all syntheses of these left out.
`repeats` asks how far papers that make the same target of the same precursors differ: the floor of
what can be told from target and precursors.  Each paper counts once, with the median of its
temperatures; against the median of the others, and, where at least five papers do it, within them.
Beside it is the error of the regression (division by formula) on the same papers.

    python benchmarks/recipes.py SET formula|year|known|repeats
"""

import hashlib
import json
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from gnomon.elements import parse_formula
from gnomon.synthesis.literature import FREE, composition, read_literature, written
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
    """Precursors of the nearest target by atom fractions, completed from those after it."""

    def __init__(self, syntheses):
        """Of what is learned from."""
        self.pairs = sorted({(s.target, s.precursors) for s in syntheses})
        self.x = fractions([t for t, _ in self.pairs])
        self.holds = {p: {z for z, _ in p} for _, ps in self.pairs for p in ps}

    def sets(self, target, most):
        """At most so many sets: each nearest target begins one."""
        own = {z for z, _ in target}
        far = np.abs(self.x - fractions([target])).sum(1)
        order = np.argsort(far, kind="stable")[:400]
        found: dict = {}
        for first in range(50):
            chosen: set = set()
            lacking = set(needed(target))
            for i in order[first:]:
                for p in self.pairs[i][1]:
                    if self.holds[p] & lacking and self.holds[p] <= own | FREE:
                        chosen.add(p)
                        lacking -= self.holds[p]
                if not lacking:
                    break
            if not lacking:
                found[tuple(sorted(chosen))] = None
            if len(found) >= most:
                break
        return list(found)


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


def repeats(syntheses, step) -> dict:
    """How far papers with one target and the same precursors are apart, °C."""
    papers: dict = defaultdict(lambda: defaultdict(list))
    for one in once(syntheses, step):
        papers[one.target, one.precursors][one.doi].append(getattr(one, step))
    medians = {key: [float(np.median(v)) for v in of.values()] for key, of in papers.items()}
    several = {key: np.array(v) for key, v in medians.items() if len(v) >= 2}
    left_out = [
        abs(v[i] - np.median(np.delete(v, i))) for v in several.values() for i in range(len(v))
    ]
    many = [v for v in several.values() if len(v) >= 5]
    within = np.concatenate([np.abs(v - np.median(v)) for v in many])
    old, _ = divided(syntheses, "formula")
    heating = Heating(once(old, step), step=step)
    asked = {key: v for key, v in several.items() if bucket(key[0]) >= 75}
    own = dict(zip(asked, heating.predict(list(asked)), strict=True))
    pairs = [
        (abs(own[key] - v[i]), abs(v[i] - np.median(np.delete(v, i))))
        for key, v in asked.items()
        for i in range(len(v))
    ]
    learned, others = np.array(pairs).mean(0)
    return {
        "recipes of several papers": len(several),
        "papers": len(left_out),
        "from the median of the others (°C)": round(float(np.mean(left_out)), 1),
        "recipes of five papers and more": len(many),
        "their papers": len(within),
        "from the median of all (°C)": round(float(within.mean()), 1),
        "of unseen formula": {
            "papers": len(pairs),
            "regression (°C)": round(float(learned), 1),
            "median of the others (°C)": round(float(others), 1),
        },
    }


KNOWN = (
    *("LiFePO4", "LiCoO2", "LiMn2O4", "Li4Ti5O12", "Li7La3Zr2O12", "Na3V2P3O12", "NaCoO2"),
    *("BaTiO3", "SrTiO3", "PbTiO3", "BiFeO3", "KNbO3", "CaCu3Ti4O12", "LaMnO3", "YBa2Cu3O7"),
    *("Y3Al5O12", "ZnFe2O4", "La2Zr2O7", "SrAl2O4", "Bi4Ti3O12"),
)


def known(literature) -> list[dict]:
    """Of each target the first five sets and what papers do, which was not learned from."""
    targets = {f: composition(parse_formula(f)) for f in KNOWN}
    asked = {*targets.values()}
    old = [s for s in literature.syntheses if s.target not in asked]
    similarity, heating = train(old), Heating(old)
    rows = []
    for formula, target in targets.items():
        own = [s for s in literature.syntheses if s.target == target]
        sets = [chosen for _, chosen in likely_sets(similarity, target, 5)]
        usual = Counter(s.precursors for s in own)
        said = [s.temperature for s in own if s.temperature is not None]

        def names(chosen):
            return " + ".join(literature.names.get(p, written(p)) for p in chosen)

        rank = next((k for k, chosen in enumerate(sets, 1) if chosen in usual), None)
        main = usual.most_common(1)
        rows.append(
            {
                "target": formula,
                "papers": len(own),
                "papers use most": names(main[0][0]) if main else None,
                "of the papers": main[0][1] if main else 0,
                "proposed first": names(sets[0]),
                "rank of a reported set": rank,
                "rank of the usual set": sets.index(main[0][0]) + 1
                if main and main[0][0] in sets
                else None,
                "°C": round(heating.of(target, sets[0])[1]),
                "papers' median °C": float(np.median(said)) if said else None,
            }
        )
    return rows


if __name__ == "__main__":
    place, way = Path(sys.argv[1]), sys.argv[2]
    out = RESULTS / "recipes.json"
    before = json.loads(out.read_text("utf-8")) if out.is_file() else {}
    began = time.process_time()
    literature = read_literature(place)
    if way == "known":
        result: object = known(literature)
    elif way == "repeats":
        result = {step: repeats(literature.syntheses, step) for step in STEPS}
    else:
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
    kept = {key: before[key] for key in ("formula", "year", "known", "repeats") if key in before}
    save({"set": facts, **kept, way: result}, out)

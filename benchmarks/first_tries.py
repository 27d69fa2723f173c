"""Does what nature chose come first?  Ranks of known compounds among a campaign's candidates.

    python benchmarks/first_tries.py --data DATA --work tries
    python benchmarks/first_tries.py --data DATA --work tries --fit
    python benchmarks/first_tries.py --data DATA --quick

For chemical systems with a compound of held-out formula (hash 75 to 84) on the Materials Project's
hull, of up to 12 atoms: the candidates that `gnomon discover` proposes in its first round, ranked
as it ranks them before it has labels, and as the networks alone ranked them, compositions in turn
(up to version 0.1).  A compound's rank is that of the best candidate with its prototype label and
the same elements on its positions; compounds that were not proposed have none and stay in the
denominators.  All binary systems, and ternary ones drawn at random.

With --quick, no network is asked: what is proposed, in the order of counts and charges alone, and
how far the volumes of compounds that are proposed are off.

With --fit, the weights of ``gnomon.discover.prior`` and the likelihood of other choices, on hashes
below 75 alone, all that is of the system left out of the known crystals; 5 folds of systems.
What the networks say of a system is kept in the folder, so that the work goes on.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy.optimize import minimize
from scipy.special import logsumexp

from gnomon.crystals import Crystals
from gnomon.discover.prior import (
    SCALE,
    WEIGHTS,
    bundled_models,
    evidence,
    expected_energies,
    labels_of,
    one_after_the_other,
)
from gnomon.discover.rates import wilson
from gnomon.elements import DEFAULT_EXCLUDED, SYMBOLS, atomic_number
from gnomon.generate.prototypes.generator import PrototypeGenerator
from gnomon.generate.prototypes.learning import RELAXED
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.hull.phases import ON_HULL
from gnomon.io import from_arrow
from gnomon.learn.split import SplitConfig
from gnomon.models import Predictions
from gnomon.models.bundled import BUNDLED
from gnomon.structure.labels import PrototypeLabel, prototype_label
from gnomon.structure.protostructures import protostructure
from record import RESULTS, save
from samples import HELD_OUT

ATOMS = 12
FIRST = (5, 20, 60, 120)
FOLDS = 5
CHOICES = {
    "networks alone": [3, 4],
    "counts alone": [0],
    "counts, elements": [0, 1],
    "counts, elements, balance": [0, 1, 2],
    "counts, elements, networks": [0, 1, 3, 4],
    "all": [0, 1, 2, 3, 4],
}
"""Columns of the evidence."""
COUNTS = [0, 1, 2]
"""Those that ask no network."""


@dataclass(frozen=True, eq=False)
class System:
    """Candidates of a chemical system and where the compounds that exist are among them.

    Attributes:
        evidence: of each candidate.
        labels, formulas: of each candidate.
        true: of each compound the number of its elements and the candidates that are it.
        off: of each compound that is proposed |ln(V / V_known)| of the first candidate that is it.
    """

    evidence: np.ndarray
    labels: list[PrototypeLabel]
    formulas: np.ndarray
    true: list[tuple[int, np.ndarray]]
    off: list[float]


@dataclass(frozen=True, eq=False)
class Compound:
    """A known compound: its prototype and its volume, Å³ an atom."""

    label: PrototypeLabel
    volume: float


@dataclass(frozen=True, eq=False)
class Remembered:
    """A model that said what it has to say."""

    scheme: str
    energies: np.ndarray

    def predict(self, crystals: Crystals) -> Predictions:
        """What it said."""
        reasons = np.where(np.isfinite(self.energies), "", "no prediction").astype(object)
        return Predictions(self.energies[None], reasons)


models = cache(bundled_models)


def candidates(name: str, told: Occurrence) -> Crystals:
    """Compounds that a campaign of the system proposes in its first round."""
    elements = tuple(name.split("-"))
    chunks = PrototypeGenerator(elements, 16, known=told).generate(Crystals.empty())
    crystals = Crystals.concatenate([chunk.crystals for chunk in chunks])
    return crystals[(crystals.composition > 0).sum(axis=1) > 1]


def said(name: str, crystals: Crystals, work: Path | None) -> list[Remembered]:
    """What the networks in the package say of the candidates, from the folder where it is there."""
    if work is None:
        return []
    path = work / f"{name}.{'.'.join(BUNDLED)}.npy"
    if not path.exists():
        np.save(path, np.stack([expected_energies(model, crystals) for model in models()]))
    rows = np.load(path).astype(np.float64)
    return [Remembered(m.scheme, row) for m, row in zip(models(), rows, strict=True)]


def others(told: Occurrence, name: str) -> Occurrence:
    """The known crystals that are not of this system or one within it."""
    numbers = [0, *map(atomic_number, name.split("-"))]
    return replace(told, known=told.known.take(~np.isin(told.known.species, numbers).all(axis=1)))


def system(name: str, compounds: Sequence[Compound], told: Occurrence, work: Path | None) -> System:
    """A system with all that is known of its candidates."""
    crystals = candidates(name, told)
    labels, formulas = labels_of(crystals), crystals.reduced_formulas
    counts = np.array([told.count(label) for label in labels])
    orders = [{tuple(order) for order in label.orders.tolist()} for label in labels]
    volumes = crystals.volumes / crystals.n_atoms
    true, off = [], []
    for compound in compounds:
        own, text = tuple(compound.label.elements.tolist()), compound.label.text
        same = [lb.text == text and own in o for lb, o in zip(labels, orders, strict=True)]
        rows = np.flatnonzero(same)
        true.append((len(own), rows))
        off += [abs(float(np.log(volumes[i] / compound.volume))) for i in rows[:1]]
    found = evidence(crystals, counts, said(name, crystals, work))
    return System(found, labels, formulas, true, off)


def systems(
    data: Path, hashes: tuple[int, int], binary: int, ternary: int, work: Path | None
) -> list[System]:
    """Systems with stable compounds of these formula hashes, drawn with seed 0."""
    rows = pq.read_table(
        data / "materials_project" / "structures.parquet",
        filters=[
            ("formula_hash", ">=", hashes[0]),
            ("formula_hash", "<=", hashes[1]),
            ("e_above_hull", "<=", ON_HULL),
        ],
    )
    crystals = from_arrow(rows)
    unusual = [atomic_number(symbol) for symbol in DEFAULT_EXCLUDED]
    n_elements = (crystals.composition > 0).sum(axis=1)
    usable = (crystals.n_atoms <= ATOMS) & (n_elements > 1) & (n_elements <= 3)
    crystals = crystals[usable & ~crystals.composition[:, unusual].any(axis=1)]
    volumes = (crystals.volumes / crystals.n_atoms).tolist()
    found_labels = [prototype_label(protostructure(crystal, RELAXED)) for crystal in crystals]
    stable = [Compound(*pair) for pair in zip(found_labels, volumes, strict=True)]
    stable = [one for one in stable if one.label.text]
    told, leave_out, found = Occurrence.load(), hashes[0] == 0, []
    rng = np.random.default_rng(0)
    for size, most in ((2, binary), (3, ternary)):
        names = sorted(
            {
                tuple(sorted(one.label.elements.tolist()))
                for one in stable
                if len(one.label.elements) == size
            }
        )
        for i in rng.permutation(len(names))[:most].tolist():
            within = [one for one in stable if set(one.label.elements.tolist()) <= set(names[i])]
            name = "-".join(SYMBOLS[z] for z in names[i])
            seen = others(told, name) if leave_out else told
            found.append(system(name, within, seen, work))
            print(f"{len(found)}: {name}, {len(within)} compounds", flush=True)
    return found


def loss(weights: np.ndarray, data: Sequence[System], columns: list[int]) -> tuple[float, int]:
    """Minus the log probability of the compounds that were proposed, and their number."""
    total, n = 0.0, 0
    for one in data:
        odds = one.evidence[:, columns] @ weights
        for _, rows in one.true:
            if len(rows):
                total += float(logsumexp(odds) - logsumexp(odds[rows]))
                n += 1
    return total, n


def fitted(data: Sequence[System], columns: list[int], l2: float = 0.02) -> np.ndarray:
    """The most likely weights of the columns, held by a weak penalty."""

    def mean(weights: np.ndarray) -> float:
        total, n = loss(weights, data, columns)
        return total / max(n, 1) + l2 * float(weights @ weights)

    return np.asarray(minimize(mean, np.zeros(len(columns)), method="BFGS").x)


def fit(data: Sequence[System]) -> dict[str, Any]:
    """For each choice of columns: the weights, and the likelihood of systems left out of them."""
    fold = np.random.default_rng(0).integers(0, FOLDS, len(data))
    result = {}
    for name, columns in CHOICES.items():
        parts = []
        for k in range(FOLDS):
            rest = [one for one, f in zip(data, fold, strict=True) if f != k]
            left = [one for one, f in zip(data, fold, strict=True) if f == k]
            parts.append(loss(fitted(rest, columns), left, columns))
        result[name] = {
            "weights": fitted(data, columns).round(2).tolist(),
            "log_likelihood": -sum(t for t, _ in parts) / sum(n for _, n in parts),
        }
    return result


def in_turn(order: np.ndarray, formulas: np.ndarray) -> np.ndarray:
    """The same order, the best of each composition first."""
    seen: Counter[str] = Counter()
    turns = []
    for i in order.tolist():
        turns.append(seen[formulas[i]])
        seen[formulas[i]] += 1
    return order[np.argsort(turns, kind="stable")]


def rankings(one: System) -> dict[str, np.ndarray]:
    """Candidates in the order of each ranking; without networks there is one."""
    if one.evidence.shape[1] == len(COUNTS):
        odds = one_after_the_other(one.evidence @ WEIGHTS[COUNTS], one.labels)
        return {"counts and charges": np.argsort(-odds, kind="stable")}
    above = SCALE * np.arctanh(np.minimum(one.evidence[:, 3:], 1 - 1e-15)).mean(axis=1)
    odds = one_after_the_other(one.evidence @ WEIGHTS, one.labels)
    by_networks, by_odds = (np.argsort(x, kind="stable") for x in (above, -odds))
    return {
        "networks, compositions in turn": in_turn(by_networks, one.formulas),
        "networks": by_networks,
        "this ranking, compositions in turn": in_turn(by_odds, one.formulas),
        "this ranking": by_odds,
    }


def measured(data: Sequence[System]) -> dict[str, Any]:
    """Median ranks and shares among the first candidates, of binary and ternary compounds."""
    ranks: dict[str, dict[str, list[float]]] = {}
    for one in data:
        for name, order in rankings(one).items():
            place = np.argsort(order) + 1
            for size, rows in one.true:
                kind = {2: "binary", 3: "ternary"}[size]
                ranks.setdefault(name, {}).setdefault(kind, []).append(
                    float(place[rows].min()) if len(rows) else np.inf
                )
    return {
        name: {kind: _summary(np.array(found)) for kind, found in kinds.items()}
        for name, kinds in ranks.items()
    }


def _summary(ranks: np.ndarray) -> dict[str, Any]:
    proposed = ranks[np.isfinite(ranks)]
    shares = {f"among the first {k}": int((ranks <= k).sum()) for k in FIRST}
    rate = wilson(shares["among the first 20"], len(ranks))
    return {
        "compounds": len(ranks),
        "proposed": len(proposed),
        "median rank of those proposed": float(np.median(proposed)),
        **shares,
        "interval": [round(rate.low, 3), round(rate.high, 3)],
    }


def main() -> None:
    """Fit, or quote."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("tries"))
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--binary", type=int, help="systems, at most")
    parser.add_argument("--ternary", type=int, help="systems, at most")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    below = SplitConfig().train_below
    hashes, most = ((0, below - 1), (70, 20)) if given.fit else (HELD_OUT, (1000, 30))
    binary, ternary = given.binary or most[0], given.ternary or most[1]
    work = None if given.quick else given.work
    data = systems(given.data, hashes, binary, ternary, work)
    if given.fit:
        save({"systems": len(data), "choices": fit(data)}, RESULTS / "first_tries_fit.json")
    else:
        off = np.quantile([value for one in data for value in one.off], (0.5, 0.8)).tolist()
        result = {"systems": len(data), "rankings": measured(data), "volumes off": off}
        save(result, RESULTS / f"first_tries{'_quick' * given.quick}.json")


if __name__ == "__main__":
    main()

"""Does it help to know which structures are common, where a level can hardly tell them apart?

    python benchmarks/likely_structures.py --data DATA --work likely [--compounds 80]
    python benchmarks/likely_structures.py --data DATA --work likely --campaigns FOLDER

Compounds on the hull of ``materials_project/structures.parquet`` of up to 12 atoms, of two or three
elements, formula hashes below 75, of systems that are none of ``textbook.py``'s: in turns of their
kinds, in the order of the MD5 of their formulas.  For each: the structures of known crystals that a
campaign proposes for its composition, the 15 likeliest, relaxed by the package's potential; those
within 80 meV/atom of the lowest, at most 8, relaxed at the deciding level; and the known crystal
itself, whatever the potential says of it.  Counts of prototypes are those without crystals of the
same composition.

Then, in 5 folds of compounds, how often the known structure is the one of lowest energy, and how
often the most probable one by

    log P_i = -(E_i - min E) / s + w log(1 + count_i) + constant,

s and w the most likely ones on the other folds.  It does not pay (docs/benchmarks.md), so campaigns
go by the energy alone.  What was relaxed is kept in the folder.

With ``--campaigns``, the same with the weights of these compounds on what the campaigns of
``textbook.py`` hold of its known phases at the deciding level, in all structures within 80 meV/atom
of the lowest.
"""

import argparse
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.optimize import minimize
from scipy.special import logsumexp

from gnomon.crystals import Crystals
from gnomon.discover import Campaign
from gnomon.discover.rates import wilson
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import DEFAULT_EXCLUDED, SYMBOLS, atomic_number
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.evaluate.table import rows_of
from gnomon.generate.prototypes.likely import likely
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.hull.phases import ON_HULL
from gnomon.io import from_arrow, to_pymatgen
from gnomon.run.listener import SILENT
from gnomon.structure.labels import prototype_label
from gnomon.structure.protostructures import protostructure
from record import RESULTS, save
from textbook import ATOMS, SEEN, kind_of, systems_of

LIKELIEST, DECIDED, WINDOW, PART, PROPOSED = 15, 8, 0.080, 64, 400
SYMPREC = 0.1
FOLDS = 5


def compounds_of(table: pa.Table, most: int) -> tuple[Crystals, list[str]]:
    """What is asked, and its kinds."""
    stable = from_arrow(table.filter(pc.less_equal(table["e_above_hull"], ON_HULL)))
    tested = {tuple(s.split("-")) for s in systems_of(stable[stable.n_atoms <= ATOMS])}
    hashes = table.filter(pc.less_equal(table["e_above_hull"], ON_HULL))["formula_hash"].to_numpy()
    unusual = [atomic_number(symbol) for symbol in DEFAULT_EXCLUDED]
    n_elements = (stable.composition > 0).sum(axis=1)
    usable = (stable.n_atoms <= ATOMS) & (n_elements > 1) & (n_elements <= 3) & (hashes < SEEN)
    usable &= ~stable.composition[:, unusual].any(axis=1)
    rows: dict[str, list[int]] = {}
    order = sorted(
        np.flatnonzero(usable).tolist(),
        key=lambda i: hashlib.md5(stable.reduced_formulas[i].encode()).hexdigest(),
    )
    for i in order:
        system = stable.chemical_systems[i]
        if tuple(system.split("-")) not in tested and (kind := kind_of(system)):
            rows.setdefault(kind, []).append(i)
    turns = [(k, kind, i) for kind, of in rows.items() for k, i in enumerate(of)]
    chosen = sorted(turns)[:most]
    return stable[[i for _, _, i in chosen]], [kind for _, kind, _ in chosen]


def proposed(crystal: Crystals, known: Occurrence) -> Crystals:
    """Structures that a campaign proposes for the composition of a crystal, the likeliest."""
    elements = [atomic_number(e) for e in str(crystal.chemical_systems[0]).split("-")]
    every = likely(known, elements, 16, PROPOSED).crystals
    every = every[every.reduced_formulas == crystal.reduced_formulas[0]]
    counts = counts_of(every, known.known.without(str(crystal.reduced_formulas[0])), known)
    return every[np.argsort(-counts, kind="stable")[:LIKELIEST]]


def counts_of(crystals: Crystals, without: Any, known: Occurrence) -> np.ndarray:
    """How often the prototype of each occurs among other compositions."""
    told = replace(known, known=without)
    labels = [prototype_label(protostructure(one, SYMPREC)) for one in crystals]
    return np.array([told.count(label) if label.text else 0.0 for label in labels])


def relaxed(crystals: Crystals, name: str, work: Path, what: str) -> pa.Table:
    """Rows of evaluations, kept in parts."""
    evaluator = make_evaluator(EvaluatorConfig(name=name), RelaxConfig(), SILENT)
    parts = []
    for first in range(0, len(crystals), PART):
        file = work / f"{what}-{first:06d}.parquet"
        if not file.exists():
            found = [rows_of(p) for p in evaluator.evaluate(crystals[first : first + PART])]
            pq.write_table(pa.concat_tables(found), file.with_suffix(".part"))
            file.with_suffix(".part").rename(file)
            print(f"{what}: {min(first + PART, len(crystals))} of {len(crystals)}", flush=True)
        parts.append(pq.read_table(file))
    return pa.concat_tables(parts)


def asked(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Of each compound the energies of its structures, their counts, and which is the known one."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    table = pq.read_table(given.data / "materials_project" / "structures.parquet")
    compounds, kinds = compounds_of(table, given.compounds)
    known = Occurrence.load()
    groups = [Crystals.concatenate([one, proposed(one, known)]) for one in compounds]
    of = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    first = np.concatenate([[0], np.cumsum([len(group) for group in groups])[:-1]])
    screened = relaxed(Crystals.concatenate(groups), given.screen, given.work, "screened")
    energy = screened["energy_per_atom"].to_numpy()
    energy = np.where(np.array(screened["status"].to_pylist()) == "converged", energy, np.nan)
    cells, keep = from_arrow(screened), []
    for i in range(len(groups)):
        rows = np.flatnonzero((of == i) & np.isfinite(energy))
        rows = rows[np.argsort(energy[rows], kind="stable")]
        rows = rows[energy[rows] <= energy[rows[0]] + WINDOW] if len(rows) else rows
        alike: list[int] = []
        for row in rows.tolist():
            if not alike or energy[row] - energy[alike[-1]] > ON_HULL:
                alike.append(row)
        keep += sorted({first[i], *alike[:DECIDED]})
    decided = relaxed(cells[keep], given.decide, given.work, "decided")
    final, at = from_arrow(decided), decided["energy_per_atom"].to_numpy()
    at = np.where(np.array(decided["status"].to_pylist()) == "converged", at, np.nan)
    found = []
    same = StructureMatcher().fit
    for i, kind in enumerate(kinds):
        rows = [k for k, row in enumerate(keep) if of[row] == i and np.isfinite(at[k])]
        if not rows:
            continue
        formula = str(compounds.reduced_formulas[i])
        truth = to_pymatgen(compounds[[i]])[0]
        ours = to_pymatgen(final[rows])
        counts = counts_of(final[rows], known.known.without(formula), known)
        found.append(
            {
                "reduced_formula": formula,
                "kind": kind,
                "energy": (at[rows] - at[rows].min()).round(5).tolist(),
                "count": counts.round(3).tolist(),
                "atoms": final[rows].n_atoms.tolist(),
                "true": [bool(same(truth, one)) for one in ours],
            }
        )
    return found


def in_campaigns(table: pa.Table, folder: Path) -> list[dict[str, Any]]:
    """Of each known phase of the textbook systems the structures that its campaign holds."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    stable = from_arrow(table.filter(pc.less_equal(table["e_above_hull"], ON_HULL)))
    small, known, same = stable[stable.n_atoms <= ATOMS], Occurrence.load(), StructureMatcher().fit
    found: list[dict[str, Any]] = []
    for system in systems_of(small):
        level, within = Campaign(folder / system).levels[-1], {*system.split("-")}
        inside = [{*s.split("-")} <= within and "-" in s for s in small.chemical_systems]
        for one in small[np.array(inside)]:
            formula, truth = str(one.reduced_formulas[0]), to_pymatgen(one)[0]
            rows = [of[0] for of in level.groups if of[0].reduced_formula == formula]
            energy = np.array([row.formation_energy_per_atom for row in rows])
            near = np.flatnonzero(energy <= energy.min(initial=np.inf) + WINDOW).tolist()
            at = [level.placed.row_of[rows[i].id] for i in near]
            ours = level.placed.found.relaxed[at]
            found.append(
                {
                    "reduced_formula": formula,
                    "energy": (energy[near] - energy.min(initial=np.inf)).tolist(),
                    "count": counts_of(ours, known.known.without(formula), known).tolist(),
                    "true": [bool(same(truth, cell)) for cell in to_pymatgen(ours)],
                }
            )
    return found


def compared(rows: list[dict[str, Any]], weights: np.ndarray) -> dict[str, Any]:
    """How often energy alone, and energy with occurrence, take the known structure."""
    alone, both = [], []
    for one in rows:
        true = np.array([*one["true"], False])  # nothing is right where there is no structure
        alone.append(bool(true[np.argmin(one["energy"])] if one["energy"] else False))
        both.append(bool(true[np.argmax(features(one) @ weights)] if one["energy"] else False))
    pairs = list(zip(alone, both, strict=True))
    return {
        "phases": len(rows),
        "lowest energy": vars(wilson(sum(alone), len(rows))),
        "most probable": vars(wilson(sum(both), len(rows))),
        "for the better": sum(b and not a for a, b in pairs),
        "for the worse": sum(a and not b for a, b in pairs),
    }


def features(one: dict[str, Any]) -> np.ndarray:
    """Columns that the weights are of."""
    return np.column_stack([-np.array(one["energy"]), np.log1p(one["count"])])


def fitted(rows: list[dict[str, Any]]) -> np.ndarray:
    """The most likely weights; the first is the inverse of a scale of energy."""
    columns = [(features(one), np.array(one["true"])) for one in rows]

    def loss(log: np.ndarray) -> float:
        w = np.exp(log)
        total = 0.0
        for x, true in columns:
            odds = x @ w
            total += logsumexp(odds) - logsumexp(odds[true])
        return total / len(columns) + 1e-3 * float(log @ log)

    return np.exp(minimize(loss, np.log([100.0, 1.0]), method="Nelder-Mead").x)


def main() -> None:
    """Relax, fit, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("likely"))
    parser.add_argument("--compounds", type=int, default=80)
    parser.add_argument("--screen", default="gnomon-2")
    parser.add_argument("--decide", default="nequix-oam-1-pft")
    parser.add_argument("--campaigns", type=Path, help="of textbook.py")
    given = parser.parse_args()
    if given.campaigns:
        before = json.loads((RESULTS / "likely_structures.json").read_text("utf-8"))
        weights = [1e3 / before["weights"]["meV/atom"], before["weights"]["log count"]]
        table = pq.read_table(given.data / "materials_project" / "structures.parquet")
        rows = in_campaigns(table, given.campaigns)
        told = {**before, "in campaigns": compared(rows, np.array(weights))}
        save(told, RESULTS / "likely_structures.json")
        return
    given.work.mkdir(parents=True, exist_ok=True)
    rows = asked(given)
    (given.work / "compounds.json").write_text(json.dumps(rows), encoding="utf-8")
    there = [one for one in rows if any(one["true"])]
    fold = np.arange(len(there)) % FOLDS
    right = {"lowest energy": 0, "most probable": 0, "commonest prototype": 0}
    chances = []
    for k in range(FOLDS):
        weights = fitted([one for one, f in zip(there, fold, strict=True) if f != k])
        for one, f in zip(there, fold, strict=True):
            if f != k:
                continue
            true, odds = np.array(one["true"]), features(one) @ weights
            chance = np.exp(odds - logsumexp(odds))
            chances.append((float(chance.max()), bool(true[np.argmax(odds)])))
            right["lowest energy"] += bool(true[np.argmin(one["energy"])])
            right["most probable"] += bool(true[np.argmax(odds)])
            right["commonest prototype"] += bool(true[np.argmax(one["count"])])
    n = len(rows)
    weights = fitted(there)
    sure = [hit for p, hit in chances if p > 0.8]
    save(
        {
            "compounds": n,
            "matched by a structure": len(there),
            "weights": {"meV/atom": 1e3 / weights[0], "log count": weights[1]},
            "right": {name: vars(wilson(k, n)) for name, k in right.items()},
            "said above 80 %": vars(wilson(sum(sure), len(sure))),
            "mean of what is said": float(np.mean([p for p, _ in chances])),
            "elements": sorted({s for one in rows for s in SYMBOLS if s in one["reduced_formula"]}),
        },
        RESULTS / "likely_structures.json",
    )


if __name__ == "__main__":
    main()

"""Generators side by side in campaigns over known crystals, at an equal number of evaluations.

    python benchmarks/shares.py --data DATA --work FOLDER [--evaluations 16] [--max-atoms 8]
    python benchmarks/shares.py --data DATA --work FOLDER --together [--evaluations 32]
    python benchmarks/shares.py --data DATA --work FOLDER --likely

Parents, known compositions and hull: crystals of formula hashes below 75, as
``benchmarks/prospective.py`` prepares them; parents and candidates hold nothing but ten common
elements.  Each campaign is one round of `gnomon discover --all` with one generator, all of its
evaluations by rank, on the hull of its own level, closed by the crystals that compete; what fails
counts among the evaluated.  With ``--together`` all generators are in one campaign, and the odds
decide how many evaluations each gets.  Stable: on the hull; held out: stable compounds of hashes 75
to 84 that were evaluated, which the file has and no campaign was shown.  A campaign that was
stopped goes on; one that ended is not repeated.

``--likely``: how well the network of formulas ranks.  Of all compositions of two elements, and of a
sample of chemical systems of three, those of hashes 75 to 84 that charges allow are ranked as a
campaign ranks them, by the energy above the hull alone, and at random; counted are the held-out
stable compounds among the first.
"""

import argparse
import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.special import log_ndtr

from gnomon.discover import Campaign
from gnomon.discover.rates import wilson
from gnomon.discover.shares import shares
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database, composition_keys
from gnomon.discover.wide.likely import compositions
from gnomon.elements import DEFAULT_EXCLUDED, atomic_number
from gnomon.io import from_arrow
from gnomon.models.bundled import COMPOSITION
from gnomon.models.ensemble import load_model
from prospective import formula_hash, prepare, stable_key
from record import RESULTS, save

RESULT, LIKELY = RESULTS / "shares.json", RESULTS / "likely_compositions.json"
ELEMENTS = ("Li", "Na", "K", "Mg", "Ca", "Al", "O", "S", "F", "Cl")
GENERATORS = ("substitution", "saps", "prototypes", "random", "learned")
COMPOSITIONS, CELLS, DRAWS = 12, 8, 512
"""Less than a campaign has by default, so that it ends."""
NEAR = 0.05
"""eV/atom."""
SYSTEMS = 10_000
"""Of three elements."""
FIRST = (20, 50, 100, 200, 500, 1000, 5000)


def run(name: str, generators: tuple[str, ...], given: argparse.Namespace) -> Campaign:
    """The campaign, begun or gone on with."""
    test, folder = given.work / "test", given.work / name
    rows = pq.read_table(test / "parents.parquet")
    crystals, own = from_arrow(rows), [atomic_number(symbol) for symbol in ELEMENTS]
    inside = crystals.composition[:, own].sum(axis=1) == crystals.n_atoms
    parents = given.work / "parents.parquet"
    pq.write_table(rows.filter(pa.array(inside)), parents)
    count = given.evaluations
    command = [sys.executable, "-m", "gnomon", "discover", "--all", "--out", str(folder)]
    command += ["--parents", str(parents), "--phases", str(test / "phases.parquet")]
    command += [word for symbol in ELEMENTS for word in ("--elements", symbol)]
    command += [word for one in generators for word in ("--generators", one)]
    command += ["--max-elements", "4", "--max-atoms", str(given.max_atoms), "--decide", "none"]
    command += ["--compositions", str(COMPOSITIONS), "--cells", str(CELLS), "--draws", str(DRAWS)]
    command += ["--per-round", str(count), "--evaluations", str(count), "--rounds", "1"]
    settings = folder.with_suffix(".toml")
    settings.write_text("[screen]\nrandom_share = 0.0\n")
    command += ["--config", str(settings), "--runner-workers", "1", "--minutes", "600"]
    ended = folder.with_suffix(".ended")
    if not ended.exists():
        subprocess.run(command, check=True)
        ended.touch()
    return Campaign(folder)


def rate(k: int, n: int) -> dict[str, Any]:
    """k of n, and Wilson's 95 % interval."""
    found = wilson(k, n)
    return {"k": k, "n": n, "low": round(found.low, 3), "high": round(found.high, 3)}


def told(campaign: Campaign, key: set[str]) -> dict[str, Any]:
    """What came of each generator in a campaign."""
    table = campaign.hull_table()
    above = dict(zip(table["id"].to_pylist(), table["e_above_hull"].to_pylist(), strict=True))
    new = campaign.evaluations.filter(pc.greater(campaign.evaluations["round"], 0))
    rows = campaign.lineage.filter(pc.is_in(campaign.lineage["id"], new["id"]))
    of = dict(zip(rows["id"].to_pylist(), rows["generator"].to_pylist(), strict=True))
    at = pc.index_in(new["id"], campaign.crystals["id"])
    formulas = campaign.crystals["reduced_formula"].take(at).to_pylist()
    facts = campaign.store.finished(1, "generate") or {}
    found = {}
    for share in shares(campaign):
        own = [key_ for key_ in new["id"].to_pylist() if of[key_] == share.generator]
        if not own:  # such as those of known phases, whose finds they begin
            continue
        places = [above.get(key_, np.inf) for key_ in own]
        named = [f for f, i in zip(formulas, new["id"].to_pylist(), strict=True) if i in own]
        finite = [place for place in places if np.isfinite(place)]
        found[share.generator] = {
            "in_the_folder": share.candidates,
            "evaluated": len(own),
            "with_energy": len(finite),
            "stable": rate(sum(key_ in campaign.hits for key_ in own), len(own)),
            "within_50_mev": rate(sum(place <= NEAR for place in places), len(own)),
            "median_above_hull": float(np.median(finite)) if finite else None,
            "held_out": sum(f in key for f in named),
            "formulas": named,
        }
    return {
        "level": campaign.level(0).scheme,
        "funnel": facts["funnel"],
        "notes": facts["notes"],
        "cpu_seconds": facts["work"]["cpu_seconds"],
        "evaluated_to_compete": int(pc.sum(pc.equal(campaign.evaluations["round"], 0)).as_py()),
        "closed": [str(one) for one in campaign.closures],
        "generators": found,
    }


def likely(data: Path, test: Path) -> dict[str, Any]:
    """How many held-out stable compounds are among the first compositions, by each order."""
    _, ranker = prepare(data, test, 75)
    key, _ = stable_key(data, test, 75, 85)
    database = Database.read(
        test / "parents.parquet", MATERIALS_PROJECT, (test / "phases.parquet",)
    )
    numbers = sorted(atomic_number(e) for e in database.elements if e not in DEFAULT_EXCLUDED)
    model, rng = load_model(COMPOSITION), np.random.default_rng(0)
    result = {}
    for n in (2, 3):
        every = list(combinations(numbers, n))
        every = [every[i] for i in rng.permutation(len(every))[:SYSTEMS]]
        found = compositions(every, 8)
        names = found.reduced_formulas
        hashes = np.array([formula_hash(name) for name in names])
        amounts = np.rint(found.by_element * found.counts.sum(axis=1, keepdims=True))
        new = ~np.isin(composition_keys(amounts), database.compositions)
        rows = np.flatnonzero((hashes >= 75) & (hashes < 85) & new)
        told = model.predict_formulas(found.take(rows), np.full(len(rows), "", object))
        rows, there = rows[told.predicted], np.flatnonzero(told.predicted)
        above = ranker.known.hull.e_above_hull(amounts[rows], told.median[there])
        good = np.isin(names[rows].astype(str), sorted(key))
        orders = {
            "by the chance": -log_ndtr(-above / told.combined[there]),
            "by the energy above the hull": above,
            "at random": rng.random(len(rows)),
        }
        result[f"{n} elements"] = {
            "systems": len(every),
            "compositions": len(rows),
            "stable, held out": int(good.sum()),
            "first": list(FIRST),
            **{
                name: [int(good[np.argsort(by, kind="stable")[:k]].sum()) for k in FIRST]
                for name, by in orders.items()
            },
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--evaluations", type=int, default=16)
    parser.add_argument("--max-atoms", type=int, default=8)
    parser.add_argument("--generators", nargs="+", default=list(GENERATORS), choices=GENERATORS)
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--likely", action="store_true")
    given = parser.parse_args()
    test = given.work / "test"
    prepare(given.data, test, 75)
    if given.likely:
        save(likely(given.data, test), LIKELY)
        return
    key, _ = stable_key(given.data, test, 75, 85)
    result = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    every = result.get("campaigns", {})
    several = [tuple(given.generators)] if given.together else [(g,) for g in given.generators]
    for generators in several:
        name = "together" if given.together else generators[0]
        every[name] = told(run(name, generators, given), key)
        save({"elements": ELEMENTS, "max_atoms": given.max_atoms, "campaigns": every}, RESULT)


if __name__ == "__main__":
    main()

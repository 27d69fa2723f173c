"""Does a campaign over known crystals get better from round to round?

    python benchmarks/rounds.py --data DATA --work FOLDER [--rounds 3] [--per-round 24]
    python benchmarks/rounds.py --data DATA --work FOLDER --min-elements 3 --per-round 48
    python benchmarks/rounds.py --data DATA --work FOLDER --parents-of Li Na K Mg Ca Al O S F Cl

Parents, known compositions and hull: crystals of formula hashes below 75 as
``benchmarks/prospective.py`` prepares them, candidates of twenty common elements.  The campaign is
`gnomon discover --all` with gnomon-2 and no further level; it goes on where it was stopped.  Of
each round, by rank and at random: how many evaluated candidates ended in a new stable phase (on the
hull of the whole campaign), with Wilson's interval; how many compositions are in the key, those of
hashes 75 to 84 on the hull of the file; and the errors of the network that ranked the round, taught
by those before, beside those of the network of the package: against the evaluations, brought to the
database's scheme by the offset measured in the whole campaign.  Beside them how well the order of
what the round evaluated tells stable from unstable (the area under the curve), by what the rounds
before had taught and by what was known before the campaign, and how many elements candidates had:
what is easy is used up first.  Campaigns of other numbers of elements have their own rows.

``--parents-of`` writes ``FOLDER/parents.parquet`` alone, the parents that hold nothing but some
elements, for a campaign of a few minutes; their phases are ``FOLDER/test/phases.parquet``.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon.discover import Campaign
from gnomon.discover.rates import wilson
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database
from gnomon.discover.wide.learning import learned
from gnomon.discover.wide.networks import labels_of
from gnomon.discover.wide.offsets import offset_of
from gnomon.discover.wide.proposing import Places
from gnomon.discover.wide.ranking import WEIGHTS, evidence
from gnomon.discover.wide.shortlist import SPREAD, looked_up, scores_of
from gnomon.elements import atomic_number
from gnomon.hull.convex import Hull
from gnomon.io import from_arrow
from gnomon.models.bundled import STRUCTURAL
from gnomon.run.passes import Shards
from prospective import prepare, stable_key
from record import RESULTS, save

RESULT = RESULTS / "rounds.json"
RANDOM = 1 / 3
"""Of each round: enough to tell chance from ranking."""
ELEMENTS = (
    *("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Al", "Ga", "In", "Ti", "Zr", "Mn", "Fe"),
    *("Zn", "O", "Se", "F", "Cl"),
)


def run(folder: Path, given: argparse.Namespace) -> Campaign:
    """The campaign, begun or gone on with."""
    test = given.work / "test"
    command = [sys.executable, "-m", "gnomon", "discover", "--all", "--out", str(folder)]
    command += ["--parents", str(test / "parents.parquet"), "--decide", "none"]
    command += ["--generators", "substitution"]
    command += ["--phases", str(test / "phases.parquet"), "--max-atoms", str(given.max_atoms)]
    command += [word for symbol in ELEMENTS for word in ("--elements", symbol)]
    command += ["--min-elements", str(given.min_elements), "--max-elements", "4"]
    command += ["--per-round", str(given.per_round), "--rounds", str(given.rounds)]
    command += ["--evaluations", str(given.rounds * given.per_round), "--minutes", "600"]
    settings = folder.with_suffix(".toml")
    settings.write_text(f"[screen]\nrandom_share = {RANDOM}\n")
    command += ["--config", str(settings), "--runner-workers", "1"]
    subprocess.run(command, check=True)
    return Campaign(folder)


@dataclass(frozen=True)
class Evaluated:
    """All n evaluated candidates of a campaign, in the order of their rounds.

    Attributes:
        ids, rounds, ranked: which, when, and whether by rank.
        formulas: reduced.
        stable: on the hull of the whole campaign.
        labels: energies in the database's scheme, NaN where there is none, eV/atom.
        taught, before: predicted by the network of the round, and by that of the package.
        known, given: the evidence by either, as ``evidence`` has its columns.
    """

    ids: list[str]
    rounds: np.ndarray
    ranked: np.ndarray
    formulas: np.ndarray
    stable: np.ndarray
    labels: np.ndarray
    taught: np.ndarray
    before: np.ndarray
    known: np.ndarray
    given: np.ndarray

    @classmethod
    def of(cls, campaign: Campaign, labels: dict[str, float], hull: Hull) -> "Evaluated":
        """Those of a campaign."""
        rows = campaign.screening
        done = pc.and_(pc.greater(rows["round"], 0), pc.is_valid(rows["selection"]))
        rows = rows.filter(pc.and_(done, pc.is_in(rows["id"], campaign.evaluations["id"])))
        ids = rows["id"].to_pylist()
        at = pc.index_in(rows["id"], campaign.crystals["id"])
        crystals = from_arrow(campaign.crystals.take(at))
        scores = scores_of(campaign, ids)
        then, predictions = looked_up(crystals, scores, campaign.config, STRUCTURAL, hull)
        now = then
        for name in ("predicted_e_above_hull", "uncertainty"):
            now = now.set_column(now.schema.get_field_index(name), name, rows[name])
        return cls(
            ids,
            rows["round"].to_numpy(),
            np.array([how == "ranked" for how in rows["selection"].to_pylist()]),
            np.asarray(crystals.reduced_formulas),
            np.array([one in campaign.hits for one in ids], bool),
            np.array([labels.get(one, np.nan) for one in ids]),
            rows["predicted_formation_energy_per_atom"].to_numpy(zero_copy_only=False),
            predictions.median,
            evidence(now),
            evidence(then),
        )


def area(order: np.ndarray, stable: np.ndarray) -> float | None:
    """The chance that a stable one comes before one that is not; ties count half."""
    yes, no = order[stable], order[~stable]
    if not len(yes) or not len(no):
        return None
    return float(np.mean((yes[:, None] > no) + 0.5 * (yes[:, None] == no)))


def of_round(found: Evaluated, number: int, ranked: bool, key: set[str]) -> dict[str, Any]:
    """What one round brought by rank or at random."""
    own = (found.rounds == number) & (found.ranked == ranked)
    stable = wilson(int(found.stable[own].sum()), int(own.sum()))
    there = own & np.isfinite(found.labels)
    errors = [np.abs(by[there] - found.labels[there]) for by in (found.taught, found.before)]
    return {
        "round": number,
        "selection": "ranked" if ranked else "random",
        "evaluated": stable.n,
        "stable": stable.k,
        "interval": [stable.low, stable.high],
        "with_energy": int(there.sum()),
        "mean_error": float(errors[0].mean()),
        "mean_error_of_the_package": float(errors[1].mean()),
        "median_error": float(np.median(errors[0])),
        "median_error_of_the_package": float(np.median(errors[1])),
        "in_key": sum(f in key for f in found.formulas[own]),
        "elements": float(found.known[own, 2].mean()),
    }


def orders(found: Evaluated, number: int) -> dict[str, Any]:
    """How well the evaluated candidates of a round were told apart, by what was known then."""
    own, before = found.rounds == number, found.rounds < number
    weights = WEIGHTS
    if before.any():
        weights = learned(found.known[before], found.stable[before], WEIGHTS, SPREAD)
    return {
        "round": number,
        "area_taught": area(found.known[own] @ weights, found.stable[own]),
        "area_of_the_package": area(found.given[own] @ WEIGHTS, found.stable[own]),
        "weights": weights.round(3).tolist(),
    }


def told(campaign: Campaign, given: argparse.Namespace) -> dict[str, Any]:
    """All that is measured of a campaign."""
    test = given.work / "test"
    key, reachable = stable_key(given.data, test, 75, 85)
    database = Database.read(
        test / "parents.parquet", MATERIALS_PROJECT, (test / "phases.parquet",)
    )
    placed = campaign.level(0).placed
    new = (placed.found.rounds > 0) & placed.compound
    values = labels_of(campaign, database).values[: int(new.sum())]
    labels = dict(zip(placed.found.ids[new].tolist(), values.tolist(), strict=True))
    offset = offset_of(campaign.answers, database)
    differences = offset.differences[offset.is_compound]
    found = Evaluated.of(campaign, labels, database.hull)
    numbers = sorted(set(found.rounds.tolist()))
    proposed = pa.concat_tables(
        rows.select(["reduced_formula"])
        for rows in Shards.open(Places(campaign.store.root, 1).ranked).tables()
    )
    return {
        "max_atoms": given.max_atoms,
        "per_round": given.per_round,
        "funnel": campaign.funnel,
        "offset": {
            "phases": len(differences),
            "median": float(np.median(differences)),
            "median_deviation": float(np.median(np.abs(differences - np.median(differences)))),
        },
        "key_in_first_round": len(reachable & set(proposed["reduced_formula"].to_pylist())),
        "rounds": [of_round(found, n, how, key) for n in numbers for how in (True, False)],
        "orders": [orders(found, n) for n in numbers],
        "evaluated_to_compete": int(pc.sum(pc.equal(campaign.evaluations["round"], 0)).as_py()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-round", type=int, default=24)
    parser.add_argument("--max-atoms", type=int, default=14)
    parser.add_argument("--min-elements", type=int, default=2)
    parser.add_argument("--parents-of", nargs="+", default=[])
    given = parser.parse_args()
    prepare(given.data, given.work / "test", 75)
    if given.parents_of:
        rows = pq.read_table(given.work / "test" / "parents.parquet")
        crystals, own = from_arrow(rows), [atomic_number(symbol) for symbol in given.parents_of]
        inside = crystals.composition[:, own].sum(axis=1) == crystals.n_atoms
        pq.write_table(rows.filter(pa.array(inside)), given.work / "parents.parquet")
        print(f"{int(inside.sum())} parents")
        return
    name = f"from-{given.min_elements}-elements"
    campaign = run(given.work / name, given)
    every = json.loads(RESULT.read_text("utf-8"))["campaigns"] if RESULT.exists() else {}
    every[name] = told(campaign, given)
    save({"elements": ELEMENTS, "campaigns": every}, RESULT)


if __name__ == "__main__":
    main()

"""Does a campaign over known crystals get better from round to round?

    python benchmarks/rounds.py --data DATA --work FOLDER [--rounds 3] [--per-round 24]

Parents, known compositions and hull: crystals of formula hashes below 75 as
``benchmarks/prospective.py`` prepares them, candidates of twenty common elements.  The campaign is
`gnomon discover --all` with gnomon-2 and no further level; it goes on where it was stopped.  Of
each round, by rank and at random: how many evaluated candidates ended in a new stable phase (on the
hull of the whole campaign), with Wilson's interval; how many compositions are in the key, those of
hashes 75 to 84 on the hull of the file; and the errors of the network that ranked the round, taught
by those before, beside those of the network of the package: against the evaluations, brought to the
database's scheme by the offset measured in the whole campaign.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from gnomon.discover import Campaign
from gnomon.discover.rates import wilson
from gnomon.discover.wide.database import MATERIALS_PROJECT, Database
from gnomon.discover.wide.networks import labels_of
from gnomon.discover.wide.offsets import offset_of
from gnomon.discover.wide.shortlist import ranker_of
from gnomon.io import from_arrow
from prospective import prepare, stable_key
from record import RESULTS, save

RESULT = RESULTS / "rounds.json"
RANDOM = 1 / 3
"""Of each round: enough to tell chance from ranking."""
ELEMENTS = (
    *("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Al", "Ga", "In", "Ti", "Zr", "Mn", "Fe"),
    *("Zn", "O", "Se", "F", "Cl"),
)


def run(work: Path, rounds: int, per_round: int, max_atoms: int) -> Campaign:
    """The campaign, begun or gone on with."""
    command = [sys.executable, "-m", "gnomon", "discover", "--all", "--out", str(work / "rounds")]
    command += ["--parents", str(work / "test" / "parents.parquet"), "--decide", "none"]
    command += ["--phases", str(work / "test" / "phases.parquet"), "--max-atoms", str(max_atoms)]
    command += [word for symbol in ELEMENTS for word in ("--elements", symbol)]
    command += ["--max-elements", "4", "--per-round", str(per_round), "--rounds", str(rounds)]
    command += ["--evaluations", str(rounds * per_round), "--minutes", "600"]
    settings = work / "rounds.toml"
    settings.write_text(f"[screen]\nrandom_share = {RANDOM}\n")
    command += ["--config", str(settings)]
    subprocess.run([*command, "--runner-workers", "1"], check=True)
    return Campaign(work / "rounds")


def of_round(
    campaign: Campaign, number: int, how: str, key: set[str], labels: dict[str, float]
) -> dict[str, Any]:
    """What one round brought by rank or at random."""
    rows = campaign.screening
    rows = rows.filter(pc.and_(pc.equal(rows["round"], number), pc.equal(rows["selection"], how)))
    found = campaign.crystals.take(pc.index_in(rows["id"], campaign.crystals["id"]))
    ids = rows["id"].to_pylist()
    there = np.array([one in labels for one in ids], bool)
    wanted = np.array([labels[one] for one in ids if one in labels])
    taught = rows["predicted_formation_energy_per_atom"].to_numpy(zero_copy_only=False)[there]
    before = ranker_of(campaign.config).predict(from_arrow(found)[there]).median
    stable = wilson(sum(one in campaign.hits for one in ids), len(ids))
    return {
        "round": number,
        "selection": how,
        "evaluated": len(ids),
        "stable": stable.k,
        "interval": [stable.low, stable.high],
        "with_energy": int(there.sum()),
        "mean_error": float(np.abs(taught - wanted).mean()),
        "mean_error_of_the_package": float(np.abs(before - wanted).mean()),
        "in_key": sum(f in key for f in found["reduced_formula"].to_pylist()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-round", type=int, default=24)
    parser.add_argument("--max-atoms", type=int, default=14)
    given = parser.parse_args()
    prepare(given.data, given.work / "test", 75)
    campaign = run(given.work, given.rounds, given.per_round, given.max_atoms)
    key, _ = stable_key(given.data, given.work / "test", 75, 85)
    database = Database.read(
        given.work / "test" / "parents.parquet",
        MATERIALS_PROJECT,
        (given.work / "test" / "phases.parquet",),
    )
    placed = campaign.level(0).placed
    new = (placed.found.rounds > 0) & placed.compound
    values = labels_of(campaign, database).values[: int(new.sum())]
    labels = dict(zip(placed.found.ids[new].tolist(), values.tolist(), strict=True))
    offset = offset_of(campaign.answers, database)
    differences = offset.differences[offset.is_compound]
    rounds = [
        of_round(campaign, number, how, key, labels)
        for number in range(1, given.rounds + 1)
        for how in ("ranked", "random")
    ]
    references = int(pc.sum(pc.equal(campaign.evaluations["round"], 0)).as_py())
    facts = {
        "max_atoms": given.max_atoms,
        "funnel": campaign.funnel,
        "offset": {
            "phases": len(differences),
            "median": float(np.median(differences)),
            "median_deviation": float(np.median(np.abs(differences - np.median(differences)))),
        },
    }
    save(
        {**facts, "rounds": rounds, "evaluated_to_compete": references, "elements": ELEMENTS},
        RESULT,
    )


if __name__ == "__main__":
    main()

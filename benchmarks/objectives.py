"""What a campaign evaluated for its objectives, beside what it evaluated by rank and at random.

    python benchmarks/objectives.py --weights FILE --work FOLDER

B-C-N for stability, hardness and toughness: candidates of at most four atoms from prototypes and
random cells, one round of 16 evaluations with a potential that knows diamond-like phases
(``nequix-oam-1-pft``, whose file is given), then hardness and toughness of all compounds within
0.35 eV/atom of the hull.  Told for each: formula, space group, energy above the hull, hardness,
toughness, how it was chosen, and whether it is of the front of the three.  A command that was
stopped goes on.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.discover import Campaign
from gnomon.generate.evolution.population import fronts
from gnomon.io.tables import read_table
from record import RESULTS, save

RESULT = RESULTS / "objectives.json"
IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "evolution-hardness.svg"
OBJECTIVES = ("e_above_hull", "max hardness", "max hardness.toughness")
NEAR = 0.35
"""eV/atom."""
COLOURS = {"ranked": "tab:blue", "objective": "tab:red", "random": "tab:gray"}
SAID = {"ranked": "by rank", "objective": "for the objectives", "random": "at random"}


def run(work: Path, weights: Path) -> Campaign:
    """The campaign and its properties, begun or gone on with."""
    work.mkdir(parents=True, exist_ok=True)
    settings, folder = work / "settings.toml", work / "campaign"
    settings.write_text("[screen]\nthreshold = 0.6\n[budget]\nfirst_round = 16\n")
    command = [sys.executable, "-m", "gnomon"]
    words = ["discover", "B-C-N", "--evaluator", str(weights), "--out", str(folder)]
    words += ["--generators", "prototypes", "--generators", "evolution", "--max-atoms", "4"]
    words += [word for text in OBJECTIVES for word in ("--objectives", text)]
    words += ["--config", str(settings), "--per-round", "16", "--evaluations", "96"]
    words += ["--rounds", "1", "--minutes", "600", "--decide", "none"]
    subprocess.run([*command, *words], check=True)
    words = ["properties", str(folder), "--compute", "hardness", "--near", str(NEAR)]
    words += ["--evaluator", str(weights)]
    subprocess.run([*command, *words], check=True)
    return Campaign(folder)


def told(campaign: Campaign) -> list[dict[str, Any]]:
    """Evaluated compounds near the hull, the hardest first."""
    table = {
        row["id"]: row
        for row in read_table(campaign.store.root / "tables" / "hardness.parquet").to_pylist()
    }
    rows = campaign.screening.to_pylist()
    selection = {row["id"]: row["selection"] for row in rows if row["selection"]}
    found = []
    for phase in campaign.level(0).phases:
        if (row := table.get(phase.relaxed_id)) is not None and not phase.known:
            found.append(
                {
                    "formula": phase.reduced_formula,
                    "space_group": phase.space_group,
                    "e_above_hull": round(phase.e_above_hull, 4),
                    "hardness": row["value"],
                    "toughness": row["toughness"],
                    "status": row["status"],
                    "selection": selection.get(phase.id, "reference"),
                    "prototype": phase.origin,
                }
            )
    ok = [row for row in found if row["status"] == "ok"]
    values = np.array([[r["e_above_hull"], -r["hardness"], -r["toughness"]] for r in ok])
    for row, front in zip(ok, fronts(values.reshape(-1, 3)).tolist(), strict=True):
        row["front"] = front
    return sorted(found, key=lambda row: -(row["hardness"] or 0.0))


def draw(rows: list[dict[str, Any]]) -> None:
    """Hardness over the energy above the hull."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "gnomon", "svg.fonttype": "none"})
    figure, axes = plt.subplots(figsize=(5.5, 3.7), layout="constrained")
    for how, colour in COLOURS.items():
        own = [row for row in rows if row["selection"] == how and row["status"] == "ok"]
        where = [[row[name] for row in own] for name in ("e_above_hull", "hardness")]
        axes.plot(*where, "o", color=colour, label=SAID[how])
        for row in own:
            if row["front"] == 0:
                text = f"{row['formula']} {row['space_group']}"
                at = (row["e_above_hull"], row["hardness"])
                axes.annotate(text, at, xytext=(4, 3), textcoords="offset points", fontsize=8)
    axes.set(xlabel="energy above the hull, eV/atom", ylabel="Vickers hardness, GPa")
    axes.legend(loc="best")
    figure.savefig(IMAGE, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    given = parser.parse_args()
    campaign = run(given.work, given.weights)
    rows = told(campaign)
    for row in rows:
        print(row)
    save({"scheme": campaign.level(0).scheme, "objectives": OBJECTIVES, "near": rows}, RESULT)
    draw(rows)


if __name__ == "__main__":
    main()

"""How often what a level calls stable with some probability is stable: the reliability curve.

    python benchmarks/reliability.py --data DATA --weights gnomon-2 gnomon-1 TEACHER --rows 1000

The crystals, energies and hull are those of ``wbm.py`` (WBM, drawn with ``--seed``), and what was
relaxed there is used.  The mean error and the bias of the first ``--measured`` crystals make the
probabilities (``gnomon.evaluate.measured``); the reliability is that of the others, which nothing
saw.  Writes the table of measured errors that the package holds, the result, and the figure.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.discover.rates import wilson
from gnomon.evaluate import measured as package
from gnomon.evaluate.corrections import SCHEME_SUFFIX
from gnomon.evaluate.measured import LevelError
from gnomon.potential.predict import load_potential
from record import RESULTS, save
from relaxed import relaxed_energies
from wbm import RELAX, arguments, drawn, fitted_on, formed, judged_rows, known_hull, score

RESULT = RESULTS / "reliability.json"
TABLE = Path(package.__file__).parent / "data" / package.FILE
IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "reliability.svg"
BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
SOURCE = "{} crystals of WBM, elements fitted, hull of the Materials Project: benchmarks/{}"


def reliability(probability: np.ndarray, stable: np.ndarray) -> dict[str, Any]:
    """What was said and what was so, in bins of probability."""
    place = np.digitize(probability, BINS[1:-1])
    rows = []
    for i in range(len(BINS) - 1):
        inside = place == i
        if not inside.any():
            continue
        rate = wilson(int(stable[inside].sum()), int(inside.sum()))
        rows.append(
            {
                "from": BINS[i],
                "to": BINS[i + 1],
                "said": round(float(probability[inside].mean()), 3),
                "stable": rate.k,
                "of": rate.n,
                "interval": [round(rate.low, 3), round(rate.high, 3)],
            }
        )
    off = sum(abs(row["said"] * row["of"] - row["stable"]) for row in rows) / len(stable)
    base = float(stable.mean())
    return {
        "rows": len(stable),
        "stable": int(stable.sum()),
        "expected_calibration_error": round(float(off), 3),
        "brier": round(float(((probability - stable) ** 2).mean()), 4),
        "brier_of_the_share_alone": round(base * (1 - base), 4),
        "bins": rows,
    }


def measure(given: argparse.Namespace) -> tuple[dict[str, Any], list[LevelError]]:
    pool, other = drawn(given.data, given.rows, given.seed), fitted_on(given.data)
    hull, on_hull = known_hull(given.data)
    counted, truth = judged_rows(pool, other, hull, on_hull)
    found, errors = {}, []
    for name in given.weights:
        potential = load_potential(name)
        rows = given.fewer.get(name, given.rows)
        energy = relaxed_energies(potential, pool.crystals[:rows], given.work, "wbm", RELAX)
        placed = formed(potential, energy, pool, other)
        there = np.flatnonzero(counted[:rows] & np.isfinite(placed))
        above = np.asarray(hull.e_above_hull(pool.crystals.composition[there], placed[there]))
        first = there < given.measured
        scored = score(above[first], truth[there[first]])
        error = LevelError(
            scheme=potential.scheme + SCHEME_SUFFIX,
            rows=scored["n"],
            stable=scored["stable"],
            f1=scored["F1"],
            mean_absolute_error=round(scored["mean_absolute_error"] / 1000, 4),
            bias=round(scored["bias"] / 1000, 4),
            source=SOURCE.format(scored["n"], "reliability.py"),
        )
        said = np.array([error.probability_stable(d) for d in above[~first].tolist()])
        errors.append(error)
        found[error.scheme] = {
            "measured_on_the_first": scored,
            "reliability_on_the_others": reliability(said, truth[there[~first]] <= 0),
        }
    return {"rows": given.rows, "seed": given.seed, "levels": found}, errors


def plot(result: dict[str, Any], image: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "gnomon"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(4.8, 4.4), layout="constrained")
    axes.plot([0, 1], [0, 1], "-", color="#b9c0c6", lw=1)
    for (scheme, level), colour in zip(
        result["levels"].items(), ("#b3470b", "#0b6e99", "#6b8e23"), strict=False
    ):
        bins = level["reliability_on_the_others"]["bins"]
        said = [row["said"] for row in bins]
        share = np.array([row["stable"] / row["of"] for row in bins])
        low, high = np.array([row["interval"] for row in bins]).T
        n = level["reliability_on_the_others"]["rows"]
        axes.errorbar(
            said, share, [share - low, high - share], fmt="o-", color=colour, ms=4, lw=1.2,
            elinewidth=0.8, capsize=2, label=f"{scheme.split(' (')[0]} ({n} crystals)",
        )  # fmt: skip
    axes.set(
        xlabel="probability of being stable, as said",
        ylabel="share that is stable by DFT",
        xlim=(0, 1), ylim=(0, 1),
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", frameon=False, loc="upper left")
    figure.savefig(image, metadata={"Date": None})


def main() -> None:
    """Everything that was relaxed is kept: the same call goes on where it was stopped."""
    parser = arguments(__doc__, rows=1000, out=RESULT)
    parser.add_argument(
        "--fewer", type=lambda text: text.split("="), nargs="*", default=[],
        help="NAME=ROWS: fewer rows for one of the weights",
    )  # fmt: skip
    parser.add_argument("--measured", type=int, default=400, help="the first so many rows")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--image", type=Path, default=IMAGE)
    given = parser.parse_args()
    given.fewer = {name: int(rows) for name, rows in given.fewer}
    result, errors = measure(given)
    table = json.dumps([error.model_dump() for error in errors], indent=2)
    given.table.write_text(table + "\n", encoding="utf-8")
    plot(result, given.image)
    save(result, given.out)


if __name__ == "__main__":
    main()

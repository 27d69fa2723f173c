"""Draw the discovery curves of replays, and keep their figures.

    gnomon replay wbm_pool.parquet --energies formation_energy_per_atom_mp2020 \\
        --known structures.parquet --phases ground_states.parquet \\
        --model structural-2 --composition-model composition-1 --batch 50 --rounds 20 --out sim
    python benchmarks/replay.py sim

One panel a folder of `gnomon replay`: stable crystals found against crystals evaluated, the mean
over seeds with its interval; chance dashed.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from record import RESULTS, save

RESULT = RESULTS / "replay.json"
IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "replay.svg"
COLOURS = ("#8a8a8a", "#0b6e99", "#c2571a", "#3f7f3f", "#7b4fa3", "#b08a00")
SHARES = (0.02, 0.05, 0.1, 0.2)
"""Of the pool, at which the acceleration over chance is told."""


def accelerations(found: dict[str, Any]) -> dict[str, Any]:
    """Stable crystals found over those that chance would find, by strategy and share."""
    chance = found["stable_against_known"] / found["pool"]
    rows: dict[str, Any] = {}
    for name, strategy in found["strategies"].items():
        x, y = np.array(strategy["evaluations"]), np.array(strategy["found_mean"])
        half = strategy["found_half_width"]
        rows[name] = {}
        for share in SHARES:
            n = share * found["pool"]
            if n > x[-1]:
                continue
            mean = float(np.interp(n, x, y))
            rows[name][f"{share:.0%}"] = {
                "found": round(mean, 1),
                "acceleration": round(mean / (n * chance), 2),
                "half_width": None
                if half is None
                else round(float(np.interp(n, x, half)) / (n * chance), 2),
            }
    return rows


def plot(replays: dict[str, dict[str, Any]], image: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "gnomon"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1, len(replays), figsize=(5.2 * len(replays), 4), layout="constrained", squeeze=False
    )
    for axes, (title, found) in zip(panels[0], replays.items(), strict=True):
        last = 0
        for colour, (name, strategy) in zip(COLOURS, found["strategies"].items(), strict=False):
            x, y = np.array(strategy["evaluations"]), np.array(strategy["found_mean"])
            axes.plot(x, y, color=colour, label=name)
            if strategy["found_half_width"] is not None:
                half = np.array(strategy["found_half_width"])
                axes.fill_between(x, y - half, y + half, color=colour, alpha=0.2, lw=0)
            last = max(last, int(x[-1]))
        chance = found["stable_against_known"] / found["pool"]
        axes.plot([0, last], [0, last * chance], "k--", lw=1, label="chance")
        top = min(last, found["stable_against_known"])
        axes.plot([0, top], [0, top], "k:", lw=1, label="most possible")
        axes.set(
            xlabel=f"evaluated, of {found['pool']:,}",
            ylabel=f"stable found, of {found['stable_against_known']:,}",
            title=title,
        )
        axes.grid(alpha=0.3)
    panels[0][0].legend(fontsize="small", frameon=False)
    image.parent.mkdir(exist_ok=True)
    figure.savefig(image, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", help="of `gnomon replay`")
    parser.add_argument("--titles", nargs="+", help="one a folder [its name]")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--image", type=Path, default=IMAGE)
    given = parser.parse_args()
    titles = given.titles or [folder.name for folder in given.folders]
    if len(titles) != len(given.folders):
        parser.error(f"{len(titles)} --titles for {len(given.folders)} folders")
    replays = {
        title: json.loads((folder / "summary.json").read_text("utf-8"))
        for title, folder in zip(titles, given.folders, strict=True)
    }
    plot(replays, given.image)
    keys = ("pool", "known", "stable_against_known", "stable_if_pool_shifted")
    save(
        {
            "benchmark": "replay",
            "replays": {
                title: {**{k: found[k] for k in keys}, "strategies": accelerations(found)}
                for title, found in replays.items()
            },
        },
        given.out,
    )


if __name__ == "__main__":
    main()

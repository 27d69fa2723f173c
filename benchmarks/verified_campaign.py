"""A campaign by a potential beside its verification by DFT, as a figure and as JSON.

    gnomon discover Au-Cu; gnomon verify campaign-Au-Cu --engine gpaw --margin 0
    gnomon discover Na-Cl --config small.toml; gnomon verify campaign-Na-Cl --engine gpaw
    python benchmarks/verified_campaign.py campaign-Au-Cu campaign-Na-Cl --engine gpaw

Binary systems.  Grey: all that the campaign evaluated, with its hull; coloured: the finds and what
they compete with, at the higher level, with the hull of those.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.discover import Campaign
from gnomon.discover.finds import Phase
from gnomon.hull.phases import compositions
from gnomon.run.store import Store
from gnomon.verify.output import facts
from gnomon.verify.plan import plan
from gnomon.verify.run import results
from gnomon.verify.verdicts import Verification, assess
from record import RESULTS, save

RESULT = RESULTS / "verified_campaign.json"
IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "verified.svg"
HIGHEST = 0.06
"""eV/atom above the elements up to which a figure shows phases."""

Point = tuple[str, float, float]
"""Reduced formula, atomic fraction of the second element, formation energy (eV/atom)."""


def verification_folder(campaign: Store, engine: str) -> Store:
    """The one folder of an engine in a campaign.

    Raises:
        ValueError: if there is none, or there are several.
    """
    found = sorted((campaign.root / "verification").glob(f"{engine}-*"))
    if len(found) != 1:
        raise ValueError(f"{len(found)} verifications by {engine!r} in {campaign.root}, not one")
    return Store(found[0])


def verified(campaign: Store, engine: str, top: int) -> dict[str, Any]:
    """Both levels of a campaign."""
    opened = Campaign(campaign)
    chosen = plan(opened, top)
    rows = results(chosen, verification_folder(campaign, engine))
    (scheme,) = set(rows["scheme"].to_pylist())
    verification = assess(chosen, rows, scheme)
    before = opened.phases
    symbols = sorted({symbol for phase in before for symbol in phase.elements})
    formulas = dict(zip(chosen.crystals.ids, chosen.crystals.reduced_formulas, strict=True))
    statuses = rows["status"].to_pylist()
    return {
        "campaign": campaign.root.name,
        "elements": symbols,
        "evaluations": {
            "n": len(rows),
            "converged": statuses.count("converged"),
            "seconds": round(float(np.nansum(rows["seconds"].to_numpy())), 1),
        },
        "phases": {
            verification.campaign_scheme: _points(before, symbols),
            scheme: _verified_points(rows.to_pylist(), formulas, symbols, verification),
        },
        **{
            k: v for k, v in facts(verification).items() if k not in ("gnomon", "commit", "written")
        },
    }


def _points(phases: tuple[Phase, ...], symbols: list[str]) -> list[Point]:
    return [
        (
            phase.reduced_formula,
            _fraction(phase.reduced_formula, symbols),
            phase.formation_energy_per_atom,
        )
        for phase in phases
    ]


def _verified_points(
    rows: list[dict[str, Any]],
    formulas: dict[str, str],
    symbols: list[str],
    verification: Verification,
) -> list[Point]:
    points = []
    for row in rows:
        if row["status"] != "converged":
            continue
        formula = formulas[row["id"]]
        x = _fraction(formula, symbols)
        first, second = (verification.references[symbol] for symbol in symbols)
        points.append((formula, x, row["energy_per_atom"] - (1 - x) * first - x * second))
    return points


def _fraction(formula: str, symbols: list[str]) -> float:
    from gnomon.elements import SYMBOLS

    counts = compositions([formula])[0]
    return float(counts[SYMBOLS.index(symbols[1])] / counts.sum())


def lower_hull(points: list[Point]) -> np.ndarray:
    """Corners of the lower convex hull of points at or below zero, from 0 to 1."""
    corners: list[tuple[float, float]] = []
    lowest: dict[float, float] = {0.0: 0.0, 1.0: 0.0}
    for _, x, energy in points:
        lowest[round(x, 9)] = min(energy, lowest.get(round(x, 9), np.inf))
    for x, energy in sorted(lowest.items()):
        while len(corners) > 1 and _below(corners[-2], corners[-1], (x, energy)):
            corners.pop()
        corners.append((x, energy))
    return np.array(corners)


def _below(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    """Whether c makes b no corner of a lower hull."""
    return (b[0] - a[0]) * (c[1] - a[1]) <= (c[0] - a[0]) * (b[1] - a[1])


def plot(campaigns: list[dict[str, Any]], image: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "gnomon"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(
        1, len(campaigns), figsize=(4.8 * len(campaigns), 4), layout="constrained", squeeze=False
    )
    for axes, campaign in zip(panels[0], campaigns, strict=True):
        (potential, low), (dft, high) = campaign["phases"].items()
        for name, points, colour, marker in (
            (potential, low, "#8a8a8a", "o"),
            (dft, high, "#0b6e99", "D"),
        ):
            shown = [point for point in points if point[2] < HIGHEST]
            short = name.split(" (")[0].split(",")[0]
            axes.plot(*lower_hull(points).T, "-", color=colour, lw=1.2)
            axes.plot(
                [p[1] for p in shown], [p[2] for p in shown], marker, color=colour, ms=4,
                mfc="none" if marker == "o" else colour, label=short, ls="",
            )  # fmt: skip
        stable = {find["reduced_formula"] for find in campaign["finds"]}
        for formula, x, energy in high:
            if formula in stable:
                axes.annotate(
                    formula, (x, energy), xytext=(4, -10), textcoords="offset points", fontsize=7
                )
        first, second = campaign["elements"]
        axes.set(xlabel=f"fraction of {second} in {first}-{second}", xlim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
    panels[0][0].set(ylabel="formation energy (eV/atom)")
    panels[0][0].legend(fontsize="small", frameon=False)
    image.parent.mkdir(exist_ok=True)
    figure.savefig(image, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaigns", type=Path, nargs="+", help="folders of verified campaigns")
    parser.add_argument("--engine", default="gpaw")
    parser.add_argument("--top", type=int, default=20, help="as given to `gnomon verify`")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--image", type=Path, default=IMAGE)
    given = parser.parse_args()
    found = [verified(Store(folder), given.engine, given.top) for folder in given.campaigns]
    plot(found, given.image)
    save({"benchmark": "verified_campaign", "campaigns": found}, given.out)


if __name__ == "__main__":
    main()

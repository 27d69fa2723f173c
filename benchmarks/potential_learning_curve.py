"""How the error of a potential falls with its training set, drawn with its power law.

    python benchmarks/potential_learning_curve.py

The points are kept in the JSON, for they took an accelerator: four networks of one shape, from
random weights on nested shares of the formulas of gnomon-2's training set, the same number of steps
each, measured on the 393 gentle frames of held-out formulas that measure gnomon-2.  The power law
(``gnomon.models.learning_curve``) is fitted anew.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.models.learning_curve import PowerLaw, fit_power_law
from record import RESULTS

RESULT = RESULTS / "potential_learning_curve.json"
IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "potential-learning-curve.svg"
ERRORS = {
    "energy": ("energy, meV/atom", "#0b6e99"),
    "forces": ("forces, meV/Å", "#c2571a"),
}


def laws(points: list[dict[str, Any]]) -> dict[str, PowerLaw]:
    """A power law of each error (eV/atom, eV/Å) in the number of frames."""
    frames = np.array([point["frames"] for point in points], float)
    energy = np.array([point["energy_meV_per_atom"] for point in points]) / 1000
    forces = np.array([point["forces_eV_per_angstrom"] for point in points])
    return {"energy": fit_power_law(frames, energy), "forces": fit_power_law(frames, forces)}


def plot(points: list[dict[str, Any]], found: dict[str, PowerLaw], image: Path) -> None:
    """Errors against frames, both logarithmic."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "gnomon"  # the same figures give the same file
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    frames = [point["frames"] for point in points]
    for name, (label, colour) in ERRORS.items():
        key = "energy_meV_per_atom" if name == "energy" else "forces_eV_per_angstrom"
        values = [point[key] * (1 if name == "energy" else 1000) for point in points]
        law = found[name]
        axes.loglog(
            frames, values, "o", color=colour, label=f"{label}, exponent {law.exponent:.2f}"
        )
        axes.loglog(frames, [1000 * law.error(n) for n in frames], "--", color=colour, alpha=0.5)
    axes.set(xlabel="frames that train", ylabel="error on held-out formulas")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize="small", frameon=False)
    image.parent.mkdir(exist_ok=True)
    figure.savefig(image, metadata={"Date": None})


def main() -> None:
    """Fit, draw, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=Path, default=RESULT)
    parser.add_argument("--image", type=Path, default=IMAGE)
    given = parser.parse_args()
    points = json.loads(given.points.read_text(encoding="utf-8"))["points"]
    found = laws(points)
    plot(points, found, given.image)
    for name, law in found.items():
        print(f"{name}: exponent {law.exponent:.3f} +- {law.deviation:.3f}")


if __name__ == "__main__":
    main()

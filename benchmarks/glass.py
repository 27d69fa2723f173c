"""Mobility in a glass: message passing against linear regression, by time, depth and temperature.

    python benchmarks/glass.py FOLDER [--published kob_andersen_4096.npz] [--steps simulate ...]

``simulate`` makes the systems (7 minutes of one core), ``regression`` and ``shear`` take seconds,
``networks`` trains one network a depth (6 minutes), ``figure`` draws.  All is kept in FOLDER and
gone on with; what was measured stands in benchmarks/results/glass.json.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from record import RESULTS, save

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "examples" / "glass"))

import network as graph  # noqa: E402
import regression  # noqa: E402
import shear  # noqa: E402
import simulate  # noqa: E402
from liquid import at_rest  # noqa: E402
from systems import LEVELS, System, read, read_published  # noqa: E402

from gnomon.learn.optimize import OptimizerConfig  # noqa: E402

OUT = RESULTS / "glass.json"
IMAGE = HERE.parent / "docs" / "images" / "glass.svg"
SYSTEMS = {0.55: 10, 0.65: 3}
HELD_OUT = 4
"""Systems at the first temperature that train nothing."""

DEPTHS = (1, 2, 4)
TRAINING = OptimizerConfig(
    epochs=100, batch=1, method="muon", learning_rate=2e-2, weight_decay=0.5, averaging=0.98
)
"""Chosen on systems 4 and 5 after training on 0 to 3, and stopped early by the decay: at 0.01 and
160 epochs networks of two passes came to 0.79 on what they saw and 0.11 on the held-out systems."""

RESAMPLED = 1000


def of_a(system: System) -> np.ndarray:
    """(n,) bool."""
    return system.liquid.kinds == 0


def blocks(system: System) -> np.ndarray:
    """(n,), in which eighth of the box each particle is: mobile ones lie together."""
    half = (system.liquid.places / system.liquid.box % 1.0 >= 0.5).astype(int)
    return 4 * half[0] + 2 * half[1] + half[2]


def measured(guesses: Sequence[np.ndarray], systems: Sequence[System]) -> dict[str, list[float]]:
    """Pearson's correlation of A at each level over systems, with 95 % intervals over blocks.

    Args:
        guesses: (levels, n) for each system.
        systems: with their mobilities.
    """
    kept = [of_a(s) for s in systems]
    guess = np.concatenate([g[:, k].T for g, k in zip(guesses, kept, strict=True)])
    y = np.concatenate([s.mobility[:, k].T for s, k in zip(systems, kept, strict=True)])
    block = np.concatenate([8 * i + blocks(s)[of_a(s)] for i, s in enumerate(systems)])
    rows = [np.flatnonzero(block == b) for b in np.unique(block)]
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLED):
        some = np.concatenate([rows[b] for b in rng.integers(0, len(rows), len(rows))])
        drawn.append(regression.correlations(guess[some], y[some]))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    found = regression.correlations(guess, y)
    return {
        k: np.round(v.astype(float), 3).tolist()
        for k, v in (("r", found), ("low", low), ("high", high))
    }


def ceiling(systems: Sequence[System]) -> list[float]:
    """What a perfect guess would reach: the root of the reliability (Spearman and Brown)."""
    halves = np.concatenate([s.halves[:, :, of_a(s)] for s in systems], axis=2)
    r = regression.correlations(halves[0].T, halves[1].T)
    return np.sqrt(2 * r / (1 + r)).astype(float).round(3).tolist()


def rested(systems: Sequence[System]) -> list[System]:
    """The systems where their particles come to rest."""
    return [s._replace(liquid=at_rest(s.liquid)[0]) for s in systems]


class Data:
    """Systems by temperature; those that train and those that are held out at the first."""

    def __init__(self, folder: Path, published: Path | None) -> None:
        """Systems in a folder; other temperatures only if they are there."""
        made = {t: sorted(folder.glob(f"{t:.2f}-*.npz"))[:n] for t, n in SYSTEMS.items()}
        self.at = {t: read(files) for t, files in made.items() if files}
        coldest, wanted = next(iter(SYSTEMS.items()))
        first = self.at.get(coldest, [])
        if len(first) < wanted:
            raise SystemExit(f"{folder} holds {len(first)} of {wanted} systems: --steps simulate")
        self.train, self.held_out = first[:-HELD_OUT], first[-HELD_OUT:]
        self.others: dict[str, list[System]] = {
            f"T = {t}": systems for t, systems in self.at.items() if systems is not first
        }
        if published is not None:
            self.others["T = 0.44, published"] = [read_published(published)]

    def everywhere(self, guess: Callable[[Sequence[System]], list[np.ndarray]]) -> dict[str, Any]:
        """Correlations on the held-out systems and at other temperatures."""
        groups = {"held out": self.held_out, **self.others}
        return {name: measured(guess(systems), systems) for name, systems in groups.items()}


def learned(
    systems: Sequence[System], of: Callable[[Sequence[System]], Sequence[System]]
) -> Callable[[Sequence[System]], list[np.ndarray]]:
    """A regression on these systems, on where ``of`` puts the particles."""

    def features(some: Sequence[System]) -> np.ndarray:
        return regression.densities(of(some))

    kept = np.concatenate([of_a(s) for s in systems])
    groups = np.concatenate([np.full(len(of_a(s)), i) for i, s in enumerate(systems)])[kept]
    y = np.concatenate([s.mobility.T for s in systems])[kept]
    line = regression.fit(features(systems)[kept], y, groups)

    def guess(some: Sequence[System]) -> list[np.ndarray]:
        ends = np.cumsum([len(of_a(s)) for s in some])[:-1]
        return [part.T for part in np.split(line(features(some)), ends)]

    return guess


def run_regression(data: Data, _: Path) -> dict[str, Any]:
    """Regressions on the places as they are and at rest."""
    return {
        "as they are": data.everywhere(learned(data.train, list)),
        "at rest": data.everywhere(learned(data.train, rested)),
    }


NETWORKS: dict[str, tuple[int, Callable[[Sequence[System]], Sequence[System]]]] = {
    **{f"{depth} passes": (depth, list) for depth in DEPTHS},
    f"{DEPTHS[-1]} passes, at rest": (DEPTHS[-1], rested),
}


def run_networks(data: Data, folder: Path) -> dict[str, Any]:
    """A network for each depth, and the deepest at rest; each is kept as it is done."""
    for name, (depth, of) in NETWORKS.items():
        kept = folder / f"network, {name}.json"
        if not kept.exists():
            began, systems = time.process_time(), of(data.train)
            counted = [of_a(s) for s in systems]
            trained = graph.train(systems, counted, depth, TRAINING, kept.with_suffix(".partial"))

            def guess(some: Sequence[System], of: Any = of, by: Any = trained) -> list[np.ndarray]:
                return by(of(some))

            told = data.everywhere(guess)
            told["trained on"] = measured(guess(data.train), data.train)
            told["cpu seconds"] = round(time.process_time() - began)
            kept.write_text(json.dumps(told))
            print(name, told["held out"]["r"], told["cpu seconds"], flush=True)
    return {n: json.loads((folder / f"network, {n}.json").read_text()) for n in NETWORKS}


def run_published(data: Data, folder: Path) -> dict[str, Any]:
    """The published system, cut: three tenths of an axis held out, two gaps of a tenth.

    Regressions over six cuts: mean, lowest and highest; a network on the first cut alone.
    """
    [system] = data.others["T = 0.44, published"]
    x, y = regression.densities([system]), system.mobility.T
    place, scores, cuts = system.liquid.places / system.liquid.box, [], []
    for axis in range(3):
        for start in (0.0, 0.5):
            p = (place[axis] - start) % 1.0
            out, kept = of_a(system) & (p < 0.3), of_a(system) & (p > 0.4) & (p < 0.9)
            line = regression.fit(x[kept], y[kept], np.floor((p[kept] - 0.4) / 0.125))
            scores.append(regression.correlations(line(x[out]), y[out]))
            cuts.append((out, kept))
    out, kept = cuts[0]
    config = TRAINING.model_copy(update={"epochs": 150})
    trained = graph.train([system], [kept], 2, config, folder / "network, cut.partial")
    by_network = regression.correlations(trained([system])[0].T[out], y[out])
    told = {
        "r": np.mean(scores, axis=0),
        "low": np.min(scores, axis=0),
        "high": np.max(scores, axis=0),
        "first cut": scores[0],
        "first cut, network of 2 passes": by_network,
    }
    rounded = {name: values.astype(float).round(3).tolist() for name, values in told.items()}
    return {"cuts": len(cuts), **rounded}


def run_shear(data: Data, _: Path) -> dict[str, Any]:
    """Rank correlation of rearrangement under shear with mobility, guessed and measured."""
    from scipy.stats import spearmanr

    rows = []
    guesses = learned(data.train, rested)(data.held_out)
    for system, guess in zip(data.held_out, guesses, strict=True):
        kept = of_a(system)
        moved = shear.d2min(*shear.pulled(system.liquid))[kept]
        for name, told in (("guessed", guess), ("measured", system.mobility)):
            rows.append((name, [spearmanr(moved, level[kept])[0] for level in told]))
    found: dict[str, Any] = {"strain": shear.STRAIN, "systems": len(data.held_out)}
    for name in ("guessed", "measured"):
        each = np.array([row for told, row in rows if told == name])
        found[name] = {
            "rank correlation": each.mean(axis=0).round(3).tolist(),
            "standard error": (each.std(axis=0, ddof=1) / len(each) ** 0.5).round(3).tolist(),
        }
    return found


def draw(result: dict[str, Any]) -> None:
    """Correlations by time, and by depth."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "gnomon", "svg.fonttype": "none", "font.size": 9})
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), width_ratios=(3, 2))
    at = np.arange(len(LEVELS))
    curves = {
        "regression": result["regression"]["as they are"],
        "regression, at rest": result["regression"]["at rest"],
        **{f"network, {k}": v for k, v in result["networks"].items() if k.startswith("4")},
    }
    left.plot(at, result["ceiling"], color="0.6", ls="--", label="a perfect guess")
    for name, told in curves.items():
        one = told["held out"]
        [line] = left.plot(at, one["r"], marker="o", ms=3, label=name)
        left.fill_between(at, one["low"], one["high"], color=line.get_color(), alpha=0.12, lw=0)
    left.set_xticks(at, ["1/e" if np.isclose(x, np.exp(-1)) else f"{x:.1f}" for x in LEVELS])
    left.set(xlabel="intermediate scattering function: time →", ylabel="Pearson, A, held out")
    left.set(ylim=(0, 1.35), yticks=np.linspace(0, 1, 6))
    left.legend(frameon=False, fontsize=7, ncols=2, loc="upper center")
    for level in (1, 4, 8):
        rows = [result["networks"][f"{d} passes"]["held out"] for d in DEPTHS]
        r = np.array([row["r"][level] for row in rows])
        spread = np.abs(np.array([[row[k][level] for row in rows] for k in ("low", "high")]) - r)
        right.errorbar(
            DEPTHS, r, spread, marker="o", ms=3, capsize=2, label=f"at {LEVELS[level]:.1f}"
        )
    right.set_xticks(DEPTHS)
    right.set(xlabel="passes, each of 1.5 sigma", ylim=(0, 1))
    right.legend(frameon=False, fontsize=7)
    figure.tight_layout()
    figure.savefig(IMAGE, metadata={"Date": None})


STEPS: dict[str, Callable[[Data, Path], dict[str, Any]]] = {
    "regression": run_regression,
    "networks": run_networks,
    "published": run_published,
    "shear": run_shear,
}


def measure(
    folder: Path, published: Path | None, steps: Sequence[str], before: dict[str, Any]
) -> dict[str, Any]:
    """What was measured before and what these steps measure, written after each."""
    data = Data(folder, published)
    result = before | {
        "levels": [round(float(level), 3) for level in LEVELS],
        "systems": {f"{t}": len(systems) for t, systems in data.at.items()},
        "particles": simulate.PARTICLES,
        "trajectories": simulate.TRAJECTORIES,
        "trained on": len(data.train),
        "held out": len(data.held_out),
        "ceiling": ceiling(data.held_out),
    }
    for name, step in STEPS.items():
        if name in steps and (name != "published" or published):
            result[name] = step(data, folder)
            save(result, OUT)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--published", type=Path, help="kob_andersen_4096.npz")
    steps = ["simulate", *STEPS, "figure"]
    parser.add_argument("--steps", nargs="+", choices=steps, default=steps)
    given = parser.parse_args()
    if "simulate" in given.steps:
        for temperature, systems in SYSTEMS.items():
            simulate.make(given.folder, temperature, systems)
    result = json.loads(OUT.read_text()) if OUT.exists() else {}
    if set(STEPS) & set(given.steps):
        result = measure(given.folder, given.published, given.steps, result)
    if "figure" in given.steps:
        draw(result)


if __name__ == "__main__":
    main()

"""Errors of formation energies on unseen formulas: gnomon's ensemble and two peers, one split.

    python -m venv peers && peers/bin/pip install -e . torch torch_geometric scikit-learn matminer
    peers/bin/python benchmarks/energy_models.py --data DATA --checkpoint mp.gnomon

(torch from https://download.pytorch.org/whl/cpu where there is no GPU.)

Materials Project crystals whose formula hash is under 75 train, 75 to 84 test; polymorphs of a
formula are on one side.  CGCNN (``cgcnn.py``) and Magpie features with gradient boosting
(``magpie.py``) train here for ``--minutes``, by default as long as the checkpoint's card says that
the whole ensemble took; without a checkpoint the ensemble is trained first, with its defaults.
The ensemble in the package is in the table too: it learned from labels of a potential as well, and
for longer.  Nothing but the training rows chooses anything: no peer and no
network stops by the test rows.

A crystal that a model does not predict counts with what its elements alone say.  Times are wall
times with graphs and compilation; features of formulas, which are kept on disk, are left out.
Training speeds, of steps alone, are of one network of 64 features each, after a first epoch.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.io import from_arrow
from gnomon.models.bundled import STRUCTURAL, model_path
from record import RESULTS, quiet, save

RESULT = RESULTS / "energy_models.json"
WIDTH = 64
"""Features an atom of both networks where speeds are compared."""
SPEED_ROWS, SPEED_EPOCHS = 4096, 4


class Data(NamedTuple):
    """Labelled crystals and who trains; energies in eV/atom."""

    crystals: Crystals
    energies: np.ndarray
    train: np.ndarray
    test: np.ndarray


def load(folder: Path, rows: int | None = None) -> Data:
    """All of ``materials_project/structures.parquet``, or so many of its rows for a trial."""
    table = pq.read_table(folder / "materials_project" / "structures.parquet")
    if rows is not None:
        table = table.take(np.sort(np.random.default_rng(0).permutation(len(table))[:rows]))
    hashes = table["formula_hash"].to_numpy()
    return Data(
        from_arrow(table),
        table["formation_energy_per_atom"].to_numpy(),
        np.flatnonzero(hashes < 75),
        np.flatnonzero((hashes >= 75) & (hashes < 85)),
    )


def errors(predicted: np.ndarray, fallback: np.ndarray, data: Data) -> dict[str, Any]:
    """Mean absolute error on the test rows with a 95 % interval (bootstrap), and on all rows."""
    there = np.isfinite(predicted)
    absolute = np.abs(np.where(there, predicted, fallback) - data.energies)
    test = absolute[data.test]
    rng = np.random.default_rng(0)
    means = [rng.choice(test, len(test)).mean() for _ in range(500)]
    return {
        "test_mae_meV": round(1e3 * float(test.mean()), 2),
        "interval_meV": [round(1e3 * float(q), 2) for q in np.quantile(means, [0.025, 0.975])],
        "test_median_meV": round(1e3 * float(np.median(test)), 2),
        "train_mae_meV": round(1e3 * float(absolute[data.train].mean()), 2),
        "unpredicted": int((~there[data.test]).sum()),
    }


def trained(checkpoint: Path | None, data: Data, epochs: int | None) -> Path:
    """The checkpoint, or one that is trained now."""
    if checkpoint is not None:
        return checkpoint
    from gnomon.models.card import Labelled
    from gnomon.models.structural.train import TrainConfig, train

    config = TrainConfig()
    if epochs is not None:
        optimizer = config.optimizer.model_copy(update={"epochs": epochs})
        config = config.model_copy(update={"optimizer": optimizer})
    out = Path(tempfile.mkdtemp()) / "structural.gnomon"
    train(Labelled(data.crystals, data.energies, scheme="Materials Project"), config).save(out)
    return out


def ours(path: Path, data: Data, name: str) -> tuple[list[dict[str, Any]], float, np.ndarray]:
    """Rows of the ensemble, of one member and of the elements alone; seconds; that fallback."""
    from gnomon.models.ensemble import load_model

    model = load_model(path)
    card = model.card
    assert card is not None
    if int(card.config["train_below"]) > 75:
        raise ValueError(f"{path} was trained on formula hashes below {card.config['train_below']}")
    elements = model.target.shared().of_fractions(data.crystals.fractions)
    said = model.predict(data.crystals)
    of_members = [errors(member, elements, data)["test_mae_meV"] for member in said.members]
    about = {
        "wall_s": card.wall_seconds,
        "members": card.members,
        "trained_on": card.machine,
        "config": card.config,
    }
    return (
        [
            {"model": f"{name}, ensemble", **errors(said.median, elements, data), **about},
            {
                "model": f"{name}, one member (mean of their errors)",
                "test_mae_meV": round(float(np.mean(of_members)), 2),
                "of_members_meV": of_members,
                "wall_s": round(card.wall_seconds / card.members, 1),
            },
            {"model": "elements alone (ridge)", **errors(elements, elements, data)},
        ],
        card.wall_seconds,
        elements,
    )


def cgcnn_row(data: Data, fallback: np.ndarray, seconds: float, seed: int) -> dict[str, Any]:
    import cgcnn

    trainer, facts = cgcnn.train(data.crystals, data.energies, data.train, seconds, seed)
    predicted = trainer.predict(np.arange(len(data.energies)))
    return {"model": "CGCNN (CGConv)", **errors(predicted, fallback, data), **facts}


def magpie_row(
    data: Data, fallback: np.ndarray, seconds: float, seed: int, cache: Path
) -> dict[str, Any]:
    import magpie

    features = np.concatenate(
        [
            magpie.of_formulas(data.crystals.reduced_formulas, cache),
            magpie.of_crystals(data.crystals),
        ],
        axis=1,
    )
    model, facts = magpie.train(features, data.energies, data.train, seconds, seed)
    found = errors(model.predict(features), fallback, data)
    return {"model": "Magpie features, gradient boosting", **found, **facts}


def training_speeds(data: Data) -> list[dict[str, Any]]:
    """Crystals a second, of wall and of processor time, of one network each of equal width."""
    import cgcnn

    chosen = np.random.default_rng(0).permutation(data.train)[:SPEED_ROWS]
    crystals, energies = data.crystals.take(chosen), data.energies[chosen]
    trainer = cgcnn.Trainer(cgcnn.Columns.of(crystals), energies, np.arange(len(chosen)), 0)
    seen: list[tuple[float, float, int]] = []
    for index in trainer.batches():
        trainer.step(index, 1e-3)
        if trainer.crystals_seen % SPEED_ROWS < len(index):
            seen.append((time.perf_counter(), time.process_time(), trainer.crystals_seen))
        if len(seen) == SPEED_EPOCHS:
            break
    ours = gnomon_epochs(crystals, energies)
    rows = [("CGCNN (CGConv)", seen), ("gnomon, one network", ours)]
    found = [
        {
            "model": name,
            "width": WIDTH,
            "crystals_per_s": round((b[2] - a[2]) / (b[0] - a[0]), 1),
            "crystals_per_cpu_s": round((b[2] - a[2]) / (b[1] - a[1]), 1),
        }
        for name, (a, *_, b) in rows
    ]
    for key in ("crystals_per_s", "crystals_per_cpu_s"):
        found[1][f"ratio_{key}"] = round(found[1][key] / found[0][key], 2)
    return found


def gnomon_epochs(crystals: Crystals, energies: np.ndarray) -> list[tuple[float, float, int]]:
    """Wall time, processor time and crystals seen after each epoch of one network."""
    from gnomon.learn.fit import Session
    from gnomon.models.card import Labelled
    from gnomon.models.structural.network import StructuralConfig
    from gnomon.models.structural.train import TrainConfig, train
    from gnomon.run.listener import Listener

    config = TrainConfig(
        network=StructuralConfig(width=WIDTH), members=1, train_below=100, validate_below=100
    )
    optimizer = config.optimizer.model_copy(update={"epochs": SPEED_EPOCHS})
    seen: list[tuple[float, float, int]] = []

    def told(_: str, done: int, of: int) -> None:
        if SPEED_EPOCHS * done // of > len(seen):
            behind = (len(seen) + 1) * len(crystals)
            seen.append((time.perf_counter(), time.process_time(), behind))

    settings = config.model_copy(update={"optimizer": optimizer})
    train(Labelled(crystals, energies), settings, Session(listener=Listener(print, told)))
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--checkpoint", type=Path, help="of `gnomon model train structural`")
    parser.add_argument("--epochs", type=int, help="of the ensemble trained without a checkpoint")
    parser.add_argument("--minutes", type=float, help="of each peer [as long as the ensemble]")
    parser.add_argument("--peers", nargs="*", default=["cgcnn", "magpie"])
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "magpie")
    parser.add_argument("--rows", type=int, help="so many of all crystals, for a trial")
    parser.add_argument("--no-speed", action="store_true", help="leave training speeds out")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    quiet()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    data = load(given.data, given.rows)
    checkpoint = trained(given.checkpoint, data, given.epochs)
    rows, seconds, fallback = ours(checkpoint, data, "gnomon")
    rows[2:2] = ours(model_path(STRUCTURAL), data, STRUCTURAL)[0][:2]
    seconds = seconds if given.minutes is None else 60 * given.minutes
    if "cgcnn" in given.peers:
        rows.append(cgcnn_row(data, fallback, seconds, given.seed))
    if "magpie" in given.peers:
        rows.append(magpie_row(data, fallback, seconds, given.seed, given.cache))
    result: dict[str, Any] = {
        "benchmark": "energy_models",
        "data": "Materials Project, structures.parquet; formula hash under 75 trains, 75-84 tests",
        "train_rows": len(data.train),
        "test_rows": len(data.test),
        "seed": given.seed,
        "cores": given.cores,
        "peers_trained_for_s": round(seconds, 1),
        "rows": rows,
    }
    if not given.no_speed and "cgcnn" in given.peers:
        result["training_speed"] = training_speeds(data)
    save(result, given.out)
    for row in rows:
        print(f"{row['model']:45} {row['test_mae_meV']:8.1f} meV/atom  {row.get('wall_s', '')} s")


if __name__ == "__main__":
    main()

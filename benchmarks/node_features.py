"""Vectors of elements as node features of the structural network, on 2,000 rows.

    python benchmarks/node_features.py --data DATA --work FOLDER [--only NAME ...]

One network, shaped and trained as in the package, on 2,000 rows of
``materials_project/structures.parquet`` with formula hashes below 75; those of 75 and above are
held out.  What differs is the table of node features that training begins with: random numbers as
usual, or vectors of elements in their principal axes, each scaled to a variance of 1 (axes that a
table lacks are zero, elements without a vector are at the mean).  Training goes on from there.
``structural-elements`` come from networks that were trained on ten times as many rows.

Results are kept in FOLDER as they come: the same call goes on where it was stopped.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq

from gnomon.io import from_arrow
from gnomon.learn.optimize import OptimizerConfig
from gnomon.models.card import Labelled, Task
from gnomon.models.structural.model import StructuralModel, initial_networks
from gnomon.models.structural.train import TrainConfig, going_on, train
from gnomon.represent.elements import Pooled
from gnomon.represent.graphs import build_graphs
from gnomon.represent.registry import representation
from gnomon.represent.similarity import principal_axes
from record import RESULTS, save

RESULT = RESULTS / "node_features.json"
RANDOM = "random"
NAMES = (RANDOM, "magpie", "mat2vec", "skipatom", "megnet16", "structural-elements")
ROWS = 2_000
FIRST_HELD_OUT = 75
DRAWS = 1000


def table(name: str, width: int) -> np.ndarray:
    """Node features of all elements, (119, width)."""
    made = representation(name)
    assert isinstance(made, Pooled), f"{name} has no vectors of elements"
    known = np.flatnonzero(made.vectors.known)
    values = made.vectors.values[known]
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    placed, _ = principal_axes(scaled, width)
    found = np.zeros((len(made.vectors.values), width), np.float32)
    found[known, : placed.shape[1]] = placed / placed.std(axis=0)
    return found


def measured(name: str, rows: Labelled, held_out: Labelled, epochs: int, seed: int) -> Any:
    """Error on what is held out, meV/atom, and how long the training took."""
    optimizer = OptimizerConfig(epochs=epochs)
    config = TrainConfig(
        members=1, seed=seed, optimizer=optimizer, train_below=100, validate_below=100
    )
    target = Task.of(rows, config).target
    graphs = build_graphs(rows.crystals, config.network.cutoff, config.network.max_neighbors)
    networks = initial_networks(config.network, graphs.coordination, 1, seed)
    if name != RANDOM:
        features = jnp.asarray(table(name, config.network.width))[None]
        networks = eqx.tree_at(lambda one: one.elements, networks, features)
    start = StructuralModel(networks, target)
    shape = {"optimizer": optimizer, "seed": seed, "train_below": 100, "validate_below": 100}
    began = time.process_time()
    model = train(rows, going_on(start, name, **shape), start=start)
    spent = time.process_time() - began
    off = 1e3 * np.abs(model.predict(held_out.crystals).median - held_out.values)
    there = off[np.isfinite(off)]
    draws = np.random.default_rng(0).integers(len(there), size=(DRAWS, len(there)))
    low, high = np.percentile(there[draws].mean(axis=1), [2.5, 97.5])
    return {
        "mae": round(float(there.mean()), 2),
        "interval_95": [round(float(low), 2), round(float(high), 2)],
        "held_out": len(off),
        "without_a_prediction": int(len(off) - len(there)),
        "cpu_s": round(spent, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=NAMES)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    file = given.data / "materials_project" / "structures.parquet"
    data = pq.read_table(file)
    hashes = data["formula_hash"].to_numpy()
    order = np.random.default_rng(0).permutation(np.flatnonzero(hashes < FIRST_HELD_OUT))[:ROWS]

    def labelled(index: np.ndarray) -> Labelled:
        part = data.take(index)
        values = part["formation_energy_per_atom"].to_numpy()
        return Labelled(from_arrow(part), values, file.name, "Materials Project")

    rows, held_out = labelled(order), labelled(np.flatnonzero(hashes >= FIRST_HELD_OUT))
    found = {}
    for name in NAMES:
        place = given.work / f"{name}-{given.epochs}-{given.seed}.json"
        if name in given.only and not place.exists():
            place.write_text(json.dumps(measured(name, rows, held_out, given.epochs, given.seed)))
        if place.exists():
            found[name] = json.loads(place.read_text())
    about = {"train_rows": len(order), "epochs": given.epochs, "seed": given.seed}
    save({**about, "unit": "meV/atom", "node features": found}, given.out)


if __name__ == "__main__":
    main()

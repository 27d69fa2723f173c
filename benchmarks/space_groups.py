"""Space groups and crystal systems by a small network, beside spglib.

    python benchmarks/space_groups.py --data DATA --work FOLDER

Crystals of ``materials_project/structures.parquet`` with formula hashes below 75 train, as given
and with normal noise of up to 0.1 Å an axis; those of 75 and above are held out, and recognised as
given, in random cells (a basis drawn at random, one to three times the volume, shifted and turned)
and with normal noise of 0.05 Å an axis.  The truth is spglib's group of the crystal as given at
0.1 Å, the tolerance of the Materials Project; at 0.01 Å it is another one for some crystals, and
figures are told for both.  The network sees ``symmetry`` (``gnomon.represent.symmetry``) alone.

Numbers are kept in FOLDER as they come: the same call goes on where it was stopped.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pyarrow.parquet as pq
from jaxtyping import Array, Float, PRNGKeyArray

from gnomon.crystals import Crystals
from gnomon.discover.rates import wilson
from gnomon.io import from_arrow
from gnomon.represent.registry import representation
from gnomon.structure.symmetry import space_groups
from record import RESULTS, save

RESULT = RESULTS / "space_groups.json"
SYSTEMS = (
    "triclinic",
    "monoclinic",
    "orthorhombic",
    "tetragonal",
    "trigonal",
    "hexagonal",
    "cubic",
)
SYSTEM = np.searchsorted([2, 15, 74, 142, 167, 194, 230], np.arange(231))
"""Crystal system of each space group."""
FIRST_HELD_OUT = 75
TRUTH, TIGHT = 0.1, 0.01
NOISE = 0.05
PART = 500
WIDTH, DROP, BATCH, RATE = 256, 0.2, 128, 2e-3


class Network(eqx.Module):
    """Three layers, the second added to the first; logits of the space groups."""

    mean: np.ndarray
    spread: np.ndarray
    first: eqx.nn.Linear
    second: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, rows: np.ndarray, *, key: PRNGKeyArray) -> None:
        """Random weights; rows are scaled as these are."""
        keys = jax.random.split(key, 3)
        self.mean, self.spread = rows.mean(axis=0), rows.std(axis=0) + 1e-3
        self.first = eqx.nn.Linear(rows.shape[1], WIDTH, key=keys[0])
        self.second = eqx.nn.Linear(WIDTH, WIDTH, key=keys[1])
        self.last = eqx.nn.Linear(WIDTH, 231, key=keys[2])

    def __call__(self, row: Float[Array, " d"], key: PRNGKeyArray | None = None) -> Array:
        """Logits by the number of the group; with a key some units are left out."""
        keys = (None, None) if key is None else jax.random.split(key)
        scale = jax.lax.stop_gradient(jnp.asarray(self.spread))
        x = jnp.clip((row - jax.lax.stop_gradient(jnp.asarray(self.mean))) / scale, -6, 6)
        x = _dropped(jax.nn.silu(self.first(x)), keys[0])
        x = x + _dropped(jax.nn.silu(self.second(x)), keys[1])
        return self.last(x)


def _dropped(x: Array, key: PRNGKeyArray | None) -> Array:
    return x if key is None else x * jax.random.bernoulli(key, 1 - DROP, x.shape) / (1 - DROP)


def trained(rows: np.ndarray, groups: np.ndarray, epochs: int) -> Network:
    """A network that has seen each row so often."""
    network = Network(rows, key=jax.random.PRNGKey(0))
    steps = epochs * (len(rows) // BATCH)
    optimizer = optax.adamw(optax.cosine_onecycle_schedule(steps, RATE), weight_decay=1e-2)
    state = optimizer.init(eqx.filter(network, eqx.is_inexact_array))
    x, y = jnp.asarray(rows, jnp.float32), jnp.asarray(groups)

    @eqx.filter_jit
    def step(network: Network, state: Any, index: Array, key: PRNGKeyArray) -> Any:
        def loss(network: Network) -> Array:
            logits = jax.vmap(network)(x[index], jax.random.split(key, len(index)))
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[index]).mean()

        slope = eqx.filter_grad(loss)(network)
        change, state = optimizer.update(slope, state, eqx.filter(network, eqx.is_inexact_array))
        return eqx.apply_updates(network, change), state

    rng, key = np.random.default_rng(0), jax.random.PRNGKey(1)
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for start in range(0, len(rows) - BATCH + 1, BATCH):
            key, own = jax.random.split(key)
            network, state = step(network, state, jnp.asarray(order[start : start + BATCH]), own)
    return network


def recognised(network: Network, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Most likely space group, and most likely crystal system (groups of a system together)."""
    logits = eqx.filter_jit(jax.vmap(network))(jnp.asarray(rows, jnp.float32))
    chance = np.asarray(jax.nn.softmax(logits, axis=-1))
    by_system = np.stack([chance[:, k == SYSTEM].sum(axis=1) for k in range(len(SYSTEMS))], axis=1)
    return chance.argmax(axis=1), by_system.argmax(axis=1)


# --- crystals -------------------------------------------------------------------------------------


def noisy(crystals: Crystals, sigma: float | np.ndarray, seed: int) -> Crystals:
    """Every atom moved at random; sigma in Å an axis, one for all or one a crystal."""
    rng = np.random.default_rng(seed)
    moved = rng.normal(size=(len(crystals.atomic_numbers), 3))
    moved *= np.broadcast_to(sigma, len(crystals))[crystals.crystal_index, None]
    inverse = np.linalg.inv(crystals.lattice)[crystals.crystal_index]
    return crystals.with_frac_coords(crystals.frac_coords + np.einsum("ai,aij->aj", moved, inverse))


def in_random_cells(crystals: Crystals, seed: int) -> Crystals:
    """Other bases of one to three times the volume, another origin, turned."""
    rng = np.random.default_rng(seed)
    found = []
    for one in crystals:
        basis = np.diag(rng.permutation([1, 1, rng.integers(1, 4)]))
        for _ in range(3):
            i, j = rng.choice(3, 2, replace=False)
            basis[i] += rng.choice([-1, 1]) * basis[j]
        lattice, numbers, frac = one.supercell(basis).arrays(0)
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        turn *= np.linalg.det(turn)
        found.append(Crystals.single(lattice @ turn, numbers, frac + rng.random(3)))
    return Crystals.concatenate(found).wrap()


def kept(name: str, crystals: Crystals, work: Path) -> dict[str, np.ndarray]:
    """Numbers of the representation, and spglib's groups at both tolerances."""
    made = representation("symmetry")
    parts = []
    for start in range(0, len(crystals), PART):
        file = work / f"{name}-{start}.npz"
        if not file.exists():
            part = crystals[start : start + PART]
            np.savez(
                file,
                rows=made.represent(part).astype(np.float32),
                truth=space_groups(part, TRUTH),
                tight=space_groups(part, TIGHT),
            )
        with np.load(file) as found:
            parts.append({key: found[key] for key in found})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


# --- figures --------------------------------------------------------------------------------------


def share(right: np.ndarray) -> dict[str, Any]:
    """k of n, with the interval of Wilson at 95 %."""
    rate = wilson(int(right.sum()), len(right))
    interval = [round(rate.low, 4), round(rate.high, 4)]
    return {"k": rate.k, "n": rate.n, "share": round(rate.k / rate.n, 4), "interval_95": interval}


def figures(network: Network, found: dict[str, np.ndarray], true: np.ndarray) -> dict[str, Any]:
    """Of the network and of spglib on the same crystals."""
    group, system = recognised(network, found["rows"])
    said = {"network": (group, system)}
    for name, key in (("spglib 0.1", "truth"), ("spglib 0.01", "tight")):
        said[name] = (found[key], SYSTEM[found[key]])
    return {
        name: {"space group": share(group == true), "crystal system": share(system == SYSTEM[true])}
        for name, (group, system) in said.items()
    }


def confusion(network: Network, rows: np.ndarray, true: np.ndarray) -> list[list[int]]:
    """Crystals of each system (rows) by what they are taken for (columns)."""
    table = np.zeros((len(SYSTEMS), len(SYSTEMS)), int)
    np.add.at(table, (SYSTEM[true], recognised(network, rows)[1]), 1)
    return table.tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--train", type=int, default=25_000, help="crystals that train at most")
    parser.add_argument("--held-out", type=int, default=5_000, help="and that are held out")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    table = pq.read_table(given.data / "materials_project" / "structures.parquet")
    hashes, rng = table["formula_hash"].to_numpy(), np.random.default_rng(0)
    order = rng.permutation(len(hashes))
    seen = from_arrow(table.take(order[hashes[order] < FIRST_HELD_OUT][: given.train]))
    hidden = from_arrow(table.take(order[hashes[order] >= FIRST_HELD_OUT][: given.held_out]))
    held_out = {
        "as given": kept("given", hidden, given.work),
        "in random cells": kept("cells", in_random_cells(hidden, 1), given.work),
        "with noise of 0.05 Å": kept("noise", noisy(hidden, NOISE, 2), given.work),
    }
    sigma = np.random.default_rng(3).uniform(0, 0.1, len(seen))
    train = [
        kept("train", seen, given.work),
        kept("train-noise", noisy(seen, sigma, 4), given.work),
    ]
    rows = np.concatenate([part["rows"] for part in train])
    began = time.process_time()
    network = trained(rows, np.tile(train[0]["truth"], len(train)), given.epochs)
    spent = time.process_time() - began
    true, tight = held_out["as given"]["truth"], held_out["as given"]["tight"]
    usual = np.bincount(train[0]["truth"]).argmax()
    save(
        {
            "trained_on": len(seen),
            "epochs": given.epochs,
            "training_cpu_s": round(spent, 1),
            "cpu_s_of_1000_crystals_and_epoch": round(spent / len(seen) / given.epochs * 1e3, 3),
            "most_frequent_group_alone": share(true == usual),
            "tolerances_agree": share(true == tight),
            "truth at 0.1": {way: figures(network, one, true) for way, one in held_out.items()},
            "truth at 0.01": {way: figures(network, one, tight) for way, one in held_out.items()},
            "systems": SYSTEMS,
            "confusion": {
                way: confusion(network, one["rows"], true) for way, one in held_out.items()
            },
        },
        given.out,
    )


if __name__ == "__main__":
    main()

"""Neighbour lists and graphs of a batch, against pymatgen's compiled neighbour list one by one.

    python benchmarks/graphs.py --crystals 2000 --cutoff 4.0
    python benchmarks/graphs.py --parquet structures.parquet

Without a file the batch is made here: prototype cells (rocksalt, perovskite, fluorite, spinel-like
supercells) with every second one displaced at random, so that half of them have no symmetry.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import vesin
from pymatgen.optimization.neighbors import find_points_in_spheres

from gnomon.crystals import Crystals
from gnomon.represent.graphs import build_graphs
from gnomon.structure.neighbors import neighbors
from record import RESULTS, save

RESULT = RESULTS / "graphs.json"
REPEATS = 3

FCC = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
PROTOTYPES = [
    (FCC, 5.64, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    (FCC, 5.46, [20, 9, 9], [[0, 0, 0], [0.25, 0.25, 0.25], [0.75, 0.75, 0.75]]),
    (
        np.eye(3),
        3.9,
        [38, 22, 8, 8, 8],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    ),
]


def prototypes(n: int, seed: int = 0) -> Crystals:
    """So many cells and supercells of 2 to 40 atoms, half of them displaced by about 0.1 Å."""
    rng = np.random.default_rng(seed)
    batch = []
    for i in range(n):
        basis, a, numbers, frac = PROTOTYPES[i % len(PROTOTYPES)]
        crystal = Crystals.single(a * np.asarray(basis), numbers, frac)
        crystal = crystal.supercell(rng.integers(1, 3, 3)).scale_volume(rng.uniform(0.9, 1.3))
        if i % 2:
            moved = crystal.frac_coords + rng.normal(0, 0.01, crystal.frac_coords.shape)
            crystal = crystal.with_frac_coords(moved).wrap()
        batch.append(crystal)
    return Crystals.concatenate(batch)


def from_parquet(path: Path, n: int, seed: int = 0) -> Crystals:
    table = pq.read_table(path, columns=["lattice", "atomic_numbers", "frac_coords"])
    chosen = np.random.default_rng(seed).permutation(len(table))[:n]
    rows = table.take(chosen).to_pylist()
    return Crystals.concatenate(
        [Crystals.single(r["lattice"], r["atomic_numbers"], r["frac_coords"]) for r in rows]
    )


def with_pymatgen(crystals: Crystals, cutoff: float) -> int:
    """Pairs found by the compiled routine under pymatgen's ``get_neighbor_list``."""
    total = 0
    periodic = np.ones(3, dtype=np.int64)
    for i in range(len(crystals)):
        lattice, _, frac = crystals.arrays(i)
        cart = np.ascontiguousarray(frac @ lattice)
        found = find_points_in_spheres(
            all_coords=cart,
            center_coords=cart,
            r=cutoff,
            pbc=periodic,
            lattice=np.ascontiguousarray(lattice),
            tol=1e-8,
        )
        total += len(found[0]) - len(cart)  # it lists each atom as its own neighbour
    return total


def with_vesin(crystals: Crystals, cutoff: float) -> int:
    total = 0
    calculator = vesin.NeighborList(cutoff=cutoff, full_list=True)
    for i in range(len(crystals)):
        lattice, _, frac = crystals.arrays(i)
        total += len(calculator.compute(frac @ lattice, lattice, periodic=True, quantities="d")[0])
    return total


def best(function: Callable[[], object]) -> tuple[float, object]:
    """Shortest of some runs, in seconds, and what the function returned."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def measure(crystals: Crystals, cutoff: float) -> dict[str, object]:
    peer, peer_pairs = best(lambda: with_pymatgen(crystals, cutoff))
    other, other_pairs = best(lambda: with_vesin(crystals, cutoff))
    ours, found = best(lambda: neighbors(crystals, cutoff))
    graph, graphs = best(lambda: build_graphs(crystals, cutoff))
    pairs = len(found.receivers)
    if not peer_pairs == other_pairs == pairs:
        raise RuntimeError(f"pairs differ: {pairs}, pymatgen {peer_pairs}, vesin {other_pairs}")
    n, atoms = len(crystals), len(crystals.atomic_numbers)
    return {
        "cutoff_angstrom": cutoff,
        "crystals": n,
        "atoms_per_crystal": round(atoms / n, 2),
        "pairs_per_crystal": round(pairs / n, 1),
        "microseconds_per_crystal": {
            "pymatgen find_points_in_spheres": round(peer / n * 1e6, 1),
            "vesin": round(other / n * 1e6, 1),
            "gnomon neighbors": round(ours / n * 1e6, 1),
            "gnomon build_graphs": round(graph / n * 1e6, 1),
        },
        "neighbors_speed_vs_pymatgen": round(peer / ours, 2),
        "graphs_speed_vs_pymatgen_neighbors_alone": round(peer / graph, 2),
        "atoms_per_node": round(atoms / int(graphs.n_nodes.sum()), 2),
        "pairs_per_edge": round(pairs / int(graphs.n_edges.sum()), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystals", type=int, default=2000)
    parser.add_argument("--cutoff", type=float, nargs="+", default=[4.0, 6.0])
    parser.add_argument("--parquet", type=Path, help="crystals from a file in place of prototypes")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    if arguments.parquet:
        crystals = from_parquet(arguments.parquet, arguments.crystals)
    else:
        crystals = prototypes(arguments.crystals)
    save(
        {
            "batch": arguments.parquet.name if arguments.parquet else "prototypes, half displaced",
            "runs": [measure(crystals, cutoff) for cutoff in arguments.cutoff],
        },
        arguments.out,
    )


if __name__ == "__main__":
    main()

"""What it brings that a process keeps the memory that it frees (``gnomon.run.memory.keep_freed``).

    python benchmarks/memory_kept.py

Molecular dynamics of rock salt (216 atoms) and relaxations of 32 rattled cells, each in a process
that keeps and in one that does not, in turns: processor seconds in all and of them the system's, of
a second round, when all is compiled, and the most memory.  The least of some processes.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 2


def moved() -> Callable[[], Any]:
    """20 steps of dynamics."""
    from ase.build import bulk

    from gnomon.dynamics.md import Ensemble, MDConfig
    from gnomon.dynamics.simulate import simulate
    from gnomon.io import as_crystals
    from gnomon.potential.predict import load_potential

    potential = load_potential("gnomon-2")
    cell = as_crystals(bulk("NaCl", "rocksalt", a=5.64, cubic=True) * 3)
    config = MDConfig(ensemble=Ensemble.NVT_NOSE_HOOVER, temperature=600.0, steps=20, interval=10)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            list(simulate(cell, potential, config, Path(folder)))

    return run


def relaxed() -> Callable[[], Any]:
    """32 relaxations."""
    import numpy as np
    from ase.build import bulk

    import gnomon

    cells = []
    for seed, a in enumerate(np.linspace(5.2, 6.0, 32)):
        cells.append(bulk("NaCl", "rocksalt", a=float(a), cubic=True))
        cells[-1].rattle(0.1, seed=seed)
    return lambda: gnomon.relax(cells)


WORK: dict[str, Callable[[], Callable[[], Any]]] = {"dynamics": moved, "relaxations": relaxed}


def child(name: str, keeps: bool) -> None:
    """Do the work twice and print what the second time took."""
    if not keeps:
        from gnomon.run import memory

        memory.keep_freed = lambda: None
    run = WORK[name]()
    run()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "CPU seconds": time.process_time() - began,
        "of the system": after.ru_stime - before.ru_stime,
        "most memory, MB": after.ru_maxrss / 1024,
    }
    print(json.dumps(found))


def main() -> None:
    from record import RESULTS, save

    result: dict[str, Any] = {"benchmark": "memory_kept"}
    for name in WORK:
        rounds: dict[str, list[dict[str, float]]] = {"kept": [], "returned": []}
        for _ in range(ROUNDS):
            for which, own in rounds.items():
                command = [sys.executable, __file__, "--child", name, which]
                out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                own.append(json.loads(out.splitlines()[-1]))
        result[name] = {
            which: {key: round(min(one[key] for one in own), 2) for key in own[0]}
            for which, own in rounds.items()
        }
        print(name, result[name], flush=True)
    save(result, RESULTS / "memory_kept.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--child", nargs=2, metavar=("WORK", "kept|returned"))
    given = parser.parse_args()
    if given.child:
        child(given.child[0], given.child[1] == "kept")
    else:
        main()

"""Peak memory of generators that stream candidates to Parquet, as `gnomon generate` does.

    python benchmarks/generator_memory.py --parents DATA/materials_project/structures.parquet

Each generator runs in a process of its own: parents are read, candidates are written chunk by chunk
to a temporary file, which is removed.  The peak of the resident memory (MiB, of the whole process,
libraries and parents included) is taken when 10^4, 10^5, 10^6 and 10^7 candidates are written, or
when the CPU seconds that it may use are over.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.generate import Candidates
from gnomon.generate.files import write_candidates
from gnomon.generate.saps.generator import SapsGenerator
from gnomon.generate.substitution.generator import SubstitutionGenerator
from gnomon.generate.substitution.tables import learned_model
from gnomon.io import read
from record import RESULTS, save

MARKS = (10_000, 100_000, 1_000_000, 10_000_000)
THRESHOLD = 1e-4
"""Of substitution: with the default of 10^-3 these parents have fewer than 10^7 children."""


def generator_of(name: str) -> Any:
    if name == "saps":
        return SapsGenerator()
    return SubstitutionGenerator(learned_model(), threshold=THRESHOLD)


def peak() -> float:
    """Largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Meter:
    """Passes chunks on, up to a number of candidates or of CPU seconds, and takes the peaks."""

    def __init__(self, chunks: Iterator[Candidates], most: int, cpu_seconds: float) -> None:
        """Nothing is taken from the chunks yet."""
        self._chunks, self._most, self._cpu_seconds = chunks, most, cpu_seconds
        self.candidates = 0
        self.points: list[dict[str, float]] = []

    def __iter__(self) -> Iterator[Candidates]:
        marks = [mark for mark in MARKS if mark <= self._most]
        for chunk in self._chunks:
            yield chunk
            self.candidates += len(chunk.crystals)  # asked for the next: this one is written
            if marks and self.candidates >= marks[0]:
                marks.pop(0)
                self.note()
            if self.candidates >= self._most or time.process_time() > self._cpu_seconds:
                return

    def note(self) -> None:
        """Take down how many there are, the peak and the CPU seconds so far."""
        self.points.append(
            {
                "candidates": self.candidates,
                "peak_mib": round(peak(), 1),
                "cpu_seconds": round(time.process_time(), 1),
            }
        )


def stream(name: str, parents: Path, most: int, cpu_seconds: float, answer: Connection) -> None:
    """What the process of one generator does."""
    crystals = read(parents).crystals
    crystals = crystals.take(np.random.default_rng(0).permutation(len(crystals)))
    before = peak()
    meter = Meter(generator_of(name).generate(crystals, seed=0), most, cpu_seconds)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "candidates.parquet"
        write_candidates(out, meter)
        size = out.stat().st_size / 2**20
    if not meter.points or meter.points[-1]["candidates"] != meter.candidates:
        meter.note()
    answer.send({"before_mib": round(before, 1), "points": meter.points, "file_mib": round(size)})


def begun(name: str, given: argparse.Namespace) -> tuple[SpawnProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    arguments = (name, given.parents, given.most, given.cpu_seconds, there)
    process = context.Process(target=stream, args=arguments)
    process.start()
    there.close()  # so that a process that fails ends the wait
    return process, here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parents", type=Path, required=True)
    parser.add_argument("--most", type=int, default=MARKS[-1], help="candidates")
    parser.add_argument("--cpu-seconds", type=float, default=480.0, help="of each generator")
    parser.add_argument("--out", type=Path, default=RESULTS / "generator_memory.json")
    parser.add_argument("generators", nargs="*", default=["substitution", "saps"])
    given = parser.parse_args()
    running = {name: begun(name, given) for name in given.generators}
    found: dict[str, Any] = {}
    for name, (process, answer) in running.items():
        found[name] = answer.recv()
        print(name, found[name], flush=True)  # the others may take minutes more
        process.join()
    save(
        {"parents": given.parents.name, "threshold_of_substitution": THRESHOLD, **found}, given.out
    )


if __name__ == "__main__":
    main()

"""Predictions a second of ten networks, beside CHGNet; memory over a million streamed predictions.

    peers/bin/python benchmarks/energy_models_speed.py --data DATA
    peers/bin/python benchmarks/energy_models_speed.py --data DATA --stream 1000000

(``energy_models.py`` says how the environment is made; CHGNet is ``pip install chgnet``.)

Held-out Materials Project cells of 8 to 12 atoms, crystals in memory to energies, graphs included.
Speed does not depend on weights: the members of the checkpoint are repeated up to ten, or ten
untrained networks of the default shape are taken.  CHGNet 0.3.0 predicts energies alone by its own
``predict_structure`` at its best batch size.  The models take turns; the median of the rounds
counts, and what a first call costs beyond (compilation) is shown apart.

The stream is the command ``gnomon predict``, a process of its own that reads a Parquet file of so
many rows: the held-out crystals of any size, written over and over in row groups of 10,000.  Its
resident memory is read every second.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.io import to_arrow, to_pymatgen
from potential_speed import rounded, use_cores
from record import RESULTS, quiet, save
from samples import held_out

RESULT = RESULTS / "energy_models_speed.json"
SIZES = (8, 12)
"""Fewest and most atoms a cell."""
MEMBERS = 10
ROW_GROUP = 10_000
SETTLED = 0.3
"""Share of the stream after which memory should not grow: by then all is compiled and read."""


def ensemble(checkpoint: Path | None) -> Any:
    """A model of ten members."""
    import equinox as eqx
    import jax

    from gnomon.elements import MAX_Z
    from gnomon.models.structural.model import StructuralModel, initial_networks
    from gnomon.models.structural.network import StructuralConfig
    from gnomon.models.target import Target

    if checkpoint is None:
        target = Target(np.zeros(MAX_Z + 1), np.ones(MAX_Z + 1, bool), 0.0, 1.0)
        return StructuralModel(initial_networks(StructuralConfig(), 20.0, MEMBERS, 0), target)
    model = StructuralModel.load(checkpoint)
    members = np.arange(MEMBERS) % len(model.networks.elements)
    networks = jax.tree.map(lambda a: a[members] if eqx.is_array(a) else a, model.networks)
    return StructuralModel(networks, model.target, model.card)


def chgnet(batch_size: int) -> Callable[[Crystals], Any]:
    """CHGNet's energies from crystals, its graphs included."""
    from chgnet.model import CHGNet

    model = CHGNet.load(model_name="0.3.0", use_device="cpu", verbose=False)
    model.graph_converter.set_isolated_atom_response("ignore")
    return lambda crystals: model.predict_structure(
        to_pymatgen(crystals), task="e", batch_size=batch_size
    )


def measure(
    lanes: dict[str, Callable[[Crystals], Any]], crystals: Crystals, rounds: int
) -> list[dict[str, Any]]:
    """Crystals a second of each, of wall and of processor time."""
    first = {}
    for name, predict in lanes.items():
        start = time.perf_counter()
        predict(crystals)
        first[name] = time.perf_counter() - start
    wall: dict[str, list[float]] = {name: [] for name in lanes}
    cpu: dict[str, list[float]] = {name: [] for name in lanes}
    for _ in range(rounds):
        for name, predict in lanes.items():
            start, busy = time.perf_counter(), time.process_time()
            predict(crystals)
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - busy)
    n = len(crystals)
    return [
        {
            "model": name,
            "crystals_per_s": rounded(n / statistics.median(wall[name])),
            "crystals_per_cpu_s": rounded(n / statistics.median(cpu[name])),
            "spread_per_s": [rounded(n / f(wall[name])) for f in (max, min)],
            "first_call_s": rounded(first[name]),
        }
        for name in lanes
    ]


def write_stream(data: Path, rows: int, out: Path) -> None:
    """A Parquet file of so many rows: held-out crystals of any size, again and again."""
    table = to_arrow(held_out(data, ROW_GROUP, (1, 60), 0))
    group = pa.concat_tables([table] * (ROW_GROUP // len(table) + 1)).slice(0, ROW_GROUP)
    group = group.combine_chunks()
    with pq.ParquetWriter(out, group.schema) as writer:
        for start in range(0, rows, ROW_GROUP):
            writer.write_table(group.slice(0, min(ROW_GROUP, rows - start)))


def stream(data: Path, model: Path, rows: int) -> dict[str, Any]:
    """Resident memory of ``gnomon predict`` over a stream of crystals, MB."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "many.parquet", Path(folder) / "predictions.parquet"
        write_stream(data, rows, source)
        command = [sys.executable, "-m", "gnomon", "predict", str(model), str(source)]
        began = time.perf_counter()
        samples: list[tuple[float, float]] = []
        with subprocess.Popen([*command, "--out", str(out)]) as process:
            status = Path(f"/proc/{process.pid}/status")
            while process.poll() is None:
                samples.append((time.perf_counter() - began, resident(status)))
                time.sleep(1.0)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} failed with code {process.returncode}")
        seconds = time.perf_counter() - began
        written = pq.read_metadata(out).num_rows
        size = source.stat().st_size
    peaks = [
        max((m for t, m in samples if k <= 10 * t / seconds < k + 1), default=0.0)
        for k in range(10)
    ]
    settled = max(m for t, m in samples if t <= SETTLED * seconds)
    return {
        "rows": written,
        "source_mb": round(size / 1e6, 1),
        "seconds": round(seconds, 1),
        "crystals_per_s": rounded(written / seconds),
        "peak_mb_of_each_tenth": [round(p, 1) for p in peaks],
        "growth_after_the_first_third_mb": round(max(m for _, m in samples) - settled, 1),
    }


def resident(status: Path) -> float:
    """MB of memory of a process; 0 once it is gone."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0.0
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmRSS")]
    return kilobytes[0] / 1024 if kilobytes else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--checkpoint", type=Path, help="of `gnomon model train structural`")
    parser.add_argument("--crystals", type=int, default=1024)
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[16, 64], help="of CHGNet")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stream", type=int, default=0, help="rows; needs --checkpoint")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    if given.stream and given.checkpoint is None:
        parser.error("--stream needs a --checkpoint for `gnomon predict` to load")
    quiet()
    use_cores(given.cores)
    crystals = held_out(given.data, given.crystals, SIZES, given.seed)
    model = ensemble(given.checkpoint)
    lanes: dict[str, Callable[[Crystals], Any]] = {f"gnomon, {MEMBERS} members": model.predict}
    for size in given.batch_sizes:
        lanes[f"CHGNet 0.3.0, energy, batches of {size}"] = chgnet(size)
    rows = measure(lanes, crystals, given.rounds)
    result: dict[str, Any] = {
        "benchmark": "energy_models_speed",
        "crystals": len(crystals),
        "mean_atoms": round(float(crystals.n_atoms.mean()), 2),
        "atoms_per_cell": SIZES,
        "seed": given.seed,
        "network": model.networks.config.model_dump(mode="json"),
        "cores": given.cores,
        "rounds": given.rounds,
        "rows": rows,
    }
    for key in ("crystals_per_s", "crystals_per_cpu_s"):
        if len(rows) > 1:
            result[f"times_{key}_of_chgnet"] = round(
                rows[0][key] / max(row[key] for row in rows[1:]), 2
            )
    if given.stream:
        result["stream"] = stream(given.data, given.checkpoint, given.stream)
    save(result, given.out)


if __name__ == "__main__":
    main()

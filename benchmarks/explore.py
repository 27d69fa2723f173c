"""The explorer with many crystals: index, start, memory, and searches of many clients at once.

    python benchmarks/explore.py --data DATA --work FOLDER [--crystals 100000] [--seconds 60]
    python benchmarks/explore.py --data DATA --work FOLDER --map [--crystals 100000]
    python benchmarks/explore.py --data DATA --work FOLDER --draw [--crystals 100000]
    python benchmarks/explore.py --data DATA --work FOLDER --export [--crystals 1000]

Crystals are those of the shared Parquet files, and copies of them in which elements were replaced
by like ones.  The index is made once and kept in FOLDER, so that a second run goes on with it.
Clients are in a process of their own; each asks again as soon as it has its answer.  With ``--map``
embeddings and the map are made instead, in CPU seconds of one core; with a map there, what is
served and exported holds it too.  ``--draw`` zooms into the map in Chromium and counts its frames,
``--export`` writes the pages as files.
"""

import argparse
import asyncio
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.explore.collections import collections_of
from gnomon.explore.index import index_of
from gnomon.io import from_arrow, to_arrow

sys.path.insert(0, str(Path(__file__).parent))
from record import save

LIKE = ("Li Na K Rb", "Mg Ca Sr Ba", "F Cl Br I", "O S Se", "Al Ga In", "Ti Zr Hf", "V Nb Ta")
"""Elements that are replaced by one another."""

QUERIES = (
    "include=O&exclude=Fe&sort=e_above_hull",
    "exactly=Li,Fe,O&sort=-formation_energy_per_atom",
    "formula=*TiO3",
    "system=Li-*-O&range=e_above_hull::0.05",
    "range=formation_energy_per_atom:-2:-1&sort=density&offset=500",
    "where=crystal_system:cubic&where=n_elements:3&sort=e_above_hull",
    "sort=reduced_formula&offset=50000",
    "include=Cl&range=volume_per_atom:20:30&sort=-density",
)
"""What clients ask in turn; each client begins with another one, and with other elements."""

ELEMENTS = ("O", "S", "F", "Cl", "Li", "Na", "Mg", "Al", "Si", "Ti", "Fe", "Cu", "Zn", "Ag", "Ba")


def main() -> None:
    """Make, index, start, ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--crystals", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--port", type=int, help="only ask the server at this port")
    parser.add_argument("--map", action="store_true", help="make the map, and serve nothing")
    parser.add_argument("--draw", action="store_true", help="zoom into the map in a browser")
    parser.add_argument("--export", action="store_true", help="write the pages as files")
    given = parser.parse_args()
    if given.port is not None:
        print(json.dumps(asyncio.run(asked(given.port, given.clients, given.seconds))))
        return
    given.work.mkdir(parents=True, exist_ok=True)
    os.environ["GNOMON_CACHE"] = str(given.work / "cache")
    path = given.work / f"crystals-{given.crystals}.parquet"
    if not path.exists():
        made(given.data, given.crystals, path)
    index = indexed(path)
    parts = {"map": mapped, "draw": drawn, "export": exported}
    for name in (one for one in parts if getattr(given, one)):
        out = Path(__file__).parent / "results" / f"explore_{name}_{given.crystals}.json"
        save({"crystals": given.crystals, **parts[name](path)}, out)
        return
    result = {"crystals": given.crystals, **index, **served(path, given)}
    save(result, Path(__file__).parent / "results" / "explore.json")


def made(data: Path, n: int, path: Path) -> None:
    """Write n crystals: the shared ones, then such with other elements."""
    files = ("materials_project/structures.parquet", "wbm/wbm_pool.parquet")
    tables = [pq.read_table(data / name) for name in files]
    crystals = Crystals.concatenate([from_arrow(table) for table in tables])
    names = ("formation_energy_per_atom", "e_above_hull")
    energies = [
        np.concatenate(
            [
                t[name].to_numpy() if name in t.column_names else np.full(len(t), np.nan)
                for t in tables
            ]
        )
        for name in names
    ]
    rng = np.random.default_rng(0)
    parts, rows = [crystals], [np.arange(len(crystals))]
    while sum(map(len, rows)) < n:
        cycle = {
            a: str(b)
            for group in LIKE
            for a, b in zip(group.split(), rng.permutation(group.split()), strict=True)
        }
        parts.append(crystals.substitute(cycle).scale_volume(float(rng.uniform(0.9, 1.2))))
        rows.append(np.arange(len(crystals)))
    every, of = Crystals.concatenate(parts)[:n], np.concatenate(rows)[:n]
    table = to_arrow(every)
    for name, values in zip(names, energies, strict=True):
        noisy = values[of] + rng.normal(0, 0.02, n)
        column = pa.array(np.maximum(noisy, 0) if name == "e_above_hull" else noisy)
        table = table.append_column(name, column)
    pq.write_table(table, path)


def indexed(path: Path) -> dict[str, float]:
    """CPU seconds of making the index, kept beside it as it is made once."""
    collection = collections_of([str(path)])[0]
    kept = collection.index_path.with_suffix(".json")
    if not collection.index_path.exists():
        began = time.process_time()
        index_of([collection])
        seconds = time.process_time() - began
        kept.write_text(json.dumps({"index_cpu_seconds": round(seconds, 1)}))
    found = json.loads(kept.read_text())
    size = collection.index_path.stat().st_size
    return {**found, "index_megabytes": round(size / 1e6, 1)}


def mapped(path: Path) -> dict[str, float]:
    """CPU seconds of embeddings and places, and of what the pages ask of them; memory."""
    from gnomon.explore.map import map_path
    from gnomon.explore.map_page import make_map, map_page
    from gnomon.explore.vectors import make_vectors

    collections = collections_of([str(path)])
    index = index_of(collections)
    for kept in (collections[0].embeddings_path, map_path(collections)):
        kept.unlink(missing_ok=True)
    marks = [time.process_time()]

    def spent() -> float:
        marks.append(time.process_time())
        return marks[-1] - marks[-2]

    make_vectors(collections, index.crystals, index.texts("source"))
    embedding = spent()
    make_map(index)
    placing = spent()
    rows = range(0, len(index), max(len(index) // 50, 1))
    assert index.vectors is not None
    spent()
    alike = [index.vectors.nearest(row, 10) for row in rows]
    nearest = spent()
    page = map_page(index)
    return {
        "embedding_cpu_seconds": round(embedding, 1),
        "placing_cpu_seconds": round(placing, 1),
        "nearest_cpu_ms": round(1000 * nearest / len(alike), 2),
        "page_cpu_seconds": round(spent(), 2),
        "regions": len(page["regions"]),
        "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 3),
    }


def exported(path: Path) -> dict[str, float]:
    """CPU seconds and size of a static copy."""
    from gnomon.explore.explorer import Explorer
    from gnomon.explore.export import export

    explorer = Explorer(collections_of([str(path)]))
    began = time.process_time()
    written = export(explorer, path.with_name(f"site-{len(explorer.index)}"))
    seconds = time.process_time() - began
    return {
        "placed": 0 if explorer.index.places is None else len(explorer.index),
        "export_cpu_seconds": round(seconds, 1),
        "cpu_ms_per_crystal": round(1000 * seconds / len(explorer.index), 1),
        "files": written.files,
        "megabytes": written.megabytes,
        "peak_gigabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 3),
    }


FRAMES = """async () => {
    const { map } = document.querySelector('.map');
    const canvas = document.querySelector('.map canvas');
    const gl = canvas.getContext('webgl');
    const [pixel, own, gaps] = [new Uint8Array(4), [], []];
    let before = performance.now();
    for (let i = 0; i < 150; i++) {
        map.zoom(i < 75 ? 1.06 : 1 / 1.06);
        await new Promise(requestAnimationFrame);
        const began = performance.now();
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); // waits for what was drawn
        const now = performance.now();
        own.push(now - began); gaps.push(now - before); before = now;
    }
    return [own, gaps, [canvas.width, canvas.height], gl.getParameter(gl.VERSION)];
}"""


def drawn(path: Path) -> dict[str, object]:
    """Frames of a zoom into the map, in and out again, in Chromium."""
    from playwright.sync_api import sync_playwright

    flags = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with serving(path) as (port, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*flags, "--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        began = time.monotonic()
        page.goto(f"http://localhost:{port}/map.html")
        page.wait_for_selector(".map[data-drawn]", timeout=120_000)
        opened = time.monotonic() - began
        page.wait_for_load_state("networkidle")
        own, gaps, size, version = page.evaluate(FRAMES)
        browser.close()
    return {
        "open_seconds": round(opened, 2),
        "wait_ms": np.percentile(own[30:], [50, 95]).round(1).tolist(),
        "first_frames_ms": np.round(gaps[1:6], 1).tolist(),
        "frame_ms": np.percentile(gaps[30:], [50, 95]).round(1).tolist(),
        "canvas": size,
        "renderer": f"{version}, SwiftShader (no graphics card)",
    }


@contextmanager
def serving(path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server in a process of its own, and its port."""
    command = [sys.executable, "-m", "gnomon", "explore", str(path), "--port", "0", "--no-browser"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    try:
        lines = iter(server.stderr.readline, "")
        yield next(m[1] for line in lines if (m := re.search(r"localhost:(\d+)", line))), server
    finally:
        server.terminate()
        server.wait(20)


def served(path: Path, given: argparse.Namespace) -> dict[str, object]:
    """A server in a process of its own: its start, its memory, and what clients wait."""
    began = time.monotonic()
    with serving(path) as (port, server):
        _asked_of(port, "/api/search?limit=1")
        start, cpu = time.monotonic() - began, _cpu(server.pid)
        asking = [sys.executable, __file__, "--data", str(given.data), "--work", str(given.work)]
        asking += ["--clients", str(given.clients), "--seconds", str(given.seconds)]
        said = subprocess.run([*asking, "--port", port], capture_output=True, text=True, check=True)
        found = json.loads(said.stdout)
        spent = _cpu(server.pid) - cpu
        peak = _peak(server.pid)
        page = _asked_of(port, "/api/map")
        if page["placed"]:
            _asked_of(port, "/api/map-colors?column=e_above_hull")
            _asked_of(port, f"/api/crystals/{page['ids'][0]}")
            found |= {"placed": page["placed"], "peak_gigabytes_with_map": _peak(server.pid)}
    return {
        "start_seconds": round(start, 2),
        "start_cpu_seconds": round(cpu, 2),
        "peak_gigabytes": peak,
        "clients": given.clients,
        "cpu_ms_per_search": round(1000 * spent / found["searches"], 2),
        **found,
    }


def _asked_of(port: str, path: str) -> dict[str, Any]:
    with urlopen(f"http://localhost:{port}{path}") as answer:
        return dict(json.loads(answer.read()))


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1e6, 3)  # type: ignore[index]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def asked(port: int, clients: int, seconds: float) -> dict[str, float]:
    """Latencies (ms) of clients that ask one search after the other."""
    end = time.monotonic() + seconds
    waits: list[float] = []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while time.monotonic() < end:
            query = QUERIES[turn % len(QUERIES)]
            query += f"&exclude={ELEMENTS[turn // 3 % len(ELEMENTS)]}" if turn % 2 else ""
            began = time.monotonic()
            writer.write(f"GET /api/search?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.partition(b"\r\n")[0], head
            length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
            await reader.readexactly(length)
            waits.append(1000 * (time.monotonic() - began))
            turn += clients
        writer.close()

    await asyncio.gather(*(client(n) for n in range(clients)))
    p50, p95, p99 = np.percentile(waits, [50, 95, 99]).round(1).tolist()
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "searches": len(waits),
        "seconds": seconds,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "client_cpu_seconds": round(own.ru_utime + own.ru_stime, 1),
    }


if __name__ == "__main__":
    main()

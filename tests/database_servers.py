"""Servers for the tests of `gnomon.databases`: a real OPTIMADE one, and one that says anything."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import gcd
from pathlib import Path
from urllib.error import URLError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

from gnomon import io
from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS

STARTING = 180.0
"""Seconds that the OPTIMADE server has to start (it takes 3 on an idle core)."""


@dataclass(frozen=True)
class Reply:
    """What a server sends, and what it does to the connection."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False  # announce more than is sent
    hang: float = 0.0  # seconds of silence in the middle

    @classmethod
    def json(cls, document: object, status: int = 200, **headers: str) -> "Reply":
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(json.dumps(document).encode(), status, names)


@dataclass
class Provider:
    """A server on 127.0.0.1 that remembers what it was asked."""

    url: str
    asked: list[str]
    keys: set[str | None]

    def queries(self) -> list[dict[str, list[str]]]:
        return [parse_qs(urlsplit(path).query) for path in self.asked]


@contextmanager
def serving(answer: Callable[[str], Reply]) -> Iterator[Provider]:
    """Serve, over a real socket, what ``answer`` makes of each path."""
    asked: list[str] = []
    keys: set[str | None] = set()
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # named by http.server
            asked.append(self.path)
            keys.add(self.headers.get("x-api-key"))
            reply = answer(self.path)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + 1000 * reply.cut))
            self.end_headers()
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.wfile.flush()
            ended.wait(reply.hang)
            self.wfile.write(reply.body[len(reply.body) // 2 :])

        def log_message(self, *args: object) -> None:
            """Tests print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Provider(f"http://127.0.0.1:{server.server_port}", asked, keys)
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def scripted(*replies: Reply) -> Callable[[str], Reply]:
    """One reply after the other, the last one for good."""
    left = list(replies)

    def answer(path: str) -> Reply:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


# --- OPTIMADE -------------------------------------------------------------------------------------


def entry(crystal: Crystals, name: str, **changes: object) -> dict[str, object]:
    """A structure as OPTIMADE 1.2 wants it, with all of its properties."""
    (structure,) = io.to_pymatgen(crystal)
    amounts = {SYMBOLS[z]: int(crystal.composition[0, z]) for z in set(crystal.atomic_numbers)}
    symbols, divisor = sorted(amounts), gcd(*amounts.values())
    integer = {symbol: amounts[symbol] // divisor for symbol in symbols}
    formula = "".join(s + (str(n) if n > 1 else "") for s, n in integer.items())
    counts = sorted(integer.values(), reverse=True)
    anonymous = "".join(
        letter + (str(n) if n > 1 else "") for letter, n in zip("ABCDEFGH", counts, strict=False)
    )
    attributes = {
        "last_modified": {"$date": "2026-01-01T00:00:00Z"},
        "elements": symbols,
        "nelements": len(symbols),
        "elements_ratios": [integer[s] / sum(counts) for s in symbols],
        "chemical_formula_descriptive": formula,
        "chemical_formula_reduced": formula,
        "chemical_formula_anonymous": anonymous,
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": structure.lattice.matrix.tolist(),
        "cartesian_site_positions": structure.cart_coords.tolist(),
        "nsites": len(structure),
        "species_at_sites": [site.specie.symbol for site in structure],
        "species": [{"name": s, "chemical_symbols": [s], "concentration": [1.0]} for s in symbols],
        "structure_features": [],
    }
    return {"id": name, "type": "structures", "attributes": attributes | changes}


def page(
    data: list[object], following: object = None, *, total: int | None = None, release: str = "1"
) -> dict[str, object]:
    """An OPTIMADE answer by hand."""
    return {
        "data": data,
        "links": {"next": following},
        "meta": {
            "api_version": "1.2.0",
            "query": {"representation": "/structures"},
            "more_data_available": following is not None,
            **({} if total is None else {"data_returned": total}),
            "provider": {"name": "Tests", "prefix": "tst", "description": "of gnomon"},
            "database": {"id": "tst", "version": release},
        },
    }


@contextmanager
def optimade_server(folder: Path, entries: list[dict[str, object]]) -> Iterator[str]:
    """optimade-python-tools with mongomock in a process of its own; yields the base URL."""
    data = folder / "structures.jsonl"
    header = {"x-optimade": {"meta": {"api_version": "1.2.0"}}}
    data.write_text("\n".join(json.dumps(line) for line in (header, *entries)) + "\n")
    config = folder / "optimade.json"
    settings = {
        "insert_test_data": False,
        "insert_from_jsonl": str(data),
        "database_backend": "mongomock",
        "page_limit_max": 50,
        "provider": {
            "prefix": "gnm",
            "name": "gnomon's tests",
            "description": "a few alloys",
            "homepage": None,
        },
        "log_dir": str(folder / "logs"),
    }
    config.write_text(json.dumps(settings))
    with socket.socket() as listening, (folder / "server.log").open("w") as log:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        command = ["uvicorn", "optimade.server.main:app", "--no-access-log"]
        server = subprocess.Popen(
            [sys.executable, "-m", *command, "--fd", str(listening.fileno())],
            env=os.environ | {"OPTIMADE_CONFIG_FILE": str(config)},
            pass_fds=[listening.fileno()],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            _wait(server, f"{url}/v1/info", folder / "server.log")
            yield url
        finally:
            server.terminate()
            server.wait(10)


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until the server answers; it may die instead."""
    deadline = time.monotonic() + STARTING
    while True:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the OPTIMADE server did not start:\n{log.read_text()}")
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)

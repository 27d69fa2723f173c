"""A server of `gnomon explore` in a thread, over a real socket."""

import gzip
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from gnomon.explore.collections import collections_of
from gnomon.explore.explorer import Explorer
from gnomon.explore.provider import mounted
from gnomon.explore.server import app_of
from gnomon.explore.serving import listening, server_of


@dataclass(frozen=True)
class Answer:
    """Status, headers in small letters, and the body as it was before it was compressed."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A running server and what it answers from."""

    port: int
    explorer: Explorer

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """One request; ``_`` in names of headers stands for ``-``."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers={"Host": "localhost", **given})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            body = answer.read()
            zipped = found.get("content-encoding") == "gzip"
            return Answer(answer.status, found, gzip.decompress(body) if zipped else body)
        finally:
            connection.close()


@contextmanager
def served(given: Sequence[str | Path], token: str = "") -> Iterator[Served]:
    """Serve campaigns and files on a free port of this machine."""
    explorer = Explorer(collections_of([str(one) for one in given]))
    with listening("127.0.0.1", 0) as socket:
        server = server_of(app_of(explorer, token, (mounted(explorer),)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
        thread.start()
        try:
            yield Served(socket.getsockname()[1], explorer)
        finally:
            server.should_exit = True
            thread.join(30)

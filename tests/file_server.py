"""A web server that hands out one file, and breaks off, lies or waits as it is told."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from gnomon.run.listener import Listener

CONTENT = bytes(range(256)) * 2000
"""512 kB, eight chunks of a download."""


@dataclass
class Server:
    """What a web server does, and what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    shift: int = 0
    """Bytes by which an answer to a range begins too early, as with caches of blocks."""
    cuts: list[int] = field(default_factory=list)
    """Of each answer to come, the bytes after which the connection breaks."""
    refusals: list[int] = field(default_factory=list)
    """Status codes of the answers to come, before any other."""
    told: bool = True
    """Whether it tells sizes."""
    gate: threading.Event | None = None
    """Half of an answer waits for this."""
    asked: list[int] = field(default_factory=list)
    """First byte of each request."""
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        range_ = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        begin = int(range_[1]) if range_ else 0
        self.asked.append(begin)
        if self.refusals:
            handler.send_error(self.refusals.pop(0))
            return
        total = len(self.content)
        if not (self.ranges and range_):
            begin = 0
            handler.send_response(200)
        elif begin >= total:
            handler.send_error(416)
            return
        else:
            begin = max(begin - self.shift, 0)
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        if self.told:
            handler.send_header("Content-Length", str(total - begin))
        handler.end_headers()
        end = total if not self.cuts else min(total, begin + self.cuts.pop(0))
        if self.gate is not None:
            middle = (begin + end) // 2
            handler.wfile.write(self.content[begin:middle])
            handler.wfile.flush()
            self.gate.wait(30)
            begin = middle
        handler.wfile.write(self.content[begin:end])


@contextmanager
def file_server() -> Iterator[tuple[ThreadingHTTPServer, str]]:
    """A web server on this machine, which does as its ``does`` says, and its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            with suppress(ConnectionError):  # the other side was killed, or waits no longer
                self.server.does.answer(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http, f"http://127.0.0.1:{http.server_port}/weights.nqx"
        http.shutdown()
        thread.join()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def listener(lines: list[str]) -> Listener:
    return Listener(say=lines.append, tick=lambda *_: None)

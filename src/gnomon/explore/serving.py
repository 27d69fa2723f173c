"""A socket, uvicorn on it, and connections that may not take for ever."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST = 20.0
"""Seconds in which a request must have come whole."""

WAITING = 2048
"""Connections that may wait to be taken."""


class Protocol(HttpToolsProtocol):
    """Closes a connection whose request does not come: thousands of them cost only memory."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._late = self.loop.call_later(REQUEST, self._give_up)

    def on_message_begin(self) -> None:
        """Wait for the rest of a request; of the first one since the connection was made."""
        super().on_message_begin()
        if self._late is None:
            self._late = self.loop.call_later(REQUEST, self._give_up)

    def on_message_complete(self) -> None:
        """It came whole."""
        self._stop_waiting()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        if not self.transport.is_closing():
            self.transport.abort()


def listening(host: str, port: int) -> socket.socket:
    """A socket of this address; port 0 takes a free one.

    Raises:
        OSError: if it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(WAITING)
    except BaseException:
        made.close()
        raise
    return made


def server_of(app: Any) -> uvicorn.Server:
    """A server of an application; ``run(sockets=[...])`` runs it."""
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=3,
        backlog=WAITING,
    )
    return uvicorn.Server(config)

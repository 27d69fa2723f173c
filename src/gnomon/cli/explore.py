"""`gnomon explore`: campaigns and crystals as pages to look at."""

from __future__ import annotations

import os
import secrets
import webbrowser
from dataclasses import asdict
from pathlib import Path

from gnomon.cli.options import CommandError, Output
from gnomon.explore.collections import collections_of
from gnomon.explore.explorer import Explorer
from gnomon.explore.map_page import make_map
from gnomon.explore.security import LOOPBACK
from gnomon.run.listener import Listener

TOKEN = "GNOMON_EXPLORE_TOKEN"
"""Variable of the environment with a token of one's own."""


def explore(
    sources: list[str],
    listener: Listener,
    *,
    host: str = "127.0.0.1",
    port: int = 8642,
    no_browser: bool = False,
    map: bool = False,
    export: Path | None = None,
) -> Output:
    """Look at campaigns and crystals in a browser: search, structures, hulls; nothing is changed.

    Runs until it is stopped.  Other hosts than this machine need a token, which the printed address
    holds; GNOMON_EXPLORE_TOKEN sets one's own.

    Args:
        sources: campaign folders, and files, folders or globs of crystals.
        host: address to listen at; others than 127.0.0.1 reach it with the token alone.
        port: to listen at; 0 takes a free one.
        no_browser: print the address, and open no browser.
        map: first place all crystals on a map by what networks see of them, and know which are
            alike; minutes for 100,000, once.
        export: write the pages as files into this folder, for any web server, and serve nothing.

    Example: gnomon explore campaign-Au-Cu
    """
    if not 0 <= port < 65_536:
        raise CommandError(f"--port {port}: ports are numbers up to 65535")
    collections = collections_of(sources)
    try:
        from gnomon.explore.export import export as exported
        from gnomon.explore.provider import mounted
        from gnomon.explore.server import app_of
        from gnomon.explore.serving import listening, server_of
    except ModuleNotFoundError as error:
        raise ValueError(f"{error}: pip install 'gnomon[explore]'") from error
    explorer = Explorer(collections, listener)
    if map:
        make_map(explorer.index, listener)
    if export is not None:
        written = exported(explorer, export, listener)
        return Output(asdict(written), (f"{export}: {written}",))
    token = os.environ.get(TOKEN, "")
    if host not in LOOPBACK:
        token = token or secrets.token_urlsafe(24)
    try:
        socket = listening(host, port)
    except OSError as error:
        raise ValueError(f"{host}:{port} cannot be had ({error.strerror}): try --port 0") from error
    with socket:
        taken = int(socket.getsockname()[1])
        shown = f"[{host}]" if ":" in host else "localhost" if host in LOOPBACK else host
        address = f"http://{shown}:{taken}/{f'?token={token}' if token else ''}"
        listener.say(f"{len(explorer.index)} crystals at {address} (Ctrl-C ends)")
        if not no_browser:
            webbrowser.open(address)
        server_of(app_of(explorer, token, (mounted(explorer),))).run(sockets=[socket])
    return Output({"address": address, "crystals": len(explorer.index)})

"""`gnomon weights`: which weights of potentials there are, and fetching them ahead of time."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gnomon.cli.shared import Json


def weights_list(json: Json = False) -> None:
    """Show the weights that can be named: where they are, what they learned from, their licence.

    All energies are at the PBE(+U) level of the Materials Project, without its corrections.

    Example: gnomon weights list --json
    """
    from dataclasses import asdict

    from gnomon.cli.terminal import put_json, put_table
    from gnomon.potential.weights import (
        BUNDLED,
        PUBLISHED,
        bundled_path,
        is_cached,
    )
    from gnomon.run.files import sha256_of

    rows: list[dict[str, Any]] = []
    for name in BUNDLED:
        path = bundled_path(name)
        there = path.is_file()
        rows.append({"name": name, "state": "comes with gnomon" if there else "missing"})
        rows[-1]["sha256"] = sha256_of(path) if there else None
    for one in PUBLISHED.values():
        rows.append({"state": "fetched" if is_cached(one) else "not fetched", **asdict(one)})
    if json:
        put_json(rows)
        return
    columns = ("name", "state", "trained_on", "licence")
    put_table(
        [
            {key: row.get(key) for key in columns} | {"sha256": (row["sha256"] or "-")[:12]}
            for row in rows
        ]
    )


def weights_fetch(
    name: Annotated[str, typer.Argument(help="Name of the weights.")],
    json: Json = False,
) -> None:
    """Fetch weights into the cache, check their sha256 and print where they are.

    A download that was cut goes on where it stopped.  GNOMON_CACHE names another cache folder.

    Example: gnomon weights fetch nequix-oam-1-pft
    """
    from gnomon.cli.terminal import listening, put_json, say
    from gnomon.potential.weights import PUBLISHED, resolve

    with listening() as listener:
        weights = resolve(name, listener=listener)
    if json:
        put_json({"name": weights.name, "path": str(weights.path), "sha256": weights.sha256})
        return
    print(weights.path)
    say(f"sha256: {weights.sha256}")
    if name in PUBLISHED:
        one = PUBLISHED[name]
        say(f"licence: {one.licence}; cite {one.citation}")

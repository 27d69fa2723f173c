"""`gnomon weights`: which weights of potentials there are, and fetching them ahead of time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gnomon.cli.options import Output
from gnomon.evaluate.corrections import SCHEME_SUFFIX
from gnomon.evaluate.measured import measured
from gnomon.evaluate.references import OFF, references
from gnomon.potential.weights import BUNDLED, PUBLISHED, bundled_path, is_cached, resolve
from gnomon.run.listener import Listener


def list_weights() -> Output:
    """Show the weights that can be named: where they are, what they learned from, their licence.

    All energies are at the PBE(+U) level of the Materials Project, without its corrections.  F1 is
    that of verdicts on crystals of WBM; elements off are those whose crystal lies by so many
    eV/atom elsewhere than compounds would have it.

    Example: gnomon weights list --json
    """
    rows: list[dict[str, Any]] = []
    for name, sha256 in BUNDLED.items():
        state = "comes with gnomon" if bundled_path(name).is_file() else "missing"
        rows.append({"name": name, "state": state, "sha256": sha256, **_measured(name, sha256)})
    for one in PUBLISHED.values():
        state = "fetched" if is_cached(one) else "not fetched"
        rows.append({"state": state, **asdict(one), **_measured(one.name, one.sha256)})
    columns = ("name", "state", "trained_on", "licence", "F1", "elements_off")
    return Output(
        rows,
        (
            [
                {key: row.get(key) for key in columns} | {"sha256": (row["sha256"] or "-")[:12]}
                for row in rows
            ],
        ),
    )


def _measured(name: str, sha256: str) -> dict[str, Any]:
    """F1 and error of the distance to the hull, and elements whose crystals are off (eV/atom)."""
    scheme = f"{name} (sha256 {sha256[:12]}){SCHEME_SUFFIX}"
    error, fit = measured(scheme), references(scheme)
    off = [] if fit is None else fit.worst(OFF)
    return {
        "F1": None if error is None else error.f1,
        "error": None if error is None else error.mean_absolute_error,
        "elements_off": ", ".join(f"{symbol} {shift:+.2f}" for symbol, shift in off) or None,
    }


def fetch(
    name: str,
    listener: Listener,
) -> Output:
    """Fetch weights into the cache, check their sha256 and print where they are.

    A download that was cut goes on where it stopped.  GNOMON_CACHE names another cache folder.

    Args:
        name: name of the weights.

    Example: gnomon weights fetch nequix-oam-1-pft
    """
    weights = resolve(name, listener=listener)
    said = [f"sha256: {weights.sha256}"]
    if name in PUBLISHED:
        one = PUBLISHED[name]
        said.append(f"licence: {one.licence}; cite {one.citation}")
    return Output(
        {"name": weights.name, "path": str(weights.path), "sha256": weights.sha256},
        (str(weights.path),),
        tuple(said),
    )

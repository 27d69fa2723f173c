"""The map: crystals placed in a plane by their embeddings, made on demand and kept.

t-SNE (van der Maaten and Hinton, J. Mach. Learn. Res. 9, 2579 (2008)) by openTSNE (Poličar et al.,
J. Stat. Softw. 109, 3 (2024)): who is next to whom means something, how far apart two regions are
does not.  Up to ``FITTED`` crystals are placed by it; each further one comes to the median of the
places of those that are most alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Float64, Int64

from gnomon.explore.collections import Collection
from gnomon.explore.vectors import Vectors, rows_by_id
from gnomon.io.tables import write_table
from gnomon.run.files import cache_folder
from gnomon.run.listener import SILENT, Listener

FITTED = 10_000
"""Crystals that t-SNE places; the time grows with them (``benchmarks/explore.py --map``)."""

PERPLEXITY = 30
"""Neighbours that each crystal looks at, about (the usual value)."""

NEIGHBORS = 5
"""Of a further crystal, whose places say where it comes to."""

SEED = 0

SIDE = (12, 160)
"""Fewest and most squares along a side of the grid in which regions are found."""

SMOOTH = 1.0
"""Squares over which the density of crystals is smoothed."""

LEAST = 0.006
"""Share of the crystals below which a region gets no name."""


def map_path(collections: Sequence[Collection]) -> Path:
    """Where the map of these collections is kept."""
    names = sorted(one.index_path.stem for one in collections)
    key = hashlib.sha256(" ".join(names).encode()).hexdigest()[:24]
    return cache_folder() / "explore" / f"{key}.map.parquet"


def make_places(
    collections: Sequence[Collection],
    content_ids: Sequence[str | None],
    vectors: Vectors,
    listener: Listener = SILENT,
) -> None:
    """Place the crystals, unless each that has a vector has a place already.

    Raises:
        ModuleNotFoundError: without openTSNE.
    """
    kept = kept_places(collections, content_ids)
    known = vectors.known
    if kept is not None and np.isfinite(kept[known]).all():
        return
    keys, first = np.unique(np.array(content_ids, str)[known], return_index=True)
    rows = np.flatnonzero(known)[first]
    places = placed(vectors.values[rows], listener)
    table = pa.table({"id": keys, "x": places[:, 0], "y": places[:, 1]})
    write_table(map_path(collections), table, facts={"embeddings": vectors.card, "seed": SEED})


def kept_places(
    collections: Sequence[Collection], content_ids: Sequence[str | None]
) -> Float32[np.ndarray, "n 2"] | None:
    """Places of the crystals, NaN where there is none; None without a map."""
    try:
        table = pq.read_table(map_path(collections))
    except (OSError, pa.ArrowException):
        return None  # not there, or damaged: it is made anew
    rows, at = rows_by_id(content_ids, table["id"].to_pylist())
    places = np.full((len(content_ids), 2), np.nan, np.float32)
    places[rows] = np.stack([table[name].to_numpy()[at] for name in ("x", "y")], axis=1)
    return places


def placed(
    values: Float32[np.ndarray, "n d"], listener: Listener = SILENT
) -> Float32[np.ndarray, "n 2"]:
    """Places of crystals by the directions of their embeddings; the same for the same ones.

    Args:
        values: of length 1.
        listener: hears of progress.
    """
    from openTSNE import TSNE  # with scikit-learn

    n = len(values)
    if n < 8:
        return np.stack([np.arange(n), np.zeros(n)], axis=1).astype(np.float32)
    order = np.random.default_rng(SEED).permutation(n)
    chosen, rest = np.sort(order[:FITTED]), np.sort(order[FITTED:])
    listener.say(f"placing {len(chosen)} crystals by t-SNE, then {len(rest)} beside them")
    fit = TSNE(
        perplexity=min(PERPLEXITY, (len(chosen) - 1) / 3),
        metric="cosine",
        initialization="pca",
        neighbors="approx" if len(chosen) > 1000 else "exact",
        random_state=SEED,
        n_jobs=1,
    )
    found: Any = fit.fit(values[chosen])
    out = np.empty((n, 2), np.float32)
    out[chosen] = found
    if len(rest):
        out[rest] = found.prepare_partial(values[rest], k=NEIGHBORS, perplexity=NEIGHBORS)
    return out


def regions(places: Float32[np.ndarray, "n 2"]) -> Int64[np.ndarray, " n"]:
    """Number of the region of each crystal, the largest first; -1 for none.

    A region is all from where the smoothed density of crystals rises to the same peak.
    """
    from scipy.ndimage import gaussian_filter

    out = np.full(len(places), -1, np.int64)
    there = np.isfinite(places).all(axis=1)
    known = places[there].astype(np.float64)
    if not len(known):
        return out
    side = int(np.clip(np.sqrt(len(known)) / 2, *SIDE))
    squares = _squares(known, side)
    density = np.bincount(squares, minlength=side * side).reshape(side, side).astype(np.float64)
    peak = _peaks(gaussian_filter(density, SMOOTH, mode="constant"))[squares]
    names, counts = np.unique(peak, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] >= LEAST * len(known)]
    rank = {int(names[i]): number for number, i in enumerate(order)}
    out[there] = [rank.get(one, -1) for one in peak.tolist()]
    return out


def _squares(places: Float64[np.ndarray, "k 2"], side: int) -> Int64[np.ndarray, " k"]:
    low, high = places.min(axis=0), places.max(axis=0)
    step = np.maximum(high - low, 1e-9) / side
    at = np.minimum(((places - low) / step).astype(np.int64), side - 1)
    return np.asarray(at[:, 0] * side + at[:, 1])


def _peaks(density: Float64[np.ndarray, "s s"]) -> Int64[np.ndarray, " squares"]:
    """The square at which the steepest way up from each square ends."""
    side = len(density)
    around = np.pad(density, 1, constant_values=-1)
    steps = [(i, j) for i in range(3) for j in range(3)]
    stack = np.stack([around[i : i + side, j : j + side] for i, j in steps])
    stack[4] += 1e-12  # stay where it is flat
    best = stack.argmax(axis=0)
    rows, columns = np.indices(density.shape)
    up = ((rows + best // 3 - 1) * side + columns + best % 3 - 1).reshape(-1)
    while not np.array_equal(up[up], up):
        up = up[up]
    return np.asarray(up)

"""Embeddings of the crystals of an index, made on demand and kept beside it: which are alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Float32, Int64

from gnomon.crystals import Crystals
from gnomon.explore.collections import Collection
from gnomon.io.tables import write_table
from gnomon.models.bundled import STRUCTURAL, model_path
from gnomon.run.files import sha256_of
from gnomon.run.listener import SILENT, Listener

CARD = "embeddings"
"""What made them, in the metadata of a file."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Directions of n crystals in the space of embeddings.

    Attributes:
        values: (n, d), of length 1; zeros where there is none.
        card: what made them (``gnomon.models.embed.EmbeddingCard``), as JSON.
    """

    values: Float32[np.ndarray, "n d"]
    card: dict[str, Any]

    @property
    def known(self) -> Bool[np.ndarray, " n"]:
        """Which crystals have one."""
        return np.asarray(self.values.any(axis=1))

    def nearest(self, row: int, n: int) -> list[tuple[int, float]]:
        """The rows most alike to a row by the cosine, and the cosine, most alike first.

        Two rows that are equally alike come in their order; a row without a vector is like none.
        """
        if not self.values[row].any():
            return []
        cosines = self.values @ self.values[row]
        cosines[~self.known] = -np.inf
        cosines[row] = -np.inf
        n = min(n, int(np.isfinite(cosines).sum()))
        least = np.partition(cosines, -n)[-n] if n else np.inf
        rows = np.flatnonzero(cosines >= least)
        rows = rows[np.argsort(-cosines[rows], kind="stable")][:n]
        return [(int(i), float(min(cosines[i], 1.0))) for i in rows]


def kept_vectors(
    collections: Sequence[Collection], content_ids: Sequence[str | None]
) -> Vectors | None:
    """What is kept for these crystals; None if nothing is."""
    found = [part for one in collections if (part := _read(one)) is not None]
    if not found:
        return None
    values = np.zeros((len(content_ids), found[0][1].shape[1]), np.float32)
    for ids, vectors, _ in found:
        rows, at = rows_by_id(content_ids, ids)
        values[rows] = vectors[at]
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return Vectors(values / np.where(length > 0, length, 1), found[0][2])


def rows_by_id(
    content_ids: Sequence[str | None], ids: Sequence[str]
) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Rows whose id is among some, and where it stands there.

    >>> [found.tolist() for found in rows_by_id(["a", "b", "a", None], ["c", "a"])]
    [[0, 2], [1, 1]]
    """
    at = {key: place for place, key in enumerate(ids)}
    places = np.array([at.get(str(key), -1) for key in content_ids], np.int64)
    rows = np.flatnonzero(places >= 0)
    return rows, places[rows]


def make_vectors(
    collections: Sequence[Collection],
    crystals: Crystals,
    sources: Sequence[str | None],
    listener: Listener = SILENT,
) -> None:
    """Make the embeddings that are not kept yet, and keep those of each collection by its index.

    Args:
        collections: where the crystals come from.
        crystals: n of them.
        sources: (n,), names of their collections.
        listener: hears of progress.
    """
    from gnomon.models.embed import Embedder  # it loads JAX

    embedder = Embedder()
    of, ids = np.array(sources, object), crystals.ids
    for one in collections:
        keys, first = np.unique(ids[of == one.name].astype(str), return_index=True)
        rows = np.flatnonzero(of == one.name)[first]
        kept = _read(one)
        old = {} if kept is None else dict(zip(kept[0], kept[1], strict=True))
        missing = [i for i, key in enumerate(keys.tolist()) if key not in old]
        if not missing:
            continue
        made = embedder.embed(crystals[rows[missing]], listener.of(f"embedding {one.name}")).values
        new = {keys[i]: vector for i, vector in zip(missing, np.nan_to_num(made), strict=True)}
        old |= {str(key): vector for key, vector in new.items()}
        _write(one, keys.tolist(), np.stack([old[key] for key in keys.tolist()]), embedder.card)


def _read(
    collection: Collection,
) -> tuple[list[str], Float32[np.ndarray, "k d"], dict[str, Any]] | None:
    """Ids, embeddings and card; None if there are none, or another model made them."""
    path = collection.embeddings_path
    try:
        table = pq.read_table(path)
        card = json.loads((table.schema.metadata or {})[b"gnomon"])[CARD]
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None  # not there, or damaged: they are made anew
    if card["model_sha256"] != sha256_of(model_path(STRUCTURAL)):
        return None
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return table["id"].to_pylist(), flat.reshape(len(table), -1).astype(np.float32), card


def _write(
    collection: Collection, ids: Sequence[str], values: Float32[np.ndarray, "k d"], card: Any
) -> None:
    flat = pa.array(values.astype(np.float16).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    table = pa.table({"id": pa.array(ids, pa.string()), "embedding": lists})
    write_table(collection.embeddings_path, table, facts={CARD: card.model_dump(mode="json")})

"""Arrays in a file: one line of JSON, then the raw bytes.  Nothing in it is ever executed.

The header carries whatever describes the arrays, and their names, types and shapes; a file that
does not match its header to the byte is refused.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from gnomon.run.files import write_atomically

FORMAT = "gnomon arrays 1"
"""First field of the header: the name and version of the format."""

MAX_HEADER = 1 << 24
"""Bytes; a longer first line is not a header."""

Tree = TypeVar("Tree")


class CheckpointError(ValueError):
    """The file is no checkpoint, is damaged, or holds other arrays than asked for."""


def save_arrays(path: Path, header: dict[str, Any], tree: Any) -> None:
    """Write the header and every array of a pytree; the file appears whole or not at all."""
    leaves = {name: np.asarray(leaf) for name, leaf in _named_leaves(tree)}
    data = b"".join(_little_endian(leaf).tobytes() for leaf in leaves.values())
    line = {
        "format": FORMAT,
        **header,
        "sha256": hashlib.sha256(data).hexdigest(),
        "arrays": [[name, leaf.dtype.name, list(leaf.shape)] for name, leaf in leaves.items()],
    }
    write_atomically(path, json.dumps(line).encode() + b"\n" + data)


def load_header(path: Path) -> dict[str, Any]:
    """The header of a file of arrays.

    Raises:
        CheckpointError: if the file does not begin with one.
    """
    with path.open("rb") as file:
        return _header(path, file.readline(MAX_HEADER))


def load_arrays(path: Path, like: Tree) -> Tree:
    """The arrays of a file in the place of the leaves of a pytree of the same structure.

    Args:
        path: what ``save_arrays`` wrote.
        like: a pytree whose leaves have shapes and types (arrays or ``jax.ShapeDtypeStruct``).

    Raises:
        CheckpointError: if the file is damaged, or names, types or shapes differ from ``like``.
    """
    with path.open("rb") as file:
        header = _header(path, file.readline(MAX_HEADER))
        data = file.read()
    found = [(name, np.dtype(kind), tuple(shape)) for name, kind, shape in header["arrays"]]
    wanted = [(n, np.dtype(leaf.dtype), tuple(leaf.shape)) for n, leaf in _named_leaves(like)]
    if found != wanted:
        different = [f"{f} for {w}" for f, w in zip(found, wanted, strict=False) if f != w]
        raise CheckpointError(
            f"{path} holds {len(found)} arrays where {len(wanted)} are expected"
            + (f"; the first that differs: {different[0]}" if different else "")
        )
    sizes = [kind.itemsize * int(np.prod(shape)) for _, kind, shape in found]
    if sum(sizes) != len(data) or hashlib.sha256(data).hexdigest() != header["sha256"]:
        raise CheckpointError(
            f"{path} is damaged: its {len(data)} bytes of arrays do not match its header "
            f"({sum(sizes)} bytes); copy it again or train again"
        )
    ends = np.cumsum([0, *sizes])
    leaves = [
        np.frombuffer(data[a:b], kind.newbyteorder("<")).astype(kind).reshape(shape)
        for a, b, (_, kind, shape) in zip(ends[:-1], ends[1:], found, strict=True)
    ]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _header(path: Path, line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError as error:
        raise CheckpointError(f"{path} is no gnomon model: its first line is no JSON") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(f"{path} is no gnomon model of this version ({FORMAT!r})")
    return header


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(k), v) for k, v in jax.tree_util.tree_leaves_with_path(tree)]


def _little_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)

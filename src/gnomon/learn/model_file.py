"""Model files: safetensors, arrays by name behind a header in JSON.  Nothing in it is executed.

The header's metadata says what the arrays are (kind, settings, card, each as JSON) and has a
checksum of itself and of them; a file that was cut short or altered is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from gnomon.run.files import write_atomically

FORMAT = "gnomon model 1"
"""Name and version of the format, ``format`` in the metadata."""

BEFORE = b'{"format": "gnomon '
"""What the files of gnomon began with before they were safetensors."""

Tree = TypeVar("Tree")


class ModelFileError(ValueError):
    """The file is no model, is damaged, or holds another model than asked for."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """What a file holds: arrays by their place in a pytree, and what is said of them."""

    path: Path
    about: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def fill(self, like: Tree) -> Tree:
        """The arrays in the place of the leaves of a pytree of the same structure.

        Args:
            like: a pytree whose leaves have shapes and types (arrays or ``jax.ShapeDtypeStruct``).

        Raises:
            ModelFileError: if names, types or shapes differ from ``like``.
        """
        wanted = {name: _kind(leaf) for name, leaf in _named_leaves(like)}
        found = {name: _kind(array) for name, array in self.arrays.items()}
        if found != wanted:
            name = min(n for n in {*found, *wanted} if found.get(n) != wanted.get(n))
            raise ModelFileError(
                f"{self.path} holds {len(found)} arrays where {len(wanted)} are expected; the "
                f"first that differs: {name}, {found.get(name, 'missing')} for "
                f"{wanted.get(name, 'nothing')}"
            )
        return jax.tree.unflatten(jax.tree.structure(like), [self.arrays[n] for n in wanted])


def write_model_file(path: Path, about: Mapping[str, Any], tree: Any) -> None:
    """Write every array of a pytree and what describes them; the file appears whole or not at all.

    Args:
        path: the file.
        about: whatever JSON can hold, by name.
        tree: its leaves are arrays; they are named by their place in it.
    """
    arrays = {name: np.asarray(leaf, order="C") for name, leaf in _named_leaves(tree)}
    words = {name: json.dumps(value, allow_nan=False) for name, value in about.items()}
    said = {"format": FORMAT, "sha256": _checksum(words, arrays)}
    write_atomically(path, save(arrays, words | said))


def read_model_file(path: Path) -> ModelFile:
    """A file that ``write_model_file`` wrote.

    Raises:
        FileNotFoundError: if there is none.
        ModelFileError: if it is no model file of this version, or damaged.
    """
    with path.open("rb") as head:
        if head.read(len(BEFORE)) == BEFORE:
            raise ModelFileError(
                f"{path} was written by an earlier gnomon, whose files are not read any more: "
                "train the model again, or take one in the format of this version"
            )
    try:
        with safe_open(path, framework="np") as file:
            words = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelFileError(
            f"{path} is no gnomon model or damaged ({error}): copy it again or train again"
        ) from None
    if words.pop("format", None) != FORMAT:
        raise ModelFileError(f"{path} is no gnomon model of this version ({FORMAT!r})")
    if words.pop("sha256", None) != _checksum(words, arrays):
        raise ModelFileError(
            f"{path} is damaged: it does not match its checksum; copy it again or train again"
        )
    return ModelFile(path, {name: json.loads(text) for name, text in words.items()}, arrays)


def _checksum(words: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 of what is said, and of names, types, shapes and bytes of the arrays."""
    digest = hashlib.sha256(json.dumps(words, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {_kind(array)}".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _kind(leaf: Any) -> str:
    """Type and shape in words, as in ``float32 (2, 3)``."""
    return f"{np.dtype(leaf.dtype).name} {tuple(leaf.shape)}"


def _named_leaves(tree: Any) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(k), v) for k, v in jax.tree_util.tree_leaves_with_path(tree)]

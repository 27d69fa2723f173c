"""Weight files: Nequix checkpoints are read, gnomon's own are read and written.

Both are one line of JSON and then arrays in NumPy's format, read without unpickling anything.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gnomon.potential.config import PotentialConfig
from gnomon.potential.network import Convolution, Potential
from gnomon.run.files import write_atomically

FORMAT = "gnomon potential 1"


def load(path: Path) -> tuple[Potential, dict[str, Any]]:
    """A potential and what its file says of it: the model card, or Nequix's training settings.

    Raises:
        ValueError: if the file is no weight file, is cut short or does not fit its own header.
    """
    with path.open("rb") as file:
        header = _header(path, file.readline(1 << 24))
        try:
            if header.get("format") == FORMAT:
                return _read_own(header, file), header["card"]
            return _read_nequix(header, file), header
        except (KeyError, TypeError, ValueError, EOFError, OSError) as error:
            raise ValueError(
                f"{path} is not a whole weight file ({type(error).__name__}: {error}): "
                "fetch or train it again"
            ) from error


def save(path: Path, potential: Potential, card: dict[str, Any], *, half: bool = False) -> None:
    """Write a potential and its card; ``half`` keeps 16 bits of each weight."""
    stream = io.BytesIO()
    header = {"format": FORMAT, "config": potential.config.model_dump(mode="json"), "card": card}
    stream.write(json.dumps(header, allow_nan=False).encode() + b"\n")
    for leaf in jax.tree.leaves(eqx.filter(potential, eqx.is_array)):
        np.save(stream, np.asarray(leaf, np.float16 if half else np.float32), allow_pickle=False)
    write_atomically(path, stream.getvalue())


def _header(path: Path, line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path} is no weight file: its first line is not JSON") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path} is no weight file: its first line is no JSON object")
    return header


def _read_own(header: dict[str, Any], file: Any) -> Potential:
    config = PotentialConfig.model_validate(header["config"])
    blank = eqx.filter_eval_shape(Potential, config, key=jax.random.key(0))
    shapes, tree = jax.tree.flatten(blank)
    leaves = [_array(file, leaf.shape) for leaf in shapes]
    _at_end(file)
    return jax.tree.unflatten(tree, leaves)


def _read_nequix(header: dict[str, Any], file: Any) -> Potential:
    """Arrays in the order of Nequix's modules: atom energies, layers, readout."""
    known = PotentialConfig.model_fields.keys() - {"elements", "repulsion", "embedding"}
    config = PotentialConfig(
        elements=tuple(header["atomic_numbers"]),
        embedding=None,
        repulsion=False,
        **{name: header[name] for name in known},
    )
    blank = eqx.filter_eval_shape(Potential, config, key=jax.random.key(0))
    atom_energies = _array(file, (len(config.elements),))
    layers = [_nequix_layer(layer, file) for layer in blank.layers]
    readout = _array(file, blank.readout.shape)
    _at_end(file)
    return eqx.tree_at(
        lambda tree: (tree.atom_energies, tree.layers, tree.readout),
        blank,
        (atom_energies, layers, readout),
    )


def _nequix_layer(blank: Convolution, file: Any) -> Convolution:
    """Radial perceptron, linear maps before and after, self-connection, norm."""

    def like(blanks: list[Any]) -> list[Any]:
        return [None if leaf is None else _array(file, leaf.shape) for leaf in blanks]

    radial, before, after, skip = (
        like(part) for part in (blank.radial, blank.before, blank.after, blank.skip)
    )
    norm = None if blank.norm is None else like(blank.norm)
    return eqx.tree_at(
        lambda tree: (tree.radial, tree.before, tree.after, tree.skip, tree.norm),
        blank,
        (radial, before, after, skip, norm),
        is_leaf=lambda leaf: leaf is None,
    )


def _array(file: Any, shape: tuple[int, ...]) -> jax.Array:
    array = np.load(file, allow_pickle=False)
    if array.shape != shape:
        raise ValueError(f"an array of shape {array.shape} where {shape} was due")
    return jnp.asarray(array, jnp.float32)


def _at_end(file: Any) -> None:
    if file.read(2) not in (b"", b"\n"):  # nequix-mp-1 ends in a newline
        raise ValueError("it holds more arrays than its header names")

"""Weight files: gnomon's own model files, and Nequix checkpoints, which are read.

A Nequix checkpoint is one line of JSON and then arrays in NumPy's format, read without unpickling
anything.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gnomon.learn.model_file import BEFORE, ModelFileError, read_model_file, write_model_file
from gnomon.potential.card import PotentialCard
from gnomon.potential.config import PotentialConfig
from gnomon.potential.network import Convolution, Potential


class Weighted(NamedTuple):
    """A potential with its weights, and its card; None for those that gnomon did not train."""

    potential: Potential
    card: PotentialCard | None


def load(path: Path) -> Weighted:
    """The potential in a file.

    Raises:
        ValueError: if the file is no weight file, is cut short or does not fit its own header.
    """
    with path.open("rb") as file:
        line = file.readline(1 << 24)
        if line.startswith(b"{") and not line.startswith(BEFORE):
            return Weighted(_read_nequix(path, line, file), None)
    found = read_model_file(path)
    if found.about.get("kind") != "potential":
        raise ModelFileError(f"{path} holds a {found.about.get('kind')}, not a potential")
    potential = _blank(PotentialConfig.model_validate(found.about["config"]))
    if found.about["half"]:
        potential = jax.eval_shape(lambda tree: jax.tree.map(_halved, tree), potential)
    whole = jax.tree.map(lambda array: jnp.asarray(array, jnp.float32), found.fill(potential))
    return Weighted(whole, PotentialCard.model_validate(found.about["card"]))


def save(path: Path, made: Weighted, *, half: bool = False) -> None:
    """Write a potential that has a card; ``half`` keeps 16 bits of each weight."""
    assert made.card is not None
    about = {
        "kind": made.card.kind,
        "config": made.potential.config.model_dump(mode="json"),
        "half": half,
        "card": made.card.model_dump(mode="json"),
    }
    weights = eqx.filter(made.potential, eqx.is_array)
    write_model_file(path, about, jax.tree.map(_halved, weights) if half else weights)


def _blank(config: PotentialConfig) -> Potential:
    """Shapes in the place of weights."""
    blank: Potential = eqx.filter_eval_shape(Potential, config, key=jax.random.key(0))
    return blank


def _halved(weights: jax.Array) -> jax.Array:
    return weights.astype(jnp.float16)


def _read_nequix(path: Path, line: bytes, file: Any) -> Potential:
    """Arrays in the order of Nequix's modules: atom energies, layers, readout."""
    try:
        header = json.loads(line)
        ours = {"elements", "repulsion", "embedding", "coupled_lmax"}
        known = PotentialConfig.model_fields.keys() - ours
        config = PotentialConfig(
            elements=tuple(header["atomic_numbers"]),
            embedding=None,
            repulsion=False,
            **{name: header[name] for name in known},
        )
        blank = _blank(config)
        atom_energies = _array(file, (len(config.elements),))
        layers = [_nequix_layer(layer, file) for layer in blank.layers]
        readout = _array(file, blank.readout.shape)
        if file.read(2) not in (b"", b"\n"):  # nequix-mp-1 ends in a newline
            raise ValueError("it holds more arrays than its header names")
    except (KeyError, TypeError, ValueError, EOFError, OSError) as error:
        raise ModelFileError(
            f"{path} is not a whole weight file ({type(error).__name__}: {error}): fetch it again"
        ) from error
    return eqx.tree_at(
        lambda tree: (tree.atom_energies, tree.layers, tree.readout),
        blank,
        (atom_energies, layers, readout),
    )


def _nequix_layer(blank: Convolution, file: Any) -> Convolution:
    """Radial perceptron, linear maps before and after, self-connection, norm."""

    def parts(layer: Convolution) -> tuple[Any, ...]:
        return layer.radial, layer.before, layer.after, layer.skip, layer.norm

    found = jax.tree.map(lambda leaf: _array(file, leaf.shape), parts(blank))
    return eqx.tree_at(parts, blank, found, is_leaf=lambda leaf: leaf is None)


def _array(file: Any, shape: tuple[int, ...]) -> jax.Array:
    array = np.load(file, allow_pickle=False)
    if array.shape != shape:
        raise ValueError(f"an array of shape {array.shape} where {shape} was due")
    return jnp.asarray(array, jnp.float32)

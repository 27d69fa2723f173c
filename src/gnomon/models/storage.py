"""Trained ensembles in files: networks, target and card, whatever the kind of network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gnomon.elements import MAX_Z
from gnomon.files import write_atomically
from gnomon.models.card import ModelCard
from gnomon.models.checkpoint import CheckpointError, load_arrays, load_header, save_arrays
from gnomon.models.target import Target

Network = TypeVar("Network", bound=eqx.Module)


def save_ensemble(path: Path, networks: Any, target: Target, card: ModelCard) -> None:
    """Write networks with their target and, beside the file, its card as JSON.

    Args:
        path: file to write.
        networks: a network with a leading axis of members on every array, and its ``config``.
        target: what makes energies of its outputs.
        card: its ``kind`` is what ``load_ensemble`` will ask for.
    """
    header = {
        "kind": card.kind,
        "network": networks.config.model_dump(mode="json"),
        "members": card.members,
        "shift": target.shift,
        "scale": target.scale,
        "card": card.model_dump(mode="json"),
    }
    save_arrays(path, header, _arrays(networks, target))
    write_atomically(card_path(path), card.model_dump_json(indent=2).encode() + b"\n")


def load_ensemble(
    path: Path, kind: str, untrained: Callable[[Any, int], Network]
) -> tuple[Network, Target, ModelCard]:
    """What ``save_ensemble`` wrote.

    Args:
        path: the file.
        kind: of the models that are wanted.
        untrained: networks of settings (as JSON) and a number of members; they are not computed.

    Raises:
        FileNotFoundError: if there is none.
        CheckpointError: if the file is damaged, no model, or a model of another kind.
    """
    header = load_header(path)
    if (found := header.get("kind")) != kind:
        raise CheckpointError(
            f"{path} holds a model of kind {found!r} where a {kind} one is wanted: give a file of "
            f"`gnomon train {kind}`"
        )
    networks = eqx.filter_eval_shape(lambda: untrained(header["network"], header["members"]))
    empty = Target(np.zeros(MAX_Z + 1), np.zeros(MAX_Z + 1, bool), 0.0, 1.0)
    arrays, energies, seen = load_arrays(path, _arrays(networks, empty))
    networks = eqx.combine(jax.tree.map(jnp.asarray, arrays), networks)
    target = Target(energies, seen, header["shift"], header["scale"])
    return networks, target, ModelCard.model_validate(header["card"])


def card_path(path: Path) -> Path:
    """Where the card of a model file lies: ``model.gnomon`` → ``model.gnomon.json``."""
    return path.with_name(path.name + ".json")


def _arrays(networks: Any, target: Target) -> tuple[Any, np.ndarray, np.ndarray]:
    return eqx.filter(networks, _is_array_like), target.element_energies, target.seen


def _is_array_like(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)

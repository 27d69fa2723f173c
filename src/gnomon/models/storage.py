"""Trained ensembles in files: networks, target and card, whatever the kind of network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gnomon.elements import MAX_Z
from gnomon.learn.card import ModelCard
from gnomon.learn.checkpoint import CheckpointError, load_arrays, load_header, save_arrays
from gnomon.models.target import JoinedTarget, Target
from gnomon.run.files import write_atomically

Network = TypeVar("Network", bound=eqx.Module)


def save_ensemble(
    path: Path, networks: Any, target: Target | JoinedTarget, card: ModelCard, *, half: bool = False
) -> None:
    """Write networks with their target and, beside the file, its card as JSON.

    Args:
        path: file to write.
        networks: a network with a leading axis of members on every array, and its ``config``.
        target: what makes energies of its outputs.
        card: its ``kind`` is what ``load_ensemble`` will ask for.
        half: write weights in half precision, which halves the file.
    """
    header = {
        "kind": card.kind,
        "network": networks.config.model_dump(mode="json"),
        "members": card.members,
        **_numbers(target),
        "card": card.model_dump(mode="json"),
        "half": half,
    }
    weights, *others = _arrays(networks, target)
    stored = jax.tree.map(_halved, weights) if half else weights
    save_arrays(path, header, (stored, *others))
    write_atomically(card_path(path), card.model_dump_json(indent=2).encode() + b"\n")


def load_ensemble(
    path: Path, kind: str, untrained: Callable[[Any, int], Network]
) -> tuple[Network, Target | JoinedTarget, ModelCard]:
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
            f"`gnomon model train {kind}`"
        )
    networks = eqx.filter_eval_shape(lambda: untrained(header["network"], header["members"]))
    target = _target(header)
    weights, *others = _arrays(networks, target)
    stored = jax.tree.map(_halved, weights) if header.get("half") else weights
    arrays, *others = load_arrays(path, (stored, *others))
    arrays = jax.tree.map(lambda array, like: jnp.asarray(array, like.dtype), arrays, weights)
    networks = eqx.combine(arrays, networks)
    return networks, _target(header, *others), ModelCard.model_validate(header["card"])


def card_path(path: Path) -> Path:
    """Where the card of a model file lies: ``model.gnomon`` → ``model.gnomon.json``."""
    return path.with_name(path.name + ".json")


def _halved(leaf: Any) -> Any:
    """An array of numbers, or the shape of one, in half precision."""
    if not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.eval_shape(lambda array: array.astype(jnp.float16), leaf)
    return np.asarray(leaf, np.float16)


def _numbers(target: Target | JoinedTarget) -> dict[str, Any]:
    """What a header says of a target."""
    if isinstance(target, Target):
        return {"shift": target.shift, "scale": target.scale}
    return {"parts": [{**_numbers(part), "members": members} for part, members in target.parts]}


def _target(
    header: dict[str, Any], energies: np.ndarray | None = None, seen: np.ndarray | None = None
) -> Target | JoinedTarget:
    """The target of a header and its arrays; without these, one that has their shapes."""
    parts = header.get("parts")
    shape = (MAX_Z + 1,) if parts is None else (len(parts), MAX_Z + 1)
    energies = np.zeros(shape) if energies is None else energies
    seen = np.zeros(shape, bool) if seen is None else seen
    if parts is None:
        return Target(energies, seen, header["shift"], header["scale"])
    rows = zip(parts, energies, seen, strict=True)
    return JoinedTarget(
        tuple((Target(e, s, part["shift"], part["scale"]), part["members"]) for part, e, s in rows)
    )


def _arrays(networks: Any, target: Target | JoinedTarget) -> tuple[Any, np.ndarray, np.ndarray]:
    weights = eqx.filter(networks, _is_array_like)
    if isinstance(target, Target):
        return weights, target.element_energies, target.seen
    targets = [part for part, _ in target.parts]
    return (
        weights,
        np.stack([part.element_energies for part in targets]),
        np.stack([part.seen for part in targets]),
    )


def _is_array_like(leaf: Any) -> bool:
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)

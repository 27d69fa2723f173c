"""Join ensembles that were trained apart into one, whose members differ by more than a seed.

Members of one training begin alike or learn alike, and then also err alike: their spread says less
of the error than that of networks from different starts, optimisers or machines.
"""

from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gnomon.learn.card import sha256_of_arrays
from gnomon.learn.split import Split, SplitConfig
from gnomon.models.card import Labelled, ModelCard, Task
from gnomon.models.structural.model import StructuralModel
from gnomon.models.target import JoinedTarget, fit_elements


class JoinConfig(SplitConfig):
    """What was joined: formulas that trained any part count as trained."""

    joined: tuple[dict[str, object], ...]
    """Checksums of the weights and of the data, settings and seconds of each part."""


def join_config(models: Sequence[StructuralModel]) -> JoinConfig:
    """What a joint of these models is: what its card says, and what makes it the same.

    Raises:
        ValueError: if there are fewer than two, they differ in scheme or shape, have no card, or
            two are the same.
    """
    cards = _cards(models)
    return JoinConfig(
        train_below=max(int(card.config["train_below"]) for card in cards),
        validate_below=min(int(card.config["validate_below"]) for card in cards),
        joined=tuple(
            {
                "weights_sha256": _checksum(model),
                "data_sha256": card.data_sha256,
                "config": card.config,
                "wall_seconds": card.wall_seconds,
            }
            for model, card in zip(models, cards, strict=True)
        ),
    )


def join(models: Sequence[StructuralModel], data: Labelled) -> StructuralModel:
    """One ensemble of the members of all; its errors are measured on formulas new to all.

    Args:
        models: trained, of one energy scheme and one shape.
        data: labelled crystals that hold the formulas to measure on.

    Raises:
        ValueError: as ``join_config``, or if no formula of the data trained or none was held out
            by all.
    """
    cards, config = _cards(models), join_config(models)
    joined = joined_model(models)
    trained, held = map(np.flatnonzero, config.masks(data.reduced_formulas))
    if not len(trained) or not len(held):
        raise ValueError(
            f"{data.name} has {len(trained)} crystals of formulas that trained (hashes below "
            f"{config.train_below}) and {len(held)} that all parts held out (below "
            f"{config.validate_below}): errors need both, give the data of the trainings"
        )
    elements = fit_elements(data.fractions[trained], data.values[trained])
    predicted = joined.predict(data.crystals)
    data = replace(data, scheme=cards[0].scheme)
    task = Task(data, config, Split(trained, held), elements)
    card = task.card(StructuralModel.kind, predicted, sum(card.wall_seconds for card in cards))
    return StructuralModel(joined.networks, joined.target, card)


def joined_model(models: Sequence[StructuralModel]) -> StructuralModel:
    """All members in the order of the models, each with its own element energies and scale."""
    first, *_ = models
    arrays = jax.tree.map(lambda *parts: jnp.concatenate(parts), *map(_arrays, models))
    static = eqx.filter(first.networks, eqx.is_array, inverse=True)
    targets = [target for model in models for target in model.target.targets]
    joined = [n for model in models for n in model.target.joined or (model.members,)]
    return StructuralModel(eqx.combine(arrays, static), JoinedTarget(tuple(targets), tuple(joined)))


def _arrays(model: StructuralModel) -> object:
    return eqx.filter(model.networks, eqx.is_array)


def _checksum(model: StructuralModel) -> str:
    return sha256_of_arrays([np.asarray(leaf) for leaf in jax.tree.leaves(_arrays(model))])


def _cards(models: Sequence[StructuralModel]) -> list[ModelCard]:
    """Of models that can be joined."""
    if len(models) < 2:
        raise ValueError(f"{len(models)} model: give two or more to join")
    cards = [model.card for model in models if model.card is not None]
    if len(cards) < len(models):
        raise ValueError("a model without a card cannot be joined: its data are not known")
    for card in cards:
        if card.scheme != cards[0].scheme:
            raise ValueError(
                f"energies of {cards[0].scheme!r} and {card.scheme!r} do not mix: join ensembles "
                "of one scheme"
            )
    for model in models:
        if model.networks.config != models[0].networks.config:
            raise ValueError(
                f"networks of shapes {models[0].networks.config} and {model.networks.config} "
                "cannot be joined: train them with the same width and passes"
            )
    if len(set(map(_checksum, models))) < len(models):
        raise ValueError("two of the models are the same: members that repeat say nothing of doubt")
    return cards

"""Join ensembles that were trained apart into one, whose members differ by more than a seed.

Members of one training begin alike or learn alike, and then also err alike: their spread says less
of the error than that of networks from different starts, optimisers or machines.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from gnomon.learn.card import ModelCard
from gnomon.learn.runs import check_finished, data_columns, measure, provenance, run_key
from gnomon.learn.split import SplitConfig, formula_hashes
from gnomon.models.structural.ensemble import EnsembleEnergyModel, load_model, save_model
from gnomon.models.target import JoinedTarget, Target, fit_elements
from gnomon.models.uncertainty.reliability import Labelled


class JoinConfig(SplitConfig):
    """What was joined: formulas that trained any part count as trained."""

    joined: tuple[dict[str, object], ...]
    """Checksums of the weights and of the data, settings and seconds of each part."""


def join(models: Sequence[EnsembleEnergyModel], data: Labelled, *, out: Path) -> ModelCard:
    """Write one ensemble of the members of all; its errors are measured on formulas new to all.

    Args:
        models: trained, of one energy scheme and one shape.
        data: labelled crystals that hold the formulas to measure on.
        out: file to write; one of the same parts and data is left as it is.

    Raises:
        ValueError: if there are fewer than two, they differ in scheme or shape, have no card, two
            are the same, no formula of the data trained or none was held out by all, or ``out``
            holds another model.
    """
    cards = _cards(models)
    config = JoinConfig(
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
    key = run_key((*data_columns(data.crystals), data.energies), config, cards[0].scheme)
    if out.exists():
        return check_finished(out, load_model(out).card, key)
    joined = joined_model(models)
    hashes = formula_hashes(data.crystals.reduced_formulas)
    trained = hashes < config.train_below
    held = np.flatnonzero(~trained & (hashes < config.validate_below))
    if not trained.any() or not len(held):
        raise ValueError(
            f"{data.name} has {int(trained.sum())} crystals of formulas that trained (hashes below "
            f"{config.train_below}) and {len(held)} that all parts held out (below "
            f"{config.validate_below}): errors need both, give the data of the trainings"
        )
    predicted = joined.predict(data.crystals)
    fractions = data.crystals.composition / data.crystals.n_atoms[:, None]
    elements = fit_elements(fractions[trained], data.energies[trained])
    card = ModelCard(
        kind="structural",
        data=data.name,
        rows=len(data.energies),
        train_rows=int(trained.sum()),
        split=cards[0].split,
        seed=cards[0].seed,
        members=sum(card.members for card in cards),
        train_mae=float(np.nanmean(np.abs(predicted.median - data.energies)[trained])),
        validation=measure(
            predicted, elements.of_fractions(fractions), data.energies, held, elements.shift
        ),
        **provenance(key, seconds=sum(card.wall_seconds for card in cards)),
    )
    save_model(out, EnsembleEnergyModel(joined.networks, joined.target, card))
    return card


def joined_model(models: Sequence[EnsembleEnergyModel]) -> EnsembleEnergyModel:
    """All members in the order of the models, each with its own element energies and scale."""
    first, *_ = models
    arrays = jax.tree.map(lambda *parts: jnp.concatenate(parts), *map(_arrays, models))
    static = eqx.filter(first.networks, eqx.is_array, inverse=True)
    parts = [part for model in models for part in _targets(model)]
    return EnsembleEnergyModel(eqx.combine(arrays, static), JoinedTarget(tuple(parts)))


def _targets(model: EnsembleEnergyModel) -> tuple[tuple[Target, int], ...]:
    if isinstance(model.target, Target):
        return ((model.target, int(model.networks.elements.shape[0])),)
    return model.target.parts


def _arrays(model: EnsembleEnergyModel) -> object:
    return eqx.filter(model.networks, eqx.is_array)


def _checksum(model: EnsembleEnergyModel) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(_arrays(model)):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _cards(models: Sequence[EnsembleEnergyModel]) -> list[ModelCard]:
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

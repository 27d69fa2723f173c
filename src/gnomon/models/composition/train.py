"""Training of the composition ensemble on the lowest energy of each formula."""

from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64
from pydantic import Field, model_validator

from gnomon.learn.fit import QUIET, Session, fit_members
from gnomon.learn.optimize import OptimizerConfig
from gnomon.learn.split import SplitConfig
from gnomon.models.card import LabelledFormulas, Task, check_values
from gnomon.models.composition.model import (
    CompositionModel,
    FormulaPropertyModel,
    initial_networks,
)
from gnomon.models.composition.network import Composition, CompositionConfig, laplace_loss
from gnomon.represent.formulas import batches, read_formulas


class CompositionTrainConfig(SplitConfig):
    """How a composition ensemble is trained.

    In trainings of seven epochs on 71,230 formulas, one member each, Muon came to 97 meV/atom on
    4,000 held-out ones, AdamW to 108 (at 5e-3) and 112 (at 2e-3) in some half of its time, an L1
    loss beside the Laplace one to 111, a single head to 119.
    """

    network: CompositionConfig = CompositionConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        epochs=12, batch=256, method="muon", learning_rate=5e-3
    )
    members: int = Field(default=4, ge=1, description="networks, each from its own seed")
    seed: int = Field(
        default=0, ge=0, description="of the initial networks and the order of the rows"
    )

    @model_validator(mode="after")
    def _loss_is_possible(self) -> "CompositionTrainConfig":
        if self.optimizer.loss != "l1":
            raise ValueError(
                f"loss {self.optimizer.loss!r}: composition networks learn the scale of their "
                "error with a Laplace density, which is 'l1'"
            )
        return self


def lowest_energies(
    texts: Sequence[str],
    formation_energy_per_atom: Float64[np.ndarray, " rows"],
    name: str = "",
    scheme: str = "as given",
) -> LabelledFormulas:
    """The lowest energy of each formula, whatever the order of the rows and the way they are put.

    Raises:
        ValueError: if a text is no formula, an energy not finite, or their numbers differ.
    """
    energies = np.asarray(formation_energy_per_atom, np.float64)
    check_values(energies, len(texts))
    formulas, reasons = read_formulas(texts)
    for i in np.flatnonzero(reasons != "")[:1]:
        raise ValueError(f"row {i}: {reasons[i]}: leave it out, or write it as a formula")
    order = np.lexsort((energies, formulas.reduced_formulas.astype(str)))
    _, first = np.unique(formulas.reduced_formulas[order].astype(str), return_index=True)
    return LabelledFormulas(formulas.take(order[first]), energies[order[first]], name, scheme)


def train_composition(
    data: LabelledFormulas,
    config: CompositionTrainConfig,
    session: Session = QUIET,
    *,
    start: CompositionModel | None = None,
) -> CompositionModel:
    """Train an ensemble; the model that comes out has a card.

    What the session is told of a loss of L nats is scale x exp(L - 1), the typical error that has
    it.

    Args:
        data: formulas with their lowest energies.
        config: settings.
        session: where unfinished work is kept, and who hears of it.
        start: a trained ensemble whose bodies go on with new readouts: the data is then a property
            of formulas, in any unit, and its scheme the name of property and unit (the transfer of
            ``gnomon.models.transfer``, for formulas).

    Raises:
        ValueError: if too few rows train, the ensemble to go on with is of other settings, or the
            unfinished work is that of another training.
    """
    task = Task.of(data, config)
    begin = initial_networks(config.network, config.members, config.seed)
    if start is not None:
        if (start.networks.config, start.members) != (config.network, config.members):
            raise ValueError("the ensemble to go on with has other settings or members")
        begin = eqx.tree_at(lambda n: n.readout, start.networks, begin.readout)
    made = CompositionModel if start is None else FormulaPropertyModel
    target, train, labels = task.target, task.split.train, task.labels
    size = config.optimizer.batch

    def epoch(number: int) -> Iterator[tuple[float, Any, tuple[()]]]:
        rng = np.random.default_rng([config.seed, number])
        parts = list(batches(data.formulas, rng.permutation(train), size))
        done = 0
        for i in rng.permutation(len(parts)):
            rows, batch = parts[i]
            wanted = np.zeros(size, np.float32)
            wanted[: len(rows)] = labels[rows]
            done += len(rows)
            yield done / len(train), (batch.atomic_numbers, batch.fractions, wanted), ()

    networks, fitted = fit_members(
        begin,
        _loss,
        epoch,
        config.optimizer,
        lambda loss: f"typical error {target.scale * np.exp(loss - 1):.4f} ({data.scheme})",
        task.key,
        session,
    )
    predicted = made(networks, target).predict_formulas(
        data.formulas, np.full(len(data.formulas), "", dtype=object)
    )
    card = task.card(made.kind, predicted, fitted.place.seconds)
    return made(networks, target, card)


def _loss(
    network: Composition, batch: tuple[Array, Array, Array], config: OptimizerConfig
) -> Float[Array, ""]:
    """Mean Laplace loss over the rows of a batch that are none of its padding."""
    atomic_numbers, fractions, target = batch
    real: Bool[Array, " B"] = fractions[:, 0] > 0
    each = laplace_loss(*network(atomic_numbers, fractions), target)
    return jnp.sum(jnp.where(real, each, 0)) / jnp.sum(real)

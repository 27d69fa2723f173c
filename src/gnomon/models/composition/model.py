"""The trained composition ensemble: formulas in, formation energies and two uncertainties out."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Shaped, UInt8

from gnomon.crystals import Crystals
from gnomon.io.objects import as_crystals
from gnomon.learn.optimize import each_member
from gnomon.models import Predictions
from gnomon.models.composition.network import Composition, CompositionConfig
from gnomon.models.ensemble import Ensemble
from gnomon.models.target import UNSEEN, lacking
from gnomon.represent.formulas import Formulas, batches, read_formulas

BATCH = 512
"""Formulas in a batch of a prediction."""


@dataclass(frozen=True, eq=False)
class CompositionPredictions(Predictions):
    """Predictions whose members also say how far off they expect to be.

    Attributes:
        scales: standard deviation that each member expects of its error, eV/atom; NaN where there
            is no prediction.
    """

    scales: Float64[np.ndarray, "m n"]

    @cached_property
    def aleatoric(self) -> Float64[np.ndarray, " n"]:
        """What no formula can tell: root mean square of the members' own scales, eV/atom."""
        return np.sqrt(np.mean(self.scales**2, axis=0))

    @cached_property
    def combined(self) -> Float64[np.ndarray, " n"]:
        """Standard deviation of the mixture of the members' predictions, eV/atom.

        sqrt(mean of squared scales + variance over members).
        """
        return np.sqrt(self.aleatoric**2 + np.var(self.members, axis=0))


class CompositionModel(Ensemble[Composition]):
    """The trained composition networks of one energy scheme.

    They see formulas alone: polymorphs get the same energy, that of the lowest.
    """

    kind = "composition"

    @staticmethod
    def untrained(config: Any, members: int) -> Composition:
        """Networks with random weights."""
        return initial_networks(CompositionConfig.model_validate(config), members, 0)

    def predict(self, crystals: Any) -> CompositionPredictions:
        """Lowest formation energy per atom (eV/atom) of the formula of each crystal, in order.

        NaN with a reason for one with an element that the training data lacks.

        Args:
            crystals: whatever ``gnomon.io.as_crystals`` takes.
        """
        return self.predict_texts(as_crystals(crystals).reduced_formulas.tolist())

    def predict_texts(self, formulas: Iterable[str]) -> CompositionPredictions:
        """The same of formulas; also NaN with a reason for a text that is none."""
        return self.predict_formulas(*read_formulas(formulas))

    def predict_formulas(
        self, formulas: Formulas, reasons: Shaped[np.ndarray, " n"]
    ) -> CompositionPredictions:
        """Predictions for formulas in columns; rows with a reason are not looked at."""
        unseen = lacking(formulas.by_element > 0, self.target.seen, UNSEEN)
        reasons = np.where(reasons == "", unseen, reasons)
        energies, log_scales = np.full((2, self.members, len(formulas)), np.nan)
        for rows, batch in batches(formulas, np.flatnonzero(reasons == ""), BATCH):
            inputs = jnp.asarray(batch.atomic_numbers), jnp.asarray(batch.fractions)
            found = apply(self.networks, *inputs)
            energies[:, rows], log_scales[:, rows] = np.asarray(found)[:, :, : len(rows)]
        target = self.target.shared()
        return CompositionPredictions(
            target.of_fractions(formulas.by_element) + target.scale * energies,
            reasons,
            np.sqrt(2) * target.scale * np.exp(log_scales),
        )

    def embed(self, crystals: Crystals) -> Float32[np.ndarray, "n features"]:
        """What the readouts of all members see of the formula of each crystal; NaN where there is
        no prediction."""
        return self.embed_formulas(*read_formulas(crystals.reduced_formulas.tolist()))

    def embed_formulas(
        self, formulas: Formulas, reasons: Shaped[np.ndarray, " n"]
    ) -> Float32[np.ndarray, "n features"]:
        """The same of formulas in columns."""
        unseen = lacking(formulas.by_element > 0, self.target.seen, UNSEEN)
        rows = np.flatnonzero((reasons == "") & (unseen == ""))
        width = (self.networks.config.width, *self.networks.config.readout)[-1]
        seen = np.full((len(formulas), self.members, width), np.nan, np.float32)
        for taken, batch in batches(formulas, rows, BATCH):
            inputs = jnp.asarray(batch.atomic_numbers), jnp.asarray(batch.fractions)
            found = np.asarray(embeddings(self.networks, *inputs))
            seen[taken] = found[:, : len(taken)].swapaxes(0, 1)
        return seen.reshape(len(formulas), -1)


class FormulaPropertyModel(CompositionModel):
    """Trained composition networks of another property: values in its unit, energies of none."""

    kind = "formula-property"


@eqx.filter_jit
def apply(
    networks: Composition, atomic_numbers: UInt8[Array, "B k"], fractions: Float[Array, "B k"]
) -> tuple[Float[Array, "m B"], Float[Array, "m B"]]:
    """Every member on one batch."""
    arrays, rest = eqx.partition(networks, eqx.is_array)
    return each_member(lambda one: eqx.combine(one, rest)(atomic_numbers, fractions), arrays)


@eqx.filter_jit
def embeddings(
    networks: Composition, atomic_numbers: UInt8[Array, "B k"], fractions: Float[Array, "B k"]
) -> Float[Array, "m B features"]:
    """What the readout of every member sees of one batch."""
    arrays, rest = eqx.partition(networks, eqx.is_array)
    seen: Array = each_member(
        lambda one: eqx.combine(one, rest).embed(atomic_numbers, fractions), arrays
    )
    return seen


def initial_networks(config: CompositionConfig, members: int, seed: int) -> Composition:
    """Untrained networks, each from its own key."""
    keys = jax.random.split(jax.random.key(seed), members)
    return eqx.filter_vmap(lambda key: Composition(config, key=key))(keys)

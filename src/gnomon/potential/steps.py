"""Steps of training a potential: the loss on energy, forces and stress, and what it changes."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from pydantic import BaseModel, ConfigDict, Field

from gnomon.learn.optimize import OptimizerConfig, State, advance
from gnomon.potential.batch import AtomBatch
from gnomon.potential.loader import Targets
from gnomon.potential.network import Potential, energy_forces_stress


class LossConfig(BaseModel):
    """Huber losses of energy, forces and stress, divided by their deltas: of slope 1 far out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    energy: float = Field(default=1.0, ge=0, description="weight, of eV/atom")
    forces: float = Field(default=0.15, ge=0, description="weight, of eV/Å")
    stress: float = Field(default=2.0, ge=0, description="weight, of eV/Å3")
    delta: float = Field(
        default=0.01, gt=0, description="where the loss turns straight, eV/atom and eV/Å"
    )
    stress_delta: float = Field(default=0.001, gt=0, description="the same of the stress, eV/Å3")


class Losses(NamedTuple):
    """The loss and its parts: eV/atom, eV/Å, eV/Å3, less than half a delta below the errors."""

    total: Float[Array, ""]
    energy: Float[Array, ""]
    forces: Float[Array, ""]
    stress: Float[Array, ""]


@eqx.filter_jit
def step(
    state: State,
    static: Potential,
    batch: AtomBatch,
    targets: Targets,
    rate: Float[Array, ""],
    config: OptimizerConfig,
    loss: LossConfig,
) -> tuple[State, Losses]:
    """One step at this learning rate."""

    def total(params: Potential) -> tuple[Float[Array, ""], Losses]:
        found = losses(eqx.combine(params, static), batch, targets, loss)
        return found.total, found

    return advance(state, rate, config, total)


def losses(potential: Potential, batch: AtomBatch, targets: Targets, config: LossConfig) -> Losses:
    """The loss of a batch; what has no label counts nothing.

    Forces count by the length of the difference, which no rotation changes.
    """
    energy, forces, stress = energy_forces_stress(potential, batch)
    wanted, n_atoms, pulls, strains = (jnp.asarray(label) for label in targets)
    # the root of NaN has a gradient of NaN, masked or not: compare the forces with themselves
    off = forces - jnp.where(jnp.isfinite(pulls), pulls, forces)
    parts = (
        _mean((energy - wanted) / n_atoms, wanted, config.delta),
        _mean(jnp.sqrt((off**2).sum(axis=-1) + 1e-12), pulls[:, 0], config.delta),
        _mean(stress - strains, strains, config.stress_delta),
    )
    weights = (config.energy, config.forces, config.stress)
    total = sum((w * part for w, part in zip(weights, parts, strict=True)), jnp.zeros(()))
    return Losses(total, *parts)


def _mean(error: Array, target: Array, delta: float) -> Float[Array, ""]:
    """Mean Huber loss over what has a target."""
    labelled = jnp.isfinite(target)
    each = optax.huber_loss(jnp.where(labelled, error, 0), delta=delta) / delta
    return each.sum() / jnp.maximum(labelled.sum(), 1)

"""Mobility of each particle by the message passing of the structural network.

As Bapst et al., Nat. Phys. 16, 448 (2020): particles are nodes that know their kind, neighbours are
edges, a few passes, one readout of each node.  Unlike theirs the edges know distances alone, so
that turning a system changes nothing and need not be learned; they reach 1.5 sigma, the first
shell, not 2, so that a step costs half; one network learns all ten times together; and the passes
are ``gnomon.models.structural.network.Block`` without its global node, which would see the whole
system.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from systems import LEVELS, System, crystals

from gnomon.elements import MAX_Z
from gnomon.learn.fit import Session, fit
from gnomon.learn.optimize import OptimizerConfig, State, advance, initial_state
from gnomon.models.structural.network import Block, StructuralConfig, expand
from gnomon.represent.graphs import GraphBatch, batch_size, build_graphs, pack

UNIT = 6.0
"""Å to a sigma: Gaussians of 0.5 Å then tell distances of a twelfth of a sigma apart."""

REACH = 1.5
"""Sigma; of an edge."""

COORDINATION = 15.0
"""Neighbours of a particle, about: messages are divided by it."""


def shape(passes: int) -> StructuralConfig:
    """Of a network that sees ``passes`` times ``REACH`` far."""
    return StructuralConfig(width=32, passes=passes, gaussians=32, cutoff=REACH * UNIT)


class Mobility(eqx.Module):
    """Graphs to a number a level for each node."""

    elements: Float[Array, "119 width"]
    distance: eqx.nn.Linear
    blocks: list[Block]
    readout: eqx.nn.MLP
    config: StructuralConfig = eqx.field(static=True)

    def __init__(self, config: StructuralConfig, *, key: PRNGKeyArray) -> None:
        """Random weights."""
        keys = jax.random.split(key, 3 + config.passes)
        self.elements = jax.random.normal(keys[0], (MAX_Z + 1, config.width))
        self.distance = eqx.nn.Linear(config.gaussians, config.width, key=keys[1])
        self.blocks = [Block(config, key=k) for k in keys[3:]]
        self.readout = eqx.nn.MLP(
            config.width, len(LEVELS), config.width, 1, jax.nn.swish, key=keys[2]
        )
        self.config = config

    def __call__(self, batch: GraphBatch) -> Float[Array, "N levels"]:
        """Scaled mobilities; the global node of a block stays zero."""
        basis, fade = expand(batch.distances, self.config)
        nodes, edges = self.elements[batch.atomic_numbers], jax.vmap(self.distance)(basis)
        nothing = jnp.zeros((len(batch.real), self.config.width))
        for block in self.blocks:
            nodes, _ = block(nodes, edges, nothing, batch, fade / COORDINATION)
        return jax.vmap(self.readout)(nodes)


def graphs(systems: Sequence[System]) -> Iterator[GraphBatch]:
    """A padded graph for each system, all of the same shape."""
    built = build_graphs(crystals(systems, UNIT), REACH * UNIT, merge=0.0)
    for _, batch in pack(built, np.arange(len(systems)), batch_size(built, 1)):
        yield jax.tree.map(jnp.asarray, batch)


def _loss(
    network: Mobility,
    batch: GraphBatch,
    wanted: Float[Array, "N levels"],
    weight: Float[Array, " N"],
) -> Float[Array, ""]:
    """Mean square of what is counted."""
    square = jnp.mean((network(batch) - wanted) ** 2, axis=1)
    return jnp.sum(weight * square) / jnp.sum(weight)


@eqx.filter_jit
def _step(state: State, static: Any, batch: Any, rate: Any, config: OptimizerConfig) -> Any:
    def told(params: Any) -> tuple[Any, Any]:
        loss = _loss(eqx.combine(params, static), *batch)
        return loss, loss

    return advance(state, rate, config, told)


class Trained(eqx.Module):
    """A network with the scale of its answers."""

    network: Mobility
    mean: np.ndarray
    spread: np.ndarray

    def __call__(self, systems: Sequence[System]) -> list[np.ndarray]:
        """(levels, n) for each system."""
        run = eqx.filter_jit(self.network)
        return [
            (np.asarray(run(g))[: s.liquid.places.shape[1]] * self.spread + self.mean).T
            for g, s in zip(graphs(systems), systems, strict=True)
        ]


def train(
    systems: Sequence[System],
    counted: Sequence[np.ndarray],
    passes: int,
    config: OptimizerConfig,
    partial_file: Path | None = None,
    seed: int = 0,
) -> Trained:
    """A network trained on the particles that are counted, one system a step.

    Args:
        systems: with their mobilities.
        counted: (n,) bool for each system.
        passes: rounds of message passing.
        config: how it is optimised.
        partial_file: keeps unfinished work.
        seed: of the first weights and the order.
    """
    known = np.concatenate([s.mobility[:, c].T for s, c in zip(systems, counted, strict=True)])
    mean, spread = known.mean(axis=0), known.std(axis=0)
    rows = []
    for batch, system, mask in zip(graphs(systems), systems, counted, strict=True):
        wanted = np.zeros((len(batch.shares), len(LEVELS)), np.float32)
        weight = np.zeros(len(batch.shares), np.float32)
        wanted[: len(mask)] = (system.mobility.T - mean) / spread
        weight[: len(mask)] = mask
        rows.append((batch, jnp.asarray(wanted), jnp.asarray(weight)))

    def batches(epoch: int, skip: int) -> Iterator[tuple[float, Any]]:
        order = np.random.default_rng([seed, epoch]).permutation(len(rows))
        for k in range(skip, len(rows)):
            yield (k + 1) / len(rows), rows[order[k]]

    network = Mobility(shape(passes), key=jax.random.key(seed))
    state, static = initial_state(network, config, members=False)
    run = {"passes": passes, "seed": seed, "config": config.model_dump(), "rows": len(known)}
    fitted = fit(
        lambda state, batch, rate: _step(state, static, batch, rate, config),
        batches,
        state,
        config,
        Session(partial=partial_file),
        run=run,
    )
    return Trained(eqx.combine(fitted.state.average, static), mean, spread)

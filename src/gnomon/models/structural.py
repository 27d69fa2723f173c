"""The structural network: a graph network on interatomic distances, after GNoME.

Battaglia et al. (arXiv:1806.01261) blocks as in Merchant et al., Nature 624, 80 (2023), Methods:
one-hot elements, distances in 30 Gaussians, a global node, swish, sent and received edges summed
apart and divided by the data's mean coordination, three passes, the last one read out.

Own choices, measured on Materials Project crystals on two CPU cores: updates are added to what was
there (residual), nodes are normalised, messages fade to zero at the cutoff, which makes the energy
continuous, and equal atoms are computed once (``gnomon.graphs``).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import BaseModel, ConfigDict, Field

from gnomon.elements import MAX_Z
from gnomon.graphs import CUTOFF, GraphBatch


class StructuralConfig(BaseModel):
    """Shape of the structural network.  Defaults are what trains best on two CPU cores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=64, ge=1, description="numbers that describe a node, an edge, the crystal")
    passes: int = Field(default=3, ge=1, description="rounds of message passing")
    gaussians: int = Field(default=30, ge=2, description="Gaussians that a distance is written in")
    cutoff: float = Field(CUTOFF, gt=0, description="reach of an edge, Å")
    max_neighbors: int | None = Field(default=None, ge=1, description="nearest neighbours kept, and ties")
    edge_state: bool = True
    sent: bool = True
    gate: bool = False
    norm: bool = True
    smooth: bool = True


class Block(eqx.Module):
    """One round: edges from their ends, nodes from their edges, the global node from all."""

    edge: eqx.nn.Linear
    sender: eqx.nn.Linear
    receiver: eqx.nn.Linear
    whole: eqx.nn.Linear
    edge_out: eqx.nn.Linear | None
    node: eqx.nn.MLP
    update: eqx.nn.MLP
    norm: eqx.nn.LayerNorm | None
    config: StructuralConfig = eqx.field(static=True)

    def __init__(self, config: StructuralConfig, key: PRNGKeyArray):
        f = config.width
        keys = jax.random.split(key, 7)
        self.config = config
        g = 2 * f if config.gate else f
        self.edge = eqx.nn.Linear(f, g, key=keys[0])
        self.sender = eqx.nn.Linear(f, g, use_bias=False, key=keys[1])
        self.receiver = eqx.nn.Linear(f, g, use_bias=False, key=keys[2])
        self.whole = eqx.nn.Linear(f, g, use_bias=False, key=keys[3])
        self.edge_out = eqx.nn.Linear(f, f, key=keys[4]) if config.edge_state else None
        k = 4 if config.sent else 3
        self.node = eqx.nn.MLP(k * f, f, f, 1, jax.nn.swish, key=keys[5])
        self.update = eqx.nn.MLP(2 * f, f, f, 1, jax.nn.swish, key=keys[6])
        self.norm = eqx.nn.LayerNorm(f) if config.norm else None

    def __call__(self, nodes, edges, whole, batch: GraphBatch, fade):
        x = nodes if self.norm is None else jax.vmap(self.norm)(nodes)
        n, b = len(batch.shares), len(batch.real)
        at_receiver = x @ self.receiver.weight.T + (whole @ self.whole.weight.T)[batch.crystal]
        h = (
            jax.vmap(self.edge)(edges)
            + (x @ self.sender.weight.T)[batch.senders]
            + at_receiver[batch.receivers]
        )
        if self.config.gate:
            a, c = jnp.split(h, 2, -1)
            h = jax.nn.sigmoid(a) * jax.nn.swish(c)
        else:
            h = jax.nn.swish(h)
        if self.edge_out is not None:
            edges = edges + jax.vmap(self.edge_out)(h)
            h = edges
        parts = [x, jax.ops.segment_sum(h * (batch.received * fade)[:, None], batch.receivers, n)]
        if self.config.sent:
            parts.append(jax.ops.segment_sum(h * (batch.sent * fade)[:, None], batch.senders, n))
        parts.append(whole[batch.crystal])
        nodes = nodes + jax.vmap(self.node)(jnp.concatenate(parts, -1))
        mean = jax.ops.segment_sum(nodes * batch.shares[:, None], batch.crystal, b)
        whole = whole + jax.vmap(self.update)(jnp.concatenate([mean, whole], -1))
        return nodes, edges, whole


class Structural(eqx.Module):
    """Graphs → one number a crystal: the shifted and scaled formation energy per atom."""

    elements: Float[Array, "119 width"]
    distance: eqx.nn.Linear
    blocks: list[Block]
    readout: eqx.nn.MLP
    coordination: Float[Array, ""]
    config: StructuralConfig = eqx.field(static=True)

    def __init__(self, config: StructuralConfig, coordination: float, key: PRNGKeyArray):
        f = config.width
        keys = jax.random.split(key, 3 + config.passes)
        self.config = config
        self.coordination = jnp.asarray(coordination, jnp.float32)
        self.elements = jax.random.normal(keys[0], (MAX_Z + 1, f))
        self.distance = eqx.nn.Linear(config.gaussians, f, key=keys[1])
        self.blocks = [Block(config, k) for k in keys[3:]]
        self.readout = eqx.nn.MLP(2 * f, "scalar", f, 1, jax.nn.swish, key=keys[2])

    def __call__(self, batch: GraphBatch) -> Float[Array, " B"]:
        c = self.config
        centers = jnp.linspace(0.05, c.cutoff, c.gaussians)
        basis = jnp.exp(-(((batch.distances[:, None] - centers) / 0.5) ** 2))
        fade = (
            0.5 * (jnp.cos(jnp.pi * jnp.minimum(batch.distances / c.cutoff, 1.0)) + 1)
            if c.smooth
            else jnp.ones_like(batch.distances)
        ) / jax.lax.stop_gradient(self.coordination)
        nodes = self.elements[batch.atomic_numbers]
        edges = jax.vmap(self.distance)(basis)
        b = len(batch.real)
        whole = jnp.zeros((b, c.width))
        for block in self.blocks:
            nodes, edges, whole = block(nodes, edges, whole, batch, fade)
        mean = jax.ops.segment_sum(nodes * batch.shares[:, None], batch.crystal, b)
        return jax.vmap(self.readout)(jnp.concatenate([mean, whole], -1))

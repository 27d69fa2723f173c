"""Irreps in the network: which flow, which products give them, and their gates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gnomon.potential.config import PotentialConfig

Features = list[Float[Array, "atoms _component _channel"]]
"""One array an irrep."""


class Product(NamedTuple):
    """One product of features and harmonics: ``features[source]`` and a degree give irrep
    ``target``; its channels are ``weights`` of the edge's weights."""

    source: int
    degree: int
    target: int
    coefficients: np.ndarray
    weights: slice


def hidden_irreps(config: PotentialConfig) -> tuple[list[e3nn.Irreps], list[e3nn.Irreps]]:
    """Irreps that go into and come out of each layer.

    Those that no product of features and harmonics gives yet are left out: of scalars alone come no
    pseudo-vectors, say, so that they begin with the second layer.

    Raises:
        ValueError: for irreps that do not parse, lack scalars, or hold pseudo-scalars.
    """
    hidden = e3nn.Irreps(config.hidden_irreps).regroup()
    if hidden.count("0e") == 0 or hidden.count("0o"):
        raise ValueError(
            f"hidden_irreps {config.hidden_irreps!r}: give some 0e and no 0o, as in '64x0e + 32x1o'"
        )
    inputs, outputs = [e3nn.Irreps([(config.embedding or len(config.elements), "0e")])], []
    for _ in range(config.n_layers - 1):
        products = {product for *_, product in _allowed(inputs[-1], config)}
        outputs.append(e3nn.Irreps([(mul, ir) for mul, ir in hidden if ir in products]))
        inputs.append(outputs[-1])
    return inputs, [*outputs, hidden.filter("0e")]


def with_gates(irreps: e3nn.Irreps) -> e3nn.Irreps:
    """The irreps and one more scalar for each of their channels that is no scalar."""
    gates = irreps.num_irreps - irreps.count("0e")
    return (irreps + e3nn.Irreps([(gates, "0e")])).regroup() if gates else irreps


def gate(features: Features, irreps: e3nn.Irreps) -> Features:
    """Scalars through SiLU, all others times the SiLU of a scalar of their own."""
    scalars = features[0][:, 0]
    count = irreps.count("0e")
    kept = [silu(scalars[:, None, :count])]
    for x in features[1:]:
        gates = silu(scalars[:, None, count : count + x.shape[-1]])
        kept.append(x * gates)
        count += x.shape[-1]
    return kept


def silu(x: Array) -> Array:
    """SiLU, scaled to keep the variance of a normal distribution (as e3nn scales it)."""
    return jax.nn.silu(x) * _silu_scale()


@lru_cache(maxsize=1)
def _silu_scale() -> float:
    with jax.ensure_compile_time_eval():
        one = jnp.ones(())
        return float(e3nn.normalize_function(jax.nn.silu)(one) / jax.nn.silu(one))


@lru_cache(maxsize=256)
def product_paths(
    input_irreps: e3nn.Irreps, output_irreps: e3nn.Irreps, config: PotentialConfig
) -> tuple[Product, ...]:
    """Products of features and harmonics that give an output irrep, sorted by that irrep."""
    gated = with_gates(output_irreps)
    found = [
        (place(gated, out), i, degree, out)
        for i, degree, out in _allowed(input_irreps, config)
        if out in gated
    ]
    found.sort(key=lambda path: path[0])
    paths, start = [], 0
    for target, i, degree, out in found:
        mul, ir = input_irreps[i]
        with jax.ensure_compile_time_eval():
            coefficients = np.asarray(e3nn.clebsch_gordan(ir.l, degree, out.l)) * math.sqrt(out.dim)
        paths.append(Product(i, degree, target, coefficients, slice(start, start + mul)))
        start += mul
    return tuple(paths)


def _allowed(
    input_irreps: e3nn.Irreps, config: PotentialConfig
) -> Iterator[tuple[int, int, e3nn.Irrep]]:
    """Place of the features, degree of the harmonics, and irrep of each product that is made.

    Degrees beyond ``coupled_lmax`` are dear, so they meet scalars only: the first layer, where all
    features are scalars, makes them of the harmonics, later ones keep them and contract them.
    """
    first = all(ir.l == 0 for _, ir in input_irreps)
    for i, (_, ir) in enumerate(input_irreps):
        for degree, (_, harmonic) in enumerate(e3nn.s2_irreps(config.lmax)):
            for out in ir * harmonic:
                degrees = (ir.l, degree, out.l)
                coupled = config.coupled_lmax is None or max(degrees) <= config.coupled_lmax
                if coupled or (min(degrees) == 0 and (ir.l > 0 or first)):
                    yield i, degree, out


def same(irreps: e3nn.Irreps, ir: e3nn.Irrep) -> e3nn.MulIrrep | None:
    """This irrep and its multiplicity, if it is among them."""
    return irreps[place(irreps, ir)] if ir in irreps else None


def place(irreps: e3nn.Irreps, ir: e3nn.Irrep) -> int:
    """Where this irrep stands among them."""
    return [other for _, other in irreps].index(ir)


def channels(paths: tuple[Product, ...], input_irreps: e3nn.Irreps, target: int) -> int:
    """Of all products that give this output irrep."""
    return sum(input_irreps[path.source].mul for path in paths if path.target == target)

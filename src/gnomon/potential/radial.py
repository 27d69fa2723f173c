"""Distances to neighbours, and functions of them that end smoothly."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gnomon.potential.config import PotentialConfig

MIN_DISTANCE = 1e-3
"""Å; atoms closer than this count as this far, so that no energy is undefined."""


def envelope(x: Float[Array, "*n"], p: float | int) -> Float[Array, "*n"]:
    """1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2) below x = 1, and 0 from there.

    It and its first two derivatives vanish at 1 (Gasteiger et al., arXiv:2003.03123, equation 8).
    """
    fall = (
        1
        - (p + 1) * (p + 2) / 2 * x**p
        + p * (p + 2) * x ** (p + 1)
        - p * (p + 1) / 2 * x ** (p + 2)
    )
    return jnp.where(x < 1, fall, 0.0)


def radial_basis(
    distances: Float[Array, "rows width"], config: PotentialConfig
) -> Float[Array, "rows width basis"]:
    """Bessel functions sqrt-free, 2/c sin(n pi r / c) / r, under a polynomial envelope.

    Gasteiger et al., arXiv:2003.03123, equation 7.
    """
    c, p = config.cutoff, config.radial_polynomial_p
    x = distances / c
    frequencies = jnp.arange(1, config.radial_basis_size + 1, dtype=distances.dtype) * jnp.pi
    waves = (2 / c) * jnp.sin(x[..., None] * frequencies) / distances[..., None]
    return waves * envelope(x, p)[..., None]


def lengths(
    vectors: Float[Array, "rows width 3"], mask: Array, cutoff: float
) -> tuple[Float[Array, "rows width"], Float[Array, "rows width 3"]]:
    """Distances and directions; empty places are as far as the cutoff, where nothing is felt."""
    away = jnp.array([0.0, 0.0, cutoff], vectors.dtype)
    safe = jnp.where(mask[..., None], vectors, away)
    distances = jnp.sqrt(jnp.maximum((safe**2).sum(axis=-1), MIN_DISTANCE**2))
    return distances, safe / distances[..., None]

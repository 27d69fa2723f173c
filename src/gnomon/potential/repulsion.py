"""Screened nuclear repulsion: what keeps atoms apart where no training data reaches."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from gnomon.elements import COVALENT_RADII
from gnomon.potential.batch import AtomBatch
from gnomon.potential.radial import envelope

COULOMB = 14.399645
"""e2 / (4 pi epsilon_0), eV Å (CODATA 2018)."""

BOHR = 0.52917721
"""Å."""

SHARES = (0.1818, 0.5099, 0.2802, 0.02817)
DECAYS = (3.2, 0.9423, 0.4029, 0.2016)

ENVELOPE = 6
"""Power of the polynomial that ends the repulsion at the sum of the covalent radii, or at the
cutoff of the potential where that is less."""


def screened_repulsion(
    batch: AtomBatch, distances: Float[Array, "rows width"], cutoff: float
) -> Float[Array, " atoms"]:
    """Half of the pair energies of each atom, eV.

    The universal potential of Ziegler, Biersack and Littmark (The Stopping and Range of Ions in
    Solids (1985)), brought to zero with two derivatives at the sum of the covalent radii, as the
    repulsion of MACE is (Batatia et al., arXiv:2401.00096), and never beyond the cutoff (Å).
    """
    numbers = jnp.asarray(batch.atomic_numbers)
    z = numbers.astype(distances.dtype)
    radii = jnp.asarray(COVALENT_RADII, distances.dtype)[numbers]
    z_i, z_j = z[batch.receivers][:, None], z[batch.senders]
    length = 0.8854 * BOHR / (z_i**0.23 + z_j**0.23 + (z_i * z_j == 0))
    x = distances / length
    screening = sum(s * jnp.exp(-d * x) for s, d in zip(SHARES, DECAYS, strict=True))
    pair = COULOMB * z_i * z_j / distances * screening
    u = distances / jnp.minimum(radii[batch.receivers][:, None] + radii[batch.senders], cutoff)
    kept = jnp.where(batch.mask & (u < 1), pair * envelope(u, ENVELOPE), 0.0)
    rows = 0.5 * kept.sum(axis=1)
    return jnp.zeros(len(numbers), distances.dtype).at[batch.receivers].add(rows)

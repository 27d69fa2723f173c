"""The pair potential of Pedone et al. for oxides, as an evaluator: a relaxation in 0.1 s.

Partial charges, a Morse function and a repulsion between each cation and oxygen and between oxygens
(Pedone et al., J. Phys. Chem. B 110, 11780 (2006), doi:10.1021/jp0611018, Table 1).  Charges are
summed without a reciprocal lattice, damped and with shifted forces (Fennell and Gezelter, J. Chem.
Phys. 124, 234104 (2006)); all else ends at the cutoff in the same way.
"""

from dataclasses import dataclass
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import atomic_number
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.potential.batch import AtomBatch
from gnomon.potential.predict import LoadedPotential
from gnomon.potential.repulsion import COULOMB

OF_OXYGEN = {
    "Be": (1.2, 0.239919, 2.527420, 1.815405, 1.0),
    "Mg": (1.2, 0.038908, 2.281000, 2.586153, 5.0),
    "Ca": (1.2, 0.030211, 2.241334, 2.923245, 5.0),
    "Al": (1.8, 0.361581, 1.900442, 2.164818, 0.9),
    "Si": (2.4, 0.340554, 2.006700, 2.100000, 1.0),
    "Ti": (2.4, 0.024235, 2.254703, 2.708943, 1.0),
    "Zr": (2.4, 0.206237, 2.479675, 2.436997, 1.0),
    "O": (-1.2, 0.042395, 1.379316, 3.618701, 22.0),
}
"""Charge; with oxygen: depth (eV), width (1/Å) and place (Å) of the well, repulsion (eV Å12)."""

DAMPING = 0.2
"""1/Å."""

ROWS = 2048
"""Rows of neighbours of a batch: a row costs little here."""


@dataclass(frozen=True)
class Limits:
    """What ``LoadedPotential`` asks of a potential: elements, and how far atoms see (Å)."""

    elements: tuple[int, ...] = tuple(sorted(map(atomic_number, OF_OXYGEN)))
    cutoff: float = 8.0


class Pedone(eqx.Module):
    """Energies of crystals in eV."""

    config: Limits = eqx.field(static=True, default=Limits())

    def energies(
        self, batch: AtomBatch, vectors: Float[Array, "rows width 3"]
    ) -> Float[Array, " crystals"]:
        """Where the neighbours are seen along these vectors (Å); 0 for padding."""
        z, cutoff = jnp.asarray(batch.atomic_numbers), self.config.cutoff
        table = np.zeros((119, 5), np.float32)
        table[[atomic_number(symbol) for symbol in OF_OXYGEN]] = list(OF_OXYGEN.values())
        of = jnp.asarray(table)[z]
        mine, theirs = of[batch.receivers][:, None], of[batch.senders]
        bonded = (z[batch.receivers][:, None] == 8) | (z[batch.senders] == 8)
        other = jnp.where((z[batch.receivers] == 8)[:, None, None], theirs, mine)
        charges = COULOMB * mine[..., 0] * theirs[..., 0]

        def pair(r: Float[Array, "rows width"]) -> Float[Array, "rows width"]:
            _, depth, width, place, repulsion = jnp.moveaxis(other, -1, 0)
            well = depth * ((1 - jnp.exp(-width * (r - place))) ** 2 - 1)
            near = jnp.where(bonded, well + repulsion / r**12, 0.0)
            return near + charges * jax.scipy.special.erfc(DAMPING * r) / r

        squares = jnp.where(batch.mask, (vectors**2).sum(axis=-1), 1.0)
        distances = jnp.maximum(jnp.sqrt(squares), 0.3)
        last = jnp.full_like(distances, cutoff)
        end, slope = jax.jvp(pair, (last,), (jnp.ones_like(last),))
        shifted = pair(distances) - end - slope * (distances - cutoff)
        rows = 0.5 * jnp.where(batch.mask & (distances < cutoff), shifted, 0.0).sum(axis=1)
        itself = jax.scipy.special.erfc(DAMPING * cutoff) / (2 * cutoff) + DAMPING / np.sqrt(np.pi)
        atoms = (-COULOMB * itself * of[:, 0] ** 2).at[batch.receivers].add(rows)
        kept = jnp.where(z > 0, atoms, 0.0)
        return jax.ops.segment_sum(kept, batch.crystal, len(batch.lattice))


def evaluator(relax: RelaxConfig) -> BatchedEvaluator:
    """Relaxes oxides with it."""
    potential = LoadedPotential("pedone", "2006", cast(Any, Pedone()))
    return BatchedEvaluator(potential, relax, capacity=potential.holding(ROWS))

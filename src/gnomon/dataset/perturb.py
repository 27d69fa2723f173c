"""Crystals away from equilibrium: rattled, strained, scaled.

Every crystal draws from its own stream, seeded by its content id: the same crystal and seed give
the same copies whatever else is in the batch.

>>> cell = Crystals.single(4 * np.eye(3), [29, 79], [[0, 0, 0], [0.5, 0.5, 0.5]])
>>> moved = rattle(cell, np.array([0.1]), seed=0).cart_coords - cell.cart_coords
>>> bool(np.abs(moved.sum(axis=0)).max() < 1e-12)
True
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals

MAX_STRAIN = 0.3
"""Largest amplitude of a strain: below 1/3 no draw can turn a cell flat or inside out."""


class PerturbConfig(BaseModel):
    """How crystals are perturbed; the defaults cover forces from none to some eV/Å."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    copies: int = Field(default=4, ge=0, description="perturbed copies of each crystal")
    min_rattle: float = Field(default=0.01, gt=0, description="least rattle of a copy, Å")
    max_rattle: float = Field(default=0.25, gt=0, description="greatest rattle of a copy, Å")
    strain: float = Field(
        default=0.05, ge=0, lt=MAX_STRAIN, description="bound of each component of the strain"
    )
    volumes: tuple[float, ...] = Field(
        default=(0.80, 0.88, 0.95, 1.05, 1.12, 1.20),
        description="factors of the volume scan",
    )
    scan_atoms: int = Field(default=4, ge=0, description="largest cell that is scanned in volume")


@dataclass(frozen=True, eq=False)
class Variants:
    """Crystals made from others.

    Attributes:
        crystals: the new batch.
        parent: (k,), index of the crystal that each was made from.
        kind: (k,), ``given``, ``perturbed``, ``scaled`` or ``substituted``.
        step: (k,), of a relaxation from there; 0 for its start, and without one.
    """

    crystals: Crystals
    parent: Int64[np.ndarray, " k"]
    kind: Shaped[np.ndarray, " k"]
    step: Int64[np.ndarray, " k"]

    @classmethod
    def of(
        cls, crystals: Crystals, parent: Int64[np.ndarray, " k"], kind: str, step: int = 0
    ) -> Variants:
        """Variants of one kind and step."""
        k = len(crystals)
        return cls(crystals, parent, np.full(k, kind, object), np.full(k, step, np.int64))

    @staticmethod
    def concatenate(parts: Sequence[Variants]) -> Variants:
        """All variants, in order."""
        columns = ("parent", "kind", "step")
        return Variants(
            Crystals.concatenate([part.crystals for part in parts]),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in columns),
        )


def perturbations(crystals: Crystals, recipe: PerturbConfig, seed: int) -> Variants:
    """Each crystal as it is, its perturbed copies, and the volume scan of small cells.

    A copy is strained by up to ``recipe.strain``, then rattled; its rattle is drawn between
    ``min_rattle`` and ``max_rattle``, evenly in the logarithm.
    """
    everyone = np.arange(len(crystals))
    parts = [Variants.of(crystals, everyone, "given")]
    low, high = np.log([recipe.min_rattle, max(recipe.min_rattle, recipe.max_rattle)])
    for copy in range(recipe.copies):
        draws = _draw(crystals, seed, f"amplitude {copy}", lambda rng, _: rng.uniform(size=1))
        amplitude = np.exp(low + (high - low) * draws)
        shifts = _shifts(crystals, seed, copy) * amplitude[crystals.crystal_index, None]
        strained = strain(crystals, recipe.strain, seed, copy)
        parts.append(Variants.of(_moved(strained, shifts), everyone, "perturbed"))
    small = np.flatnonzero(crystals.n_atoms <= recipe.scan_atoms)
    scanned = volume_scan(crystals.take(small), recipe.volumes)
    parts.append(Variants.of(scanned, np.repeat(small, len(recipe.volumes)), "scaled"))
    return Variants.concatenate(parts)


def rattle(
    crystals: Crystals, amplitude: Float[np.ndarray, " n"], seed: int, copy: int = 0
) -> Crystals:
    """Gaussian displacements of every Cartesian coordinate; the centre of the cell stays.

    Args:
        crystals: what to rattle.
        amplitude: (n,), standard deviation in Å, before the mean displacement is taken out.
        seed: of the draws, with the id of each crystal and ``copy``.
        copy: another number gives another draw.

    Raises:
        ValueError: for a negative amplitude.
    """
    if not np.all(amplitude >= 0):
        raise ValueError("the amplitude of a rattle must be zero or more, in Å")
    scale = np.asarray(amplitude, np.float64)[crystals.crystal_index, None]
    return _moved(crystals, _shifts(crystals, seed, copy) * scale)


def strain(crystals: Crystals, amplitude: float, seed: int, copy: int = 0) -> Crystals:
    """Cells after a random symmetric strain: lattice (1 + E), fractional coordinates kept.

    Each of the six components of E is drawn evenly from -amplitude to amplitude.

    Raises:
        ValueError: for an amplitude outside 0..``MAX_STRAIN``.
    """
    if not 0 <= amplitude < MAX_STRAIN:
        raise ValueError(f"the amplitude of a strain lies in 0..{MAX_STRAIN}, not {amplitude}")
    draws = _draw(crystals, seed, f"strain {copy}", lambda rng, _: rng.uniform(-1, 1, 6))
    voigt = amplitude * draws.reshape(-1, 6)
    components = voigt[:, [0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(-1, 3, 3)  # symmetric
    return crystals.with_lattice(crystals.lattice @ (np.eye(3) + components))


def volume_scan(crystals: Crystals, factors: tuple[float, ...]) -> Crystals:
    """Each crystal at each factor of its volume, crystal after crystal.

    Raises:
        ValueError: if a factor is not positive.
    """
    index = np.repeat(np.arange(len(crystals)), len(factors))
    return crystals.take(index).scale_volume(np.tile(np.array(factors, float), len(crystals)))


def _shifts(crystals: Crystals, seed: int, copy: int) -> Float64[np.ndarray, "atoms 3"]:
    """Standard normal displacements without their mean over each cell."""
    draws = _draw(crystals, seed, f"rattle {copy}", lambda rng, n: rng.standard_normal(3 * n))
    shifts = draws.reshape(-1, 3)
    sums = np.zeros((len(crystals), 3))
    np.add.at(sums, crystals.crystal_index, shifts)
    return shifts - (sums / crystals.n_atoms[:, None])[crystals.crystal_index]


def _moved(crystals: Crystals, shifts: Float64[np.ndarray, "atoms 3"]) -> Crystals:
    inverse = np.linalg.inv(crystals.lattice)[crystals.crystal_index]
    return crystals.with_frac_coords(
        crystals.frac_coords + np.einsum("ai,aij->aj", shifts, inverse)
    )


def _draw(
    crystals: Crystals,
    seed: int,
    purpose: str,
    draw: Callable[[np.random.Generator, int], Float64[np.ndarray, " k"]],
) -> Float64[np.ndarray, " draws"]:
    """Draws of every crystal from its own stream (here alone is a loop: 20 µs a crystal)."""
    drawn = [np.zeros(0)]
    for id, n in zip(crystals.ids, crystals.n_atoms.tolist(), strict=True):
        digest = hashlib.blake2b(f"{seed} {purpose} {id}".encode(), digest_size=16).digest()
        drawn.append(draw(np.random.default_rng(int.from_bytes(digest)), n))
    return np.concatenate(drawn)

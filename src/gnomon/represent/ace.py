"""Invariants of the atomic cluster expansion (Drautz, Phys. Rev. B 99, 014104 (2019)).

What surrounds an atom i is projected on radial functions, spherical harmonics and numbers of
elements,

    A_i,cnlm = sum over neighbours j of e_c(Z_j) R_n(r_ij) Y_lm(r_ij / |r_ij|),

R_n Chebyshev polynomials of a stretched distance, e_c the numbers of ``ELEMENTS``.
Products of A are clusters of more atoms; contracted by Clebsch-Gordan coefficients they are the
same however the crystal is turned:

    order 2:  A_k00
    order 3:  sum over m of A_klm A_klm
    order 4:  sum over m of C(l1 m1, l2 m2, l3 m3) A_kl1m1 A_kl2m2 A_kl3m3,   l1 <= l2 <= l3.

All products of 18 pairs (c, n) with each other would be tens of thousands of numbers.  Instead k
counts fixed random mixtures of them, and only equal k are multiplied (Darby et al., Phys. Rev.
Lett. 131, 028001 (2023)): the more mixtures, the more complete.  A crystal has the means over its
atoms of each number, and the means weighted by e_c of the atom in the middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import e3nn_jax as e3nn
import numpy as np
from jaxtyping import Float32, Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.elements import element_facts
from gnomon.represent import Card, Given, places_of
from gnomon.represent.harmonics import blocks, expansion, harmonics
from gnomon.run.registry import options_of
from gnomon.structure.neighbors import neighbors, vectors_of

ELEMENTS = ("one", "group", "row")
"""Numbers of an element: 1, and its place in the periodic table from -1 to 1."""

STRETCH = 2.0
"""Of distances: short ones are told apart more finely than long ones."""

AT_ONCE = 64
"""Crystals in work at a time."""


class AceConfig(BaseModel):
    """How far and how finely surroundings are seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoff: float = Field(default=5.0, gt=1, description="reach, Å")
    radial: int = Field(default=6, ge=1, description="radial functions")
    degree: int = Field(default=4, ge=0, le=6, description="largest degree of the harmonics")
    order: int = Field(default=4, ge=2, le=4, description="most atoms of a cluster")
    mixtures: int = Field(default=16, ge=1, description="mixtures of elements and radial functions")


@dataclass(frozen=True)
class Ace:
    """Clusters of two to four atoms, averaged over those in the middle."""

    config: AceConfig = field(default_factory=AceConfig)

    @property
    def card(self) -> Card:
        """What it is."""
        return Card(
            f"clusters of up to {self.config.order} atoms, averaged over the atoms in the middle; "
            f"smooth in the places of atoms, with a continuous slope where one passes the cutoff "
            f"of {self.config.cutoff:g} Å (ACE)",
            "Drautz, Phys. Rev. B 99, 014104 (2019), doi:10.1103/PhysRevB.99.014104; "
            "Darby et al., Phys. Rev. Lett. 131, 028001 (2023), "
            "doi:10.1103/PhysRevLett.131.028001",
            structure=True,
            rounding=1e-3,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Each number of the element in the middle, each cluster, each mixture."""
        names = [
            "_".join(("l", *map(str, degrees)))
            for degrees in clusters(self.config.degree, self.config.order)
        ]
        return tuple(
            f"{number}_{name}_{k}"
            for number in ELEMENTS
            for name in names
            for k in range(self.config.mixtures)
        )

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Invariants of crystals."""
        crystals = places_of(given, "ace")
        starts = range(0, len(crystals), AT_ONCE)
        parts = [self._rows(crystals[start : start + AT_ONCE]) for start in starts]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.columns)))

    def _rows(self, crystals: Crystals) -> Float64[np.ndarray, "n d"]:
        values = self._invariants(self._projected(crystals))
        middle = numbers_of_elements()[crystals.atomic_numbers]
        each = (middle[:, :, None] * values[:, None]).reshape(len(values), -1)
        return np.add.reduceat(each, crystals.offsets[:-1]) / crystals.n_atoms[:, None]

    def _projected(self, crystals: Crystals) -> Float32[np.ndarray, "atoms k harmonics"]:
        """A of each atom in mixtures of elements and radial functions."""
        config = self.config
        found = neighbors(crystals, config.cutoff)
        kinds = numbers_of_elements()[crystals.atomic_numbers[found.senders]]
        radial = radial_functions(found.distances, config.cutoff, config.radial)
        drawn = np.random.default_rng(0).normal(
            size=(len(ELEMENTS), config.radial, config.mixtures)
        )
        drawn /= np.linalg.norm(drawn, axis=(0, 1))
        weights = np.einsum("pc,pn,cnk->pk", kinds, radial, drawn, optimize=True)
        angular = harmonics(vectors_of(crystals, found), config.degree)
        return expansion(found.receivers, weights, angular, len(crystals.atomic_numbers))

    def _invariants(
        self, sums: Float32[np.ndarray, "atoms k harmonics"]
    ) -> Float64[np.ndarray, "atoms clusters_k"]:
        own = blocks(self.config.degree)
        values = []
        for degrees in clusters(self.config.degree, self.config.order):
            parts = [sums[:, :, own[degree]].astype(np.float64) for degree in degrees]
            if len(parts) == 1:
                values.append(parts[0][:, :, 0])
            elif len(parts) == 2:
                values.append(np.einsum("akm,akm->ak", *parts))
            else:
                coupled = np.asarray(e3nn.clebsch_gordan(*degrees), np.float64)
                pair = np.einsum("akm,akn->akmn", *parts[:2]).reshape(*sums.shape[:2], -1)
                third = pair @ coupled.reshape(pair.shape[-1], -1)
                values.append(np.einsum("ako,ako->ak", third, parts[2]))
        return np.concatenate(values, axis=1)


@cache
def clusters(degree: int, order: int) -> tuple[tuple[int, ...], ...]:
    """Degrees of the harmonics that make an invariant, without those that are products of others.

    >>> clusters(2, 4)
    ((0,), (1, 1), (2, 2), (1, 1, 2), (2, 2, 2))
    """
    found: list[tuple[int, ...]] = [(0,)]
    if order > 2:
        found += [(one, one) for one in range(1, degree + 1)]
    if order > 3:
        found += [
            (one, two, three)
            for one in range(1, degree + 1)
            for two in range(one, degree + 1)
            for three in range(two, min(one + two, degree) + 1)
            if (one + two + three) % 2 == 0
        ]
    return tuple(found)


@cache
def numbers_of_elements() -> Float64[np.ndarray, "119 c"]:
    """``ELEMENTS`` by atomic number; zeros for the placeholder."""
    group, row = element_facts(("group", "row")).T
    found = np.stack([np.ones(len(group)), (group - 9.5) / 8.5, (row - 4) / 3], axis=1)
    found[0] = 0
    return found


def radial_functions(
    distances: Float64[np.ndarray, " k"], cutoff: float, n: int
) -> Float64[np.ndarray, "k n"]:
    """R_n(r) = (1 + cos(pi r / r_c)) (1 - T_n(x)) / 4, R_0 = (1 + cos(pi r / r_c)) / 2.

    x = 1 - 2 (exp(-s (r / r_c - 1)) - 1) / (exp(s) - 1), s = ``STRETCH``, T_n Chebyshev's
    polynomials.  Value and slope are zero at the cutoff r_c.

    Args:
        distances: Å.
        cutoff: Å.
        n: how many.
    """
    ratio = distances / cutoff
    x = 1 - 2 * (np.exp(-STRETCH * (ratio - 1)) - 1) / (np.exp(STRETCH) - 1)
    fade = (1 + np.cos(np.pi * ratio)) / 2
    bent = (1 - np.polynomial.chebyshev.chebvander(x, n - 1)[:, 1:]) / 2
    return fade[:, None] * np.concatenate([np.ones((len(x), 1)), bent], axis=1)


def make(options: Mapping[str, Any]) -> Ace:
    """ACE with these options.

    Raises:
        ValueError: for an option that does not exist or a value out of range.
    """
    return Ace(options_of("ace", AceConfig, options))

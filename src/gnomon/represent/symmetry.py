"""Invariants that a small network can tell the space group from, found without any tolerance.

Neighbours of each atom are expanded in spherical harmonics, A_cnlm (c: whether the neighbour is of
the same element; n: radial functions), lengths in units of the cube root of the volume of an atom.
The symmetry of a density shows in its harmonics: of degree l only as many are free as the point
group leaves, so that the eigenvalues of

    G_l = sum over c, n of A_cnl A_cnl^T,   a (2l + 1) x (2l + 1) matrix,

beyond that number vanish, and they do not change when the crystal is turned.  They are taken

- of each site, whose symmetry they show;
- of sums over the sites of an element, and over all sites weighted by what they are, which show
  the point group of the crystal;
- of the intensities |F(q)|^2 of the reciprocal lattice, which show the Laue class; the radial
  distribution of those that do not vanish shows the lattice with its absences.

How many atoms of a crystal are the same up to a translation, up to inversion and up to any turn
comes from comparing A of all pairs.  Everything changes smoothly with the places of atoms, as
logarithms with a floor.  The aim is that of the crystal capsules of Liang et al., Nat. Commun. 14,
5198 (2023), doi:10.1038/s41467-023-40756-2, which learn such patterns; here they are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64
from pydantic import BaseModel, ConfigDict

from gnomon.crystals import Crystals
from gnomon.represent import Card, Given, places_of
from gnomon.represent.harmonics import blocks, expansion, harmonics
from gnomon.run.registry import options_of
from gnomon.structure.neighbors import neighbors, vectors_of

DEGREES = 6
"""Largest degree of the harmonics: the lowest that tells the eleven Laue classes apart."""

REACH = 2.4
"""Neighbours up to so many cube roots of an atom's volume are seen: about 58."""

RADIAL = 6
"""Radial functions."""

WIDTHS = (0.03, 0.1, 0.3)
"""Of the comparison of two sites, from what rounding allows to what heat allows."""

RINGS = 12
"""Radial functions of the reciprocal lattice."""

RANGE = 1.6
"""How far the reciprocal lattice is looked at, over the cube root of the density of atoms."""

FLOOR = 1e-5
"""Added to what is under a logarithm: a thousandth of a distance between neighbours, squared."""

MIXES = 3
"""Ways to weight sites by what they are."""

AT_ONCE = 64
"""Crystals in work at a time."""

BLOCKS = blocks(DEGREES)
"""Harmonics of each degree."""

WHATS = tuple(
    [f"shell_{i}" for i in range(2 * RADIAL)]
    + [f"site_{degree}_{k}" for degree in range(1, DEGREES + 1) for k in range(2 * degree + 1)]
    + [f"{what}_{i}" for what in ("shifted", "inverted", "turned") for i in range(len(WIDTHS))]
)
"""Numbers of a site."""


@dataclass(frozen=True)
class Symmetry:
    """Invariants of sites pooled over the crystal, and of the crystal as a whole."""

    card = Card(
        "eigenvalues of harmonics of sites, of the crystal and of its reciprocal lattice",
        "own, after Liang et al., Nat. Commun. 14, 5198 (2023), doi:10.1038/s41467-023-40756-2",
        structure=True,
        rounding=1e-3,
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """Numbers of sites in four poolings, of elements, of mixes, of the reciprocal lattice."""
        degrees = range(1, DEGREES + 1)
        whole = (
            f"{what}_{degree}_{k}"
            for what in ("element", "mix")
            for degree in degrees
            for k in range(2 * degree + 1)
        )
        even = (f"q_{degree}_{k}" for degree in degrees[1::2] for k in range(2 * degree + 1))
        pooled = (f"{pool}_{one}" for pool in ("mean", "deviation", "min", "max") for one in WHATS)
        return (*pooled, *whole, *(f"ring_{i}" for i in range(2 * RINGS)), *even)

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Invariants of crystals."""
        crystals = places_of(given, "symmetry")
        starts = range(0, len(crystals), AT_ONCE)
        parts = [_rows(crystals[start : start + AT_ONCE]) for start in starts]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.columns)))


def _rows(crystals: Crystals) -> Float64[np.ndarray, "n d"]:
    size = np.cbrt(crystals.volumes / crystals.n_atoms)
    unit = crystals.with_lattice(crystals.lattice / size[:, None, None])
    sites = _expansion(unit)
    powers = [np.sum(sites[:, :, block] ** 2, axis=(1, 2)) for block in BLOCKS]
    power = np.stack(powers, axis=1)
    spectra = [_logarithm(_eigenvalues(sites[:, :, block])) for block in BLOCKS[1:]]
    shells = sites[:, :, 0].astype(np.float64)
    numbers = np.concatenate([shells, *spectra, _relations(unit, sites, power)], axis=1)
    parts = [_pooled(unit, numbers), _whole(unit, sites, power), _reciprocal(unit)]
    return np.concatenate(parts, axis=1)


# --- sites ----------------------------------------------------------------------------------------


def _expansion(unit: Crystals) -> Float32[np.ndarray, "atoms channels harmonics"]:
    """A of each atom; its part of degree 0 has length 1."""
    found = neighbors(unit, REACH)
    numbers = unit.atomic_numbers
    angular = harmonics(vectors_of(unit, found), DEGREES)
    radial = _bumps(found.distances, 0.8, REACH - 0.15, RADIAL)
    radial *= np.clip((REACH - found.distances) / 0.4, 0, 1)[:, None] ** 2
    same = (numbers[found.senders] == numbers[found.receivers])[:, None]
    weights = np.concatenate([radial * same, radial * ~same], axis=1)
    sums = expansion(found.receivers, weights, angular, len(numbers))
    length = np.linalg.norm(sums[:, :, 0], axis=1)
    return sums / np.maximum(length, 1e-6)[:, None, None]


def _relations(
    unit: Crystals,
    sites: Float32[np.ndarray, "atoms channels harmonics"],
    power: Float32[np.ndarray, "atoms degrees"],
) -> Float64[np.ndarray, "atoms relations"]:
    """Share of the atoms that are as each is but for a translation, an inversion, a turn; log2."""
    parity = np.concatenate([np.full(2 * d + 1, (-1.0) ** d) for d in range(DEGREES + 1)])
    flat = sites.reshape(len(sites), -1)
    inverted = (sites * parity.astype(np.float32)).reshape(len(sites), -1)
    found = np.zeros((len(sites), 3 * len(WIDTHS)))
    for first, last in zip(unit.offsets[:-1], unit.offsets[1:], strict=True):
        own = slice(int(first), int(last))
        numbers = unit.atomic_numbers[own]
        same = numbers[:, None] == numbers
        apart = (
            _squares(flat[own], flat[own]),
            _squares(flat[own], inverted[own]),
            4 * _squares(power[own], power[own]),
        )
        shares = [(np.exp(-one / (2 * w)) * same).mean(axis=1) for one in apart for w in WIDTHS]
        found[own] = np.stack(shares, axis=1)
    return np.log2(found + 1e-4)


def _pooled(
    unit: Crystals, numbers: Float64[np.ndarray, "atoms k"]
) -> Float64[np.ndarray, "n four_k"]:
    """Mean, deviation, least and largest over the atoms of each crystal."""
    starts = unit.offsets[:-1]
    mean = np.add.reduceat(numbers, starts) / unit.n_atoms[:, None]
    off = (numbers - mean[unit.crystal_index]) ** 2
    deviation = np.sqrt(np.add.reduceat(off, starts) / unit.n_atoms[:, None])
    least, most = np.minimum.reduceat(numbers, starts), np.maximum.reduceat(numbers, starts)
    return np.concatenate([mean, deviation, least, most], axis=1)


# --- the whole crystal ----------------------------------------------------------------------------


def _whole(
    unit: Crystals,
    sites: Float32[np.ndarray, "atoms channels harmonics"],
    power: Float32[np.ndarray, "atoms degrees"],
) -> Float64[np.ndarray, "n k"]:
    """Eigenvalues of sums over the sites of each element, and weighted by what sites are."""
    own, n = unit.crystal_index, len(unit)
    kind, of_site = np.unique(own * 256 + unit.atomic_numbers, return_inverse=True)
    sums = np.zeros((len(kind), *sites.shape[1:]))
    np.add.at(sums, of_site, sites)
    share = np.bincount(of_site) * unit.n_atoms[kind // 256]
    sums /= np.sqrt(share)[:, None, None]
    found = []
    for block in BLOCKS[1:]:
        each = np.matmul(sums[:, :, block].swapaxes(1, 2), sums[:, :, block])
        total = np.zeros((n, *each.shape[1:]))
        np.add.at(total, kind // 256, each)
        found.append(_logarithm(np.linalg.eigvalsh(total)[:, ::-1]))

    what = np.log10(power.astype(np.float64) + 1e-4)
    what -= (np.add.reduceat(what, unit.offsets[:-1]) / unit.n_atoms[:, None])[own]
    mixes = np.random.default_rng(0).normal(size=(what.shape[1], MIXES))
    weights = np.tanh(what @ mixes / 2)
    mixed = [
        np.add.reduceat(sites * weights[:, k, None, None], unit.offsets[:-1]) for k in range(MIXES)
    ]
    channels = np.concatenate(mixed, axis=1) / unit.n_atoms[:, None, None]
    found += [_logarithm(_eigenvalues(channels[:, :, block])) for block in BLOCKS[1:]]
    return np.concatenate(found, axis=1)


def _reciprocal(unit: Crystals) -> Float64[np.ndarray, "n k"]:
    """Where intensities do not vanish: radial distributions, eigenvalues of even degrees."""
    vectors, strengths = zip(*(_intensities(unit, i) for i in range(len(unit))), strict=True)
    angular = harmonics(np.concatenate(vectors), DEGREES)
    ends = np.cumsum([0, *map(len, vectors)])
    found = []
    for i, (q, strength) in enumerate(zip(vectors, strengths, strict=True)):
        rings = _bumps(np.linalg.norm(q, axis=1), 0.15, RANGE - 0.1, RINGS)
        seen = np.stack([strength / (strength + 0.01), np.sqrt(strength)], axis=1)
        weights = (rings[:, :, None] * seen[:, None, :]).reshape(len(q), 2 * RINGS)
        sums = weights.T @ angular[ends[i] : ends[i + 1]].astype(np.float64)
        total = np.sum(sums[:, 0] ** 2) + 1e-9
        even = [_eigenvalues(sums[None, :, block])[0] / total for block in BLOCKS[2::2]]
        found.append(np.concatenate([np.log10(sums[:, 0] + 1e-3), *map(_logarithm, even)]))
    return np.stack(found)


def _intensities(
    unit: Crystals, i: int
) -> tuple[Float64[np.ndarray, "q 3"], Float64[np.ndarray, " q"]]:
    """Half of the reciprocal lattice, and the larger of two |F|^2 / N^2 at each point.

    Of atoms that are all alike, and weighted by sqrt(Z).
    """
    lattice, numbers, frac = unit.arrays(i)
    most = np.floor(RANGE * np.linalg.norm(lattice, axis=1)).astype(int)
    axes = [np.arange(-k, k + 1) for k in most]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    index = index[len(index) // 2 + 1 :]  # what follows the origin is half of it
    q = index @ np.linalg.inv(lattice).T
    inside = np.linalg.norm(q, axis=1) < RANGE
    phases = np.exp(2j * np.pi * (index[inside] @ frac.T))
    weights = np.sqrt(numbers / numbers.mean())
    strength = np.maximum(np.abs(phases.sum(axis=1)) ** 2, np.abs(phases @ weights) ** 2)
    return q[inside], strength / len(numbers) ** 2


# --- parts ----------------------------------------------------------------------------------------


def _bumps(
    values: Float64[np.ndarray, " k"], first: float, last: float, n: int
) -> Float64[np.ndarray, "k n"]:
    """Gaussians at n points, 0.7 of their distance wide."""
    centers, step = np.linspace(first, last, n, retstep=True)
    return np.exp(-0.5 * ((values[:, None] - centers) / (0.7 * step)) ** 2)


def _eigenvalues(rows: Float[np.ndarray, "n k m"]) -> Float64[np.ndarray, "n m"]:
    """Of the sum of rows times themselves, falling."""
    exact = rows.astype(np.float64)
    return np.linalg.eigvalsh(np.matmul(exact.swapaxes(1, 2), exact))[:, ::-1]


def _logarithm(values: Float64[np.ndarray, ...]) -> Float64[np.ndarray, ...]:
    return np.log10(np.maximum(values, 0) + FLOOR)


def _squares(
    one: Float32[np.ndarray, "n k"], other: Float32[np.ndarray, "n k"]
) -> Float64[np.ndarray, "n n"]:
    """Squared distances between all rows."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    return np.maximum(np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T, 0)


class SymmetryConfig(BaseModel):
    """It has no options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def make(options: Mapping[str, Any]) -> Symmetry:
    """The representation.

    Raises:
        ValueError: for any option.
    """
    options_of("symmetry", SymmetryConfig, options)
    return Symmetry()

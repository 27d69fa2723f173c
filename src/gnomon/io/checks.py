"""What every record must pass before it is a crystal: finite, not flat, no two atoms in one place.

All checks are vectorised over the batch and bounded in time and memory whatever the numbers are.
"""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gnomon.elements import MAX_Z
from gnomon.io.reasons import Reason
from gnomon.io.records import Limits, Parsed

MIN_DISTANCE = 0.5
"""Closest approach in Å of two atoms, images included.  The shortest bond known, H2, has 0.74."""

MIN_VOLUME = 1e-3
"""Cell volume in Å^3 below which a cell counts as flat."""

MAX_EDGE = 1e4
"""Longest cell vector in Å; beyond it a file is damaged, or in another unit."""

MAX_ROOM = 1e6
"""Å^3 an atom beyond which the same holds: an atom alone in a box of 100 Å."""

MAX_FRAC = 1e4
"""Largest fractional coordinate: beyond it, wrapping into the cell costs digits."""

CLOSEST_PACKING = MIN_DISTANCE**3 / np.sqrt(2)
"""Å^3 an atom of the densest packing of points ``MIN_DISTANCE`` apart (Hales, 2005): a cell with
less room than that holds atoms that are too close, whatever its shape."""

PAIRS_AT_ONCE = 500_000
"""Pairs of atoms whose distances are held in memory at a time."""


def screen(parsed: Parsed, limits: Limits) -> Parsed:
    """The same records, with a reason wherever a check fails.  Earlier reasons stay."""
    reasons, details = parsed.reasons.copy(), parsed.details.copy()

    def reject(bad: Bool[np.ndarray, " n"], reason: Reason, detail: str) -> None:
        new = bad & (reasons == None)  # noqa: E711  (elementwise)
        reasons[new], details[new] = reason, detail

    counts = np.diff(parsed.offsets)
    atoms_of = np.repeat(np.arange(len(counts)), counts)

    def any_atom(bad: Bool[np.ndarray, " atoms"]) -> Bool[np.ndarray, " n"]:
        return np.bincount(atoms_of[bad], minlength=len(counts)) > 0

    numbers, frac, lattice = parsed.atomic_numbers, parsed.frac_coords, parsed.lattice
    finite_cell = np.isfinite(lattice).all(axis=(1, 2))
    finite = finite_cell & ~any_atom(~np.isfinite(frac).all(axis=1))
    edges = np.abs(np.where(finite_cell[:, None, None], lattice, 0)).max(axis=(1, 2), initial=0)
    huge = any_atom(np.abs(frac).max(axis=1, initial=0) > MAX_FRAC) | (edges > MAX_EDGE)
    reject(counts == 0, Reason.empty, "no atoms")
    reject(
        counts > limits.max_atoms,
        Reason.too_large,
        f"over {limits.max_atoms} atoms (raise max_atoms to read it)",
    )
    reject(~finite, Reason.not_finite, "a cell vector or a coordinate is NaN or infinite")
    reject(
        any_atom((numbers < 1) | (numbers > MAX_Z)),
        Reason.unknown_element,
        f"an atomic number outside 1..{MAX_Z}",
    )
    reject(
        huge,
        Reason.too_large,
        f"a cell vector beyond {MAX_EDGE:g} Å or a coordinate beyond {MAX_FRAC:g} cells",
    )
    volumes = np.zeros(len(counts))
    sane = np.flatnonzero(reasons == None)  # noqa: E711
    volumes[sane] = np.abs(np.linalg.det(lattice[sane]))
    reject(volumes <= MIN_VOLUME, Reason.zero_volume, f"cell volume at most {MIN_VOLUME} Å^3")
    detail = f"over {MAX_ROOM:g} Å^3 an atom: lengths in another unit than Å?"
    reject(volumes > MAX_ROOM * np.maximum(counts, 1), Reason.too_large, detail)
    too_close = f"two atoms within {MIN_DISTANCE} Å of each other, periodic images included"
    reject(volumes < CLOSEST_PACKING * counts, Reason.atoms_too_close, too_close)
    sane = np.flatnonzero(reasons == None)  # noqa: E711
    close = np.zeros(len(counts), bool)
    close[sane] = _too_close(lattice[sane], frac, parsed.offsets[:-1][sane], counts[sane])
    reject(close, Reason.atoms_too_close, too_close)
    return dataclasses.replace(parsed, reasons=reasons, details=details)


def _too_close(
    lattice: Float64[np.ndarray, "n 3 3"],
    frac_coords: Float64[np.ndarray, "atoms 3"],
    starts: Int64[np.ndarray, " n"],
    counts: Int64[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Whether two atoms lie within ``MIN_DISTANCE``, crystal by crystal.

    A lattice plane spacing h bounds the image that can matter: |f + n| h <= distance.  Where all
    three spacings are at least 2 MIN_DISTANCE, only the nearest image in fractional coordinates
    can be that close, and no atom can be so close to its own image.  The few thinner cells are
    Minkowski-reduced and searched over the images around them.
    """
    close = np.zeros(len(counts), bool)
    spacings = 1 / np.linalg.norm(np.linalg.inv(lattice), axis=1)
    thick = spacings.min(axis=1, initial=np.inf) >= 2 * MIN_DISTANCE
    for n in np.unique(counts[thick & (counts > 1)]).tolist():
        same = np.flatnonzero(thick & (counts == n))
        step = max(1, PAIRS_AT_ONCE // (n * (n - 1) // 2))
        for rows in np.split(same, range(step, len(same), step)):
            atoms = starts[rows][:, None] + np.arange(n)
            close[rows] = _close_pairs(lattice[rows], frac_coords[atoms])
    for i in np.flatnonzero(~thick):
        end = starts[i] + counts[i]
        close[i] = _too_close_thin(lattice[i], frac_coords[starts[i] : end])
    return close


def _close_pairs(
    lattice: Float64[np.ndarray, "m 3 3"], frac: Float64[np.ndarray, "m n 3"]
) -> Bool[np.ndarray, " m"]:
    close = np.zeros(len(frac), bool)
    n = frac.shape[1]
    first, second = np.triu_indices(n, 1)
    step = max(1, PAIRS_AT_ONCE // len(frac))
    for low in range(0, len(first), step):
        difference = frac[:, first[low : low + step]] - frac[:, second[low : low + step]]
        difference -= np.rint(difference)
        vectors = difference @ lattice
        close |= (np.einsum("mpi,mpi->mp", vectors, vectors) < MIN_DISTANCE**2).any(axis=1)
    return close


_IMAGES = np.array(list(itertools.product((-1, 0, 1), repeat=3)), np.float64)
"""Enough around a reduced cell whose shortest vector is >= d: its spacings h are >= d / sqrt(2), so
|f + n| h <= d with |f| <= 1/2 leaves |n| < 2."""


def _too_close_thin(lattice: Float64[np.ndarray, "3 3"], frac: Float64[np.ndarray, "n 3"]) -> bool:
    """The same for one cell that is thin or skewed."""
    from ase.geometry.minkowski_reduction import minkowski_reduce

    reduced = np.asarray(minkowski_reduce(lattice)[0], np.float64)
    translations = (_IMAGES @ reduced)[np.any(_IMAGES != 0, axis=1)]
    if (np.einsum("ij,ij->i", translations, translations) < MIN_DISTANCE**2).any():
        return True
    moved = frac @ lattice @ np.linalg.inv(reduced)
    for i in range(len(moved) - 1):
        difference = moved[i + 1 :] - moved[i]
        difference -= np.rint(difference)
        vectors = (difference[:, None, :] + _IMAGES) @ reduced
        if (np.einsum("pki,pki->pk", vectors, vectors) < MIN_DISTANCE**2).any():
            return True
    return False

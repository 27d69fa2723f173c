"""What no crystal has, though nothing in its record forbids it: lengths in another unit, as a rule.

Warnings and no rejects: atoms in a large box are wanted where a potential is trained.
"""

import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import vesin
from jaxtyping import Float64, Int64

from gnomon.elements import COVALENT_RADII
from gnomon.io.records import Parsed

CONTACT = (0.6, 1.4)
"""Closest contacts of crystals, in sums of covalent radii (Cordero 2008), with room: of 12,000
crystals of the Materials Project the lowest is 0.62, the highest 1.29, noble gases left out.
Lengths in bohr that are read as Å come to 1.4 and more, lengths in Å as bohr to 0.6 and less."""

NOBLE = (2, 10, 18, 36, 54, 86)
"""Atomic numbers of elements whose crystals are held together by no bonds."""

CELLS = 2.0
"""Fractional coordinates beyond it may be Cartesian ones."""


def looked_at(parsed: Parsed) -> Parsed:
    """The same records, with a warning to those whose closest atoms are as in no crystal.

    Args:
        parsed: that the checks have been through.
    """
    said = parsed.labels["warnings"].to_pylist()
    for i in np.flatnonzero(parsed.reasons == None):  # noqa: E711  (elementwise)
        own = slice(*parsed.offsets[i : i + 2].tolist())
        note = contact(parsed.lattice[i], parsed.atomic_numbers[own], parsed.frac_coords[own])
        said[i] = "; ".join(filter(None, (said[i], note))) or None
    at = parsed.labels.schema.get_field_index("warnings")
    labels = parsed.labels.set_column(at, "warnings", pa.array(said, pa.string()))
    return replace(parsed, labels=labels)


def contact(
    lattice: Float64[np.ndarray, "3 3"],
    numbers: Int64[np.ndarray, " atoms"],
    frac: Float64[np.ndarray, "atoms 3"],
) -> str:
    """What is odd about the closest atoms of a crystal; empty where nothing is."""
    radii = COVALENT_RADII[numbers]
    search = vesin.NeighborList(
        cutoff=2 * CONTACT[1] * float(radii.max()), full_list=False, n_threads=1
    )
    first, second, distances = search.compute(frac @ lattice, lattice, True, "ijd")
    shares = distances / (radii[first.astype(np.int64)] + radii[second.astype(np.int64)])
    unit = "lengths in another unit than Å?"
    if shares.min(initial=np.inf) > CONTACT[1]:
        if np.isin(numbers, NOBLE).all():
            return ""
        return f"no two atoms are within {CONTACT[1]} times their covalent radii: {unit}"
    if shares.min() < CONTACT[0]:
        return f"two atoms are within {CONTACT[0]} times their covalent radii: {unit}"
    return ""


def look_at_fractions(frac: Float64[np.ndarray, "sites 3"]) -> None:
    """Warn of fractional coordinates that may be Cartesian ones."""
    largest = np.abs(frac).max(initial=0)
    if CELLS < largest < np.inf:
        warnings.warn(
            f"a fractional coordinate of {largest:g}: are they Cartesian ones?", stacklevel=1
        )

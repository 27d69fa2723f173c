"""Elements on the sites of one cell: choices of sites, rows of elements, crystals."""

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII
from gnomon.generate.saps.exchanges import Exchanges


def within(
    permutations: Int64[np.ndarray, "order sites"], sites: Int64[np.ndarray, " some"]
) -> Int64[np.ndarray, "order some"]:
    """What permutations do to some of the sites, which they keep among themselves."""
    position = np.zeros(permutations.shape[1], np.int64)
    position[sites] = np.arange(len(sites))
    return position[permutations[:, sites]]


def repeats(
    chosen: Bool[np.ndarray, "k sites"], translations: Int64[np.ndarray, "moved sites"]
) -> Bool[np.ndarray, " k"]:
    """Choices that a translation keeps: they belong to a smaller cell."""
    return np.all(chosen[:, translations] == chosen[:, None, :], axis=2).any(axis=1)


def occupations(
    exchange: Exchanges,
    ways: Int64[np.ndarray, " i"],
    ion: Int64[np.ndarray, " atoms"],
    sites: Int64[np.ndarray, " sites"],
    chosen: Bool[np.ndarray, "k sites"],
) -> UInt8[np.ndarray, "rows atoms"]:
    """Elements on all sites, for each way and then for each choice."""
    kinds = exchange.kinds[ways]
    rows = np.repeat(kinds[:, ion].astype(np.uint8), len(chosen), axis=0)
    new = np.repeat(kinds[:, -1].astype(np.uint8), len(chosen))
    rows[:, sites] = np.where(np.tile(chosen, (len(ways), 1)), new[:, None], rows[:, sites])
    return rows


def occupied_crystals(cell: Crystals, rows: UInt8[np.ndarray, "k atoms"]) -> Crystals:
    """One cell, occupied in several ways; lengths follow the mean covalent radius."""
    k, atoms = rows.shape
    radii = COVALENT_RADII
    scale = radii[rows].sum(axis=1) / radii[cell.atomic_numbers].sum()
    return Crystals(
        lattice=cell.lattice * scale[:, None, None],
        atomic_numbers=rows.reshape(-1),
        frac_coords=np.tile(cell.frac_coords, (k, 1)),
        offsets=np.arange(k + 1) * atoms,
    )

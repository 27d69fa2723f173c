"""Cheap keys that tell candidates of one prototype and composition from all others.

A protostructure is a space group with its Wyckoff positions and the elements on them; free
parameters and cell lengths are left out (Goodall et al., Sci. Adv. 8, eabn4117 (2022)).
"""

import gzip
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import spglib
from jaxtyping import Int64, UInt64

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.symmetry import SYMPREC

LETTERS = "abcdefghijklmnopqrstuvwxyzA"
"""Wyckoff letters; only space group 47 reaches the last."""


@dataclass(frozen=True)
class Protostructure:
    """Wyckoff positions of one crystal.

    Attributes:
        space_group: international number; 0 where spglib finds no symmetry.
        origin: what the positions belong to: a hash of the space group, or of the crystal's own id
            where there is none, so that its candidates equal no other's.
        elements: (m,), atomic numbers, ascending.
        orbits: for each element the letters of its orbits, as positions in ``LETTERS``.
    """

    space_group: int
    origin: np.uint64
    elements: Int64[np.ndarray, " m"]
    orbits: tuple[Int64[np.ndarray, " _"], ...]

    def keys(self, replaced: Int64[np.ndarray, "k m"]) -> UInt64[np.ndarray, " k"]:
        """64-bit keys of the crystals in which element j has become ``replaced[:, j]``.

        A key is a sum of hashes of (element, letter) over the orbits, so two elements that become
        one count as one; of the equivalent ways to letter a space group the smallest key is taken.
        """
        hashes = _orbit_hashes()
        smallest = np.full(len(replaced), np.iinfo(np.uint64).max, np.uint64)
        for relabelled in _relabellings(self.space_group):
            total = np.full(len(replaced), self.origin)
            for column, letters in zip(replaced.T, self.orbits, strict=True):
                total += hashes[:, relabelled[letters]].sum(axis=1, dtype=np.uint64)[column]
            smallest = np.minimum(smallest, _scramble(total))
        return smallest


def protostructure(crystal: Crystals, symprec: float = SYMPREC) -> Protostructure:
    """Wyckoff positions of one crystal (a batch of one)."""
    lattice, numbers, frac_coords = crystal.arrays(0)
    elements = np.unique(numbers).astype(np.int64)
    try:
        dataset = spglib.get_symmetry_dataset((lattice, frac_coords, numbers), symprec=symprec)
    except spglib.error.SpglibError:
        dataset = None
    if dataset is None:
        orbits = tuple(np.zeros(int((numbers == z).sum()), np.int64) for z in elements)
        return Protostructure(0, _hash(int(crystal.ids[0][:16], 16)), elements, orbits)
    _, firsts = np.unique(dataset.crystallographic_orbits, return_index=True)
    letters = np.array([LETTERS.index(dataset.wyckoffs[i]) for i in firsts], dtype=np.int64)
    orbits = tuple(letters[numbers[firsts] == z] for z in elements)
    return Protostructure(int(dataset.number), _hash(int(dataset.number)), elements, orbits)


@cache
def _relabellings(space_group: int) -> Int64[np.ndarray, "r 27"]:
    """All letterings that differ by the choice of origin or axes (pymatgen's table)."""
    identity = np.arange(len(LETTERS))
    if space_group == 0:
        return identity[None]
    spec = importlib.util.find_spec("pymatgen.analysis.prototypes")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("pymatgen >= 2026.10 is needed for its Wyckoff tables: reinstall it")
    # the folder is found without importing it: its __init__ parses a library of structures
    folder = Path(spec.submodule_search_locations[0])
    packed = (folder / "wyckoff-position-relabelings.json.gz").read_bytes()
    rows = []
    for mapping in json.loads(gzip.decompress(packed))[str(space_group)]:
        row = identity.copy()
        for old, new in mapping.items():
            row[LETTERS.index(chr(int(old)))] = LETTERS.index(new)
        rows.append(row)
    return np.array(rows)


@cache
def _orbit_hashes() -> UInt64[np.ndarray, "119 27"]:
    """A hash for an orbit of each element on each letter."""
    pairs = np.arange(MAX_Z + 1)[:, None] * 32 + np.arange(len(LETTERS))
    return _scramble(pairs.astype(np.uint64))


def _hash(number: int) -> np.uint64:
    return _scramble(np.array([number], np.uint64))[0]


def _scramble(values: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijective mixing."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))

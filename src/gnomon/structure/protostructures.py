"""Cheap keys that tell candidates of one prototype and composition from all others.

A protostructure is a space group with its Wyckoff positions and the elements on them; free
parameters and cell lengths are left out (Goodall et al., Sci. Adv. 8, eabn4117 (2022)).
"""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import spglib
from jaxtyping import Bool, Int64, UInt64

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.run.files import file_of_package
from gnomon.structure.hashes import scramble
from gnomon.structure.oblique import basis_changes
from gnomon.structure.surroundings import surroundings
from gnomon.structure.symmetry import SYMPREC

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
        amounts: (m,), atoms of each element in the cell that was given.
        conventional_atoms: atoms in the conventional cell; 0 where spglib finds no symmetry.
    """

    space_group: int
    origin: np.uint64
    elements: Int64[np.ndarray, " m"]
    orbits: tuple[Int64[np.ndarray, " _"], ...]
    amounts: Int64[np.ndarray, " m"]
    conventional_atoms: int

    def keys(self, replaced: Int64[np.ndarray, "k m"]) -> UInt64[np.ndarray, " k"]:
        """64-bit keys of the crystals in which element j has become ``replaced[:, j]``.

        A key is a sum of hashes of (element, letter) over the orbits, so two elements that become
        one count as one; of the equivalent ways to letter a space group the smallest key is taken.
        What stands for two elements on one kind of sites is a ``mixture``.
        """
        hashes = _orbit_hashes()
        smallest = np.full(len(replaced), np.iinfo(np.uint64).max, np.uint64)
        for relabelled in distinct_relabellings(self.space_group, self.orbits):
            total = np.full(len(replaced), self.origin)
            for column, letters in zip(replaced.T, self.orbits, strict=True):
                total += hashes[:, relabelled[letters]].sum(axis=1, dtype=np.uint64)[column]
            smallest = np.minimum(smallest, scramble(total))
        return smallest


def distinct(
    crystal: Crystals, replaced: Int64[np.ndarray, "k m"]
) -> tuple[Bool[np.ndarray, " k"], UInt64[np.ndarray, " k"]]:
    """Which replacements of one crystal's elements differ, and keys to compare with others'.

    Replacements that share a protostructure are one crystal only if their atoms have the same
    surroundings: two elements may stand on different sites with the same letter.  Those that
    differ get further keys, so that the second of them is compared with the second of another
    crystal.

    Args:
        crystal: a batch of one.
        replaced: what each of its elements, ascending, becomes.
    """
    keys = protostructure(crystal).keys(replaced)
    kept = np.ones(len(keys), bool)
    _, place, times = np.unique(keys, return_inverse=True, return_counts=True)
    shared = np.flatnonzero(times[place] > 1)
    if not len(shared):
        return kept, keys
    _, kind = np.unique(crystal.atomic_numbers, return_inverse=True)
    near = surroundings(crystal).keys(replaced[shared][:, kind])
    known: dict[int, list[int]] = {}
    for i, around in zip(shared.tolist(), near.tolist(), strict=True):
        others = known.setdefault(int(keys[i]), [])
        kept[i] = around not in others
        for _ in others:
            keys[i : i + 1] = scramble(keys[i : i + 1])
        if kept[i]:
            others.append(around)
    return kept, keys


def mixture(
    first: Int64[np.ndarray, "*shape"], second: Int64[np.ndarray, "*shape"]
) -> Int64[np.ndarray, "*shape"]:
    """A number beyond those of the elements for two of them, whichever comes first."""
    return (MAX_Z + 1) * (1 + np.minimum(first, second)) + np.maximum(first, second)


def protostructure(crystal: Crystals, symprec: float = SYMPREC) -> Protostructure:
    """Wyckoff positions of one crystal (a batch of one)."""
    lattice, numbers, frac_coords = crystal.arrays(0)
    found, amounts = np.unique(numbers, return_counts=True)
    elements = found.astype(np.int64)
    try:
        dataset = spglib.get_symmetry_dataset((lattice, frac_coords, numbers), symprec=symprec)
    except spglib.error.SpglibError:
        dataset = None
    if dataset is None:
        orbits = tuple(np.zeros(int((numbers == z).sum()), np.int64) for z in elements)
        origin = _hash(int(crystal.ids[0][:16], 16))
        return Protostructure(0, origin, elements, orbits, amounts, 0)
    _, firsts = np.unique(dataset.crystallographic_orbits, return_index=True)
    letters = np.array([LETTERS.index(dataset.wyckoffs[i]) for i in firsts], dtype=np.int64)
    orbits = tuple(letters[numbers[firsts] == z] for z in elements)
    number, atoms = int(dataset.number), len(dataset.std_types)
    return Protostructure(number, _hash(number), elements, orbits, amounts, atoms)


@cache
def relabellings(space_group: int) -> Int64[np.ndarray, "r 27"]:
    """All letterings that differ by the choice of origin or axes.

    Those of pymatgen's table, and the changes of basis of oblique groups, which it lacks.
    """
    rows = {tuple(range(len(LETTERS)))}
    if space_group == 0:
        return np.array(list(rows))
    generators = [*_tabulated(space_group), *basis_changes(space_group)]
    steps = [_row(mapping) for mapping in generators]
    waiting = list(rows)
    while waiting:
        row = waiting.pop()
        for step in steps:
            product = tuple(step[letter] for letter in row)
            if product not in rows:
                rows.add(product)
                waiting.append(product)
    return np.array(sorted(rows))


def distinct_relabellings(
    space_group: int, orbits: Iterable[Int64[np.ndarray, " _"]]
) -> Int64[np.ndarray, "r 27"]:
    """Letterings that differ on the letters of these orbits: one of a thousand, as a rule."""
    every = relabellings(space_group)
    used = np.unique(np.concatenate(list(orbits)))
    _, firsts = np.unique(every[:, used], axis=0, return_index=True)
    return every[firsts]


def _row(mapping: Mapping[str, str]) -> list[int]:
    row = list(range(len(LETTERS)))
    for old, new in mapping.items():
        row[LETTERS.index(old)] = LETTERS.index(new)
    return row


def _tabulated(space_group: int) -> list[dict[str, str]]:
    """pymatgen's table: what letters become under shifts of the origin and changes of axes."""
    packed = file_of_package(
        "pymatgen.analysis.prototypes", "wyckoff-position-relabelings.json.gz"
    ).read_bytes()
    mappings = json.loads(gzip.decompress(packed))[str(space_group)]
    return [{chr(int(old)): new for old, new in mapping.items()} for mapping in mappings]


@cache
def _orbit_hashes() -> UInt64[np.ndarray, "kinds 27"]:
    """A hash for an orbit of each element, or mixture of two, on each letter."""
    last = mixture(np.array([MAX_Z]), np.array([MAX_Z]))
    pairs = np.arange(last[0] + 1)[:, None] * 32 + np.arange(len(LETTERS))
    return scramble(pairs.astype(np.uint64))


def _hash(number: int) -> np.uint64:
    return scramble(np.array([number], np.uint64))[0]

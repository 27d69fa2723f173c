"""What a frame of extended XYZ says twice: held against itself and against what was built."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from gnomon.elements import MASSES, SYMBOLS
from gnomon.io.document_claims import MASS
from gnomon.io.reasons import Reason, UnusableError, contradiction
from gnomon.io.records import Content

APART = 0.05
"""Å by which positions that are given twice may differ."""

SPECIES = ("species", "symbols", "symbol", "element", "elements")
NUMBERS = ("Z", "numbers", "atomic_numbers")
POSITIONS = ("pos", "positions")
FRACTIONS = ("scaled_positions", "scaled_pos", "frac_pos", "frac_coords", "fpos", "spos")
MASS_COLUMNS = ("mass", "masses")

# each in one pass over a line of any length: keys begin at a space, brackets end at the next one
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|\{[^{}]*\}|\[[^\[\]]*\]")
_KEY = re.compile(r"(?<!\S)([^\s=]++)\s*=")
_PAIR = re.compile(r"(?<!\S)([^\s=]++)\s*=\s*(\"[^\"]*\"|\S+)")
_PROPERTIES = re.compile(r"\bProperties\s*=\s*\"?([^\s\"]+)")
_CELL = re.compile(r"\b(Lattice|cell|lattice|unit_cell|cell_vectors)\s*=\s*\"([^\"]*)\"")
_OURS = re.compile(r"(ev|å|a|ang|angstroms?|atom|cell|per|metal|ase|[/*^\d\s,;:()\[\]{}\"'-])*")
"""Units that are read; LAMMPS calls them metal."""


def check_comment(comment: str) -> None:
    """Refuse keys that are given twice, cells that differ, and units that are not read.

    Raises:
        UnusableError: naming the key.
    """
    keys = Counter(_KEY.findall(_QUOTED.sub("x", comment)))
    if twice := [key for key, n in keys.items() if n > 1]:
        raise contradiction(f"{twice[0]} is given twice")
    for key, value in _PAIR.findall(comment):
        said = value.lower() if "unit" in key.lower() and key.lower() != "unit_cell" else ""
        if not _OURS.fullmatch(said):
            raise contradiction(f"{key} is {value}: energies in eV and lengths in Å are read")
    cells = [(key, value.split()) for key, value in _CELL.findall(comment)]
    nine = [(key, np.array(value, float)) for key, value in cells if len(value) == 9]
    for key, cell in nine[1:]:
        if not np.allclose(cell, nine[0][1], atol=1e-3):
            raise contradiction(f"{nine[0][0]} and {key} are two cells")


def check_columns(comment: str, lines: Sequence[str], found: Content) -> None:
    """Hold columns that say a thing twice against what was built, each atom of it.

    Raises:
        UnusableError: where elements or positions differ, or no column holds positions.
    """
    properties = _PROPERTIES.search(comment)
    if properties is None:
        return
    columns = dict(_columns(properties[1]))
    if len(columns) < 2 or not columns.keys() & set(POSITIONS):
        raise UnusableError(Reason.incomplete, "no column pos of positions")
    rows = [line.split() for line in lines[: len(found.atomic_numbers)]]

    def values(name: str) -> list[list[str]]:
        start, width = columns[name]
        return [row[start : start + width] for row in rows]

    symbols = [SYMBOLS[z] for z in found.atomic_numbers]
    for name in columns.keys() & {*SPECIES, *NUMBERS, *MASS_COLUMNS}:
        for (text,), symbol in zip(values(name), symbols, strict=False):
            z = SYMBOLS.index(symbol)
            if name in SPECIES and text.capitalize() not in (symbol, *_HEAVY.get(symbol, ())):
                raise contradiction(f"{name} is {text} where the element is {symbol}")
            if name in NUMBERS and float(text) != z:
                raise contradiction(f"{name} is {text} where the element is {symbol}")
            if name in MASS_COLUMNS and abs(float(text) - MASSES[z]) > MASS:
                warnings.warn(f"{name} of {symbol} is {text}", stacklevel=1)
                break
    for name in columns.keys() & {*POSITIONS, *FRACTIONS}:
        if columns[name][1] != 3:
            continue
        frac = np.array(values(name), float)
        if name in POSITIONS:
            frac = np.linalg.solve(found.lattice.T, frac.T).T
        apart = frac - found.frac_coords
        if (np.linalg.norm((apart - np.rint(apart)) @ found.lattice, axis=1) > APART).any():
            raise contradiction(f"the positions of {name} are others")


_HEAVY = {"H": ("D", "T")}


def _columns(properties: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """First column and width by name."""
    words, start = properties.split(":"), 0
    for name, _, width in zip(words[::3], words[1::3], words[2::3], strict=False):
        yield name, (start, int(width))
        start += int(width)

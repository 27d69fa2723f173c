"""POSCAR and CONTCAR, through pymatgen; the counts must fit the length of the file."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import BufferedReader
from itertools import dropwhile, takewhile

import numpy as np
from jaxtyping import Float64

from gnomon.elements import SYMBOLS
from gnomon.io.objects import element_number, structure_content
from gnomon.io.reasons import Reason, UnusableError, contradiction
from gnomon.io.records import Content, Limits, Record, record
from gnomon.io.sources import text

_EXPONENT = re.compile(r"(?<=[\d.])[dD](?=[-+]?\d)")
"""Of numbers as Fortran writes them."""

SHARE = 100
"""A POSCAR may have one in so many of ``max_bytes``: it is one crystal."""


def records(source: str, data: BufferedReader, limits: Limits) -> Iterator[Record]:
    """The one record of the file.  Velocities and selective dynamics are not read.

    A file without symbols (VASP 4) is rejected: pymatgen would make up elements for it.
    """
    document = text(data, limits, SHARE)
    yield record(source, partial(_parse, document, limits))


def _parse(document: str, limits: Limits) -> Content:
    from pymatgen.io.vasp import Poscar

    if not document.strip():
        raise UnusableError(Reason.empty, "an empty file")
    lines = [_EXPONENT.sub("e", line) for line in document.splitlines()]
    lines[1:7] = [re.split("[!#]", line)[0] for line in lines[1:7]]
    counts = _counts(lines)
    if sum(counts) > len(lines) or min(counts, default=0) < 0:
        raise UnusableError(
            Reason.unreadable, f"counts of {sum(counts)} atoms in a file of {len(lines)} lines"
        )
    if sum(counts) > limits.max_atoms:
        raise UnusableError(Reason.too_large, f"{sum(counts)} atoms (raise max_atoms to read it)")
    _check_symbols(lines, counts)
    # fractions do not depend on the scale, so that pymatgen need not know it
    document = "\n".join([lines[0], "1.0", *lines[2:]])
    poscar = Poscar.from_str(document, read_velocities=False)
    if not poscar.true_names:
        raise UnusableError(
            Reason.unknown_element,
            "no element symbols (VASP 4): add a line of symbols above the counts",
        )
    found = structure_content(poscar.structure)
    _check_positions(lines, found.atomic_numbers.tolist())
    return replace(found, lattice=found.lattice * _scale(lines[1], found.lattice))


def _check_symbols(lines: list[str], counts: list[int]) -> None:
    """Refuse a line of symbols that are no elements, or as many as the counts are not."""
    words = lines[5].split() if len(lines) > 5 and _integers(lines[5]) is None else []
    for word in words:
        symbol = re.fullmatch(r"([A-Z][a-z]?)(\d?[+-]\d?)?", re.split("[_/]", word)[0])
        if symbol is None:  # H.5 and H1.25 are fractional pseudohydrogens
            raise UnusableError(Reason.unknown_element, f"the symbol {word!r} names no element")
        element_number(symbol[1])
    if words and counts and len(words) != len(counts):
        raise contradiction(f"{len(words)} symbols stand above {len(counts)} counts")


def _check_positions(lines: list[str], numbers: list[int]) -> None:
    """Refuse symbols behind positions that are others, and more positions than counts."""
    start = next(i for i, line in enumerate(lines) if i > 4 and _integers(line)) + 1
    start += 2 if lines[start].strip()[:1] in ("s", "S") else 1
    rows = [line.split() for line in lines[start : start + len(numbers) + 1]]
    for row, number in zip(rows, numbers, strict=False):
        symbol = re.fullmatch(r"([A-Z][a-z]?)\d*", row[-1]) if len(row) in (4, 7) else None
        if symbol and symbol[1] in SYMBOLS and element_number(symbol[1]) != number:
            raise contradiction(f"a position is marked {row[-1]}, the counts make it another")
    after = rows[-1] if len(rows) > len(numbers) else []
    if after[:1] and after[0].lower() == "direct":
        warnings.warn("the file goes on: the first crystal is read", stacklevel=1)
    if len(after) >= 3 and all(re.fullmatch(r"[-+.\deE]*\d\S*", word) for word in after[:3]):
        raise contradiction(f"there are more positions than the {len(numbers)} of the counts")


def _scale(line: str, lattice: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "..."]:
    """The scale of the vectors; negative: minus a volume; three, since VASP 6: of x, y and z.

    Raises:
        UnusableError: for anything else.
    """
    words = line.split()
    try:
        given = np.array([float(word) for word in words[: 3 if len(words) >= 3 else 1]])
    except ValueError:
        given = np.zeros(0)
    if len(given) == 1 and given[0] < 0:
        return np.cbrt(-given / abs(np.linalg.det(lattice)))
    if not len(given) or not (given > 0).all():
        raise UnusableError(Reason.unreadable, f"the scale {line.strip()!r} is no positive number")
    return given


def _counts(lines: list[str]) -> list[int]:
    """Atoms of each species: the first run of integer lines from the sixth line on."""
    rest = dropwhile(lambda line: _integers(line) is None, lines[5:])
    rows = takewhile(lambda row: row is not None, map(_integers, rest))
    return [count for row in rows if row is not None for count in row]


def _integers(line: str) -> list[int] | None:
    try:
        return [int(word) for word in line.split()] or None
    except ValueError:
        return None

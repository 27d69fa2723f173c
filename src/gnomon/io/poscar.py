"""POSCAR and CONTCAR, through pymatgen; the counts must fit the length of the file."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import BufferedReader

import numpy as np
from jaxtyping import Float64

from gnomon.elements import SYMBOLS
from gnomon.io.claims import Claims, Formula
from gnomon.io.objects import element_number, structure_content
from gnomon.io.plausible import look_at_fractions
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
    symbols, counts, after = _species(lines)
    if sum(counts) > len(lines) or min(counts, default=0) < 0:
        raise UnusableError(
            Reason.unreadable, f"counts of {sum(counts)} atoms in a file of {len(lines)} lines"
        )
    if sum(counts) > limits.max_atoms:
        raise UnusableError(Reason.too_large, f"{sum(counts)} atoms (raise max_atoms to read it)")
    if not symbols:
        raise UnusableError(
            Reason.unknown_element,
            "no element symbols (VASP 4): add a line of symbols above the counts",
        )
    names = [_symbol(word) for word in symbols]
    if len(names) != len(counts):
        raise contradiction(f"{len(names)} symbols stand above {len(counts)} counts")
    start = _positions(lines, after)
    # fractions do not depend on the scale, so that pymatgen need not know it
    head = [lines[0], "1.0", *lines[2:5], " ".join(names), " ".join(map(str, counts))]
    text_of_one = "\n".join([*head, *lines[after:]])
    found = structure_content(Poscar.from_str(text_of_one, read_velocities=False).structure)
    _check_positions(lines[start:], found.atomic_numbers.tolist())
    _check_comment(lines[0], found)
    if lines[start - 1].strip()[:1].lower() not in ("c", "k"):
        look_at_fractions(found.frac_coords)
    return replace(found, lattice=found.lattice * _scale(lines[1], found.lattice))


def _species(lines: list[str]) -> tuple[list[str], list[int], int]:
    """Symbols, counts, and the number of the line behind them; either may take several lines."""
    symbols: list[str] = []
    counts: list[int] = []
    for number, line in enumerate(lines[5:], 5):
        whole = _integers(line)
        if whole is None and not counts:
            symbols += line.split()
        elif whole is None or len(counts) >= max(len(symbols), 1):
            return symbols, counts, number
        else:
            counts += whole
    return symbols, counts, len(lines)


def _symbol(word: str) -> str:
    """The element of a symbol such as ``Na_pv/hash``, ``O2-``, or ``NA``.

    Raises:
        UnusableError: if it names none.
    """
    found = re.fullmatch(r"([A-Za-z]{1,2})(\d?[+-]\d?)?", re.split("[_/]", word)[0])
    if found is None:  # H.5 and H1.25 are fractional pseudohydrogens
        raise UnusableError(Reason.unknown_element, f"the symbol {word!r} names no element")
    symbol = found[1].capitalize()
    element_number(symbol)
    if symbol != found[1]:
        warnings.warn(f"the symbol {word!r} is read as {symbol}", stacklevel=1)
    return symbol


def _positions(lines: list[str], after: int) -> int:
    """The number of the first line of positions.

    Raises:
        UnusableError: where no line says of which kind they are.
    """
    start = after + (lines[after : after + 1] != [] and lines[after].strip()[:1] in ("s", "S"))
    mode = lines[start].strip() if start < len(lines) else ""
    if _is_position(mode.split()):
        detail = "no line says whether positions are Direct or Cartesian: it stands above them"
        raise UnusableError(Reason.unreadable, detail)
    if mode[:1].lower() not in ("d", "f", "c", "k"):
        warnings.warn(f"positions under {mode!r} are taken as Direct, as VASP does", stacklevel=1)
    return start + 1


def _check_positions(lines: list[str], numbers: list[int]) -> None:
    """Refuse symbols behind positions that are others, and more positions than counts."""
    rows = [line.split() for line in lines[: len(numbers) + 1]]
    for row, number in zip(rows, numbers, strict=False):
        symbol = re.fullmatch(r"([A-Z][a-z]?)\d*", row[-1]) if len(row) in (4, 7) else None
        if symbol and symbol[1] in SYMBOLS and element_number(symbol[1]) != number:
            raise contradiction(f"a position is marked {row[-1]}, the counts make it another")
    after = rows[-1] if len(rows) > len(numbers) else []
    if after[:1] and after[0].lower() == "direct":
        warnings.warn("the file goes on: the first crystal is read", stacklevel=1)
    if _is_position(after):
        raise contradiction(f"there are more positions than the {len(numbers)} of the counts")


def _is_position(words: list[str]) -> bool:
    return len(words) >= 3 and all(re.fullmatch(r"[-+.\deE]*\d\S*", word) for word in words[:3])


def _check_comment(comment: str, found: Content) -> None:
    """Warn of a first line that is a formula, and not that of the atoms."""
    formula = Formula.parse(comment)
    if formula is None or len(formula.amounts) < 2:
        return
    try:
        Claims(formula).check(found.lattice, found.atomic_numbers)
    except UnusableError as error:
        warnings.warn(f"the first line is {comment.strip()!r}: {error.detail}", stacklevel=1)


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


def _integers(line: str) -> list[int] | None:
    try:
        return [int(word) for word in line.split()] or None
    except ValueError:
        return None

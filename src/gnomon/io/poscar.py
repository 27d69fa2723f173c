"""POSCAR and CONTCAR, through pymatgen; the counts must fit the length of the file."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import BufferedReader
from itertools import dropwhile, takewhile

import numpy as np
from jaxtyping import Float64

from gnomon.io.objects import structure_content
from gnomon.io.reasons import Reason, UnusableError
from gnomon.io.records import Content, Limits, Record, record
from gnomon.io.sources import text


def records(source: str, data: BufferedReader, limits: Limits) -> Iterator[Record]:
    """The one record of the file.  Velocities and selective dynamics are not read.

    A file without symbols (VASP 4) is rejected: pymatgen would make up elements for it.
    """
    document = text(data, limits)
    yield record(source, partial(_parse, document, limits))


def _parse(document: str, limits: Limits) -> Content:
    from pymatgen.io.vasp import Poscar

    if not document.strip():
        raise UnusableError(Reason.empty, "an empty file")
    lines = document.splitlines()
    counts = _counts(lines)
    if sum(counts) > len(lines) or min(counts, default=0) < 0:
        raise UnusableError(
            Reason.unreadable, f"counts of {sum(counts)} atoms in a file of {len(lines)} lines"
        )
    if sum(counts) > limits.max_atoms:
        raise UnusableError(Reason.too_large, f"{sum(counts)} atoms (raise max_atoms to read it)")
    # fractions do not depend on the scale, so that pymatgen need not know it
    document = "\n".join([lines[0], "1.0", *lines[2:]])
    poscar = Poscar.from_str(document, read_velocities=False)
    if not poscar.true_names:
        raise UnusableError(
            Reason.unknown_element,
            "no element symbols (VASP 4): add a line of symbols above the counts",
        )
    found = structure_content(poscar.structure)
    return replace(found, lattice=found.lattice * _scale(lines[1], found.lattice))


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

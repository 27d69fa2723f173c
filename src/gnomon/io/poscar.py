"""POSCAR and CONTCAR, through pymatgen; the counts must fit the length of the file."""

from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from itertools import dropwhile, takewhile

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
    poscar = Poscar.from_str(document, read_velocities=False)
    if not poscar.true_names:
        raise UnusableError(
            Reason.unknown_element,
            "no element symbols (VASP 4): add a line of symbols above the counts",
        )
    return structure_content(poscar.structure)


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

"""Extended XYZ, frame by frame through ASE, in bounded memory; damage ends a frame, no file."""

import io
import re
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64

from gnomon.io.document_claims import check_facts
from gnomon.io.extxyz_claims import check_columns, check_comment
from gnomon.io.objects import atoms_content
from gnomon.io.reasons import Reason, UnusableError
from gnomon.io.records import Content, Facts, Limits, Record, record, rejected, shaped

MAX_LINE = 1_000_000
"""Bytes of a line; a comment line may hold long lists."""

MAX_COLUMNS = 1_000
"""Values of an atom line: ASE makes a type of each before it reads the first."""

GIVE_UP = 100
"""Damaged or empty frames in a row after which the rest of a file is left: it is something else."""

ID_KEYS = ("source_id", "material_id", "mp_id", "mptrj_snapshot_id", "mptrj_traj_id", "id")
"""Keys of the comment line that name the frame, the best first."""

VIRIALS = ("virial", "virials")
"""Keys of a virial, eV."""

_SIX = re.compile(r'\b(?P<key>stress|virials?)="(?P<numbers>[^"]*)"')
_HEADER = re.compile(r"\b(Lattice|Properties|pbc)\s*=")


def records(source: str, data: io.BufferedReader, limits: Limits) -> Iterator[Record]:
    """A record for each frame, named ``source#index``.

    After a damaged frame, reading goes on at the next line that is a count followed by a comment
    with Lattice or Properties.  D and T in the first column are read as H.
    """
    lines = _Lines(data)
    index = damaged = 0
    while (count := lines.next()) is not None:
        if not count.strip():
            continue
        name = f"{source}#{index}"
        index += 1
        if damaged == GIVE_UP:
            detail = f"{GIVE_UP} damaged or empty frames in a row: the rest is not read"
            yield rejected(name, Reason.unreadable, detail)
            return
        damaged += 1
        frame = _frame(lines, count, limits)
        if isinstance(frame, UnusableError):
            yield rejected(name, frame.reason, frame.detail)
            lines.resynchronise()
            continue
        found = record(name, partial(_parse, frame))
        if found.content is None:
            lines.push_back(frame[1:])
            lines.resynchronise(len(frame) - 1)
        if found.reason not in (Reason.unreadable, Reason.empty):
            damaged = 0
        yield found
    if index == 0:
        yield rejected(source, Reason.empty, "no frames")


def _frame(lines: "_Lines", count: str, limits: Limits) -> list[str] | UnusableError:
    """The lines of one frame."""
    try:
        n_atoms = int(count)
    except ValueError:
        return UnusableError(Reason.unreadable, f"{count.strip()[:80]!r} is no number of atoms")
    if n_atoms > limits.max_atoms:
        return UnusableError(Reason.too_large, f"{n_atoms} atoms (raise max_atoms to read it)")
    if n_atoms < 0:
        return UnusableError(Reason.unreadable, f"{n_atoms} atoms")
    frame = [count]
    while len(frame) < n_atoms + 2 and (line := lines.next()) is not None:
        frame.append(line)
    return frame


def _parse(frame: list[str]) -> Content:
    from ase.io.extxyz import read_xyz

    if int(frame[0]) == 0:
        raise UnusableError(Reason.empty, "a frame of no atoms")
    if len(frame) < int(frame[0]) + 2:
        raise UnusableError(
            Reason.unreadable, f"the file ends in a frame of {frame[0].strip()} atoms"
        )
    check_comment(frame[1])
    atoms_lines = [re.sub(r"^(\s*)[DT](?=\s)", r"\1H", line) for line in frame[2:]]
    document = io.StringIO("".join([*frame[:2], *atoms_lines]))

    try:
        (atoms,) = read_xyz(document, index=slice(None), properties_parser=_keys)
    except KeyError as error:
        if re.fullmatch("[A-Z][a-z]{0,2}", str(error.args[0])):  # ASE's word for a wrong symbol
            raise UnusableError(
                Reason.unknown_element, f"{error.args[0]!r} is no element"
            ) from error
        raise
    names = (str(atoms.info[key]) for key in ID_KEYS if key in atoms.info)
    results = {} if atoms.calc is None else atoms.calc.results
    found = shaped(atoms_content(atoms, next(names, None), _facts(atoms)))
    check_columns(frame[1], atoms_lines, found)
    check_facts({**atoms.info, **results}, found)
    return replace(found, labels={**atoms.arrays, **atoms.info, **results})


def matrix(numbers: Any) -> Float64[np.ndarray, "3 3"]:
    """A stress or a virial of 9 numbers, or of 6 in Voigt's order."""
    given = np.asarray(numbers, np.float64).reshape(-1)
    if len(given) == 6:
        given = given[[0, 5, 4, 5, 1, 3, 4, 3, 2]]  # xx yy zz yz xz xy
    return given.reshape(3, 3)


def _keys(comment: str) -> dict[str, Any]:
    """ASE's reading of the comment line, refused if it asks for more columns than there can be.

    ASE takes a stress of nine numbers only.
    """
    from ase.io.extxyz import key_val_str_to_dict

    def nine(found: re.Match[str]) -> str:
        values = found["numbers"].split()
        if len(values) == 6:
            values = list(map(repr, matrix(values).ravel().tolist()))
        elif len(values) == 9 and not np.allclose(given := matrix(values), given.T, 0.01, 1e-3):
            warnings.warn(f"the {found['key']} is not symmetric", stacklevel=1)
        return f'{found["key"]}="{" ".join(values)}"'

    values: dict[str, Any] = key_val_str_to_dict(_SIX.sub(nine, comment))
    columns = str(values.get("Properties", "")).split(":")[2::3]
    if sum(map(int, columns)) > MAX_COLUMNS:
        raise UnusableError(Reason.too_large, f"over {MAX_COLUMNS} columns")
    return values


def _facts(atoms: Any) -> Facts:
    info = dict(atoms.info)
    if "energy_per_atom" not in info and atoms.calc is not None and "energy" in atoms.calc.results:
        info["energy_per_atom"] = atoms.calc.results["energy"] / len(atoms)
    return Facts.of(info)


class _Lines:
    """Lines of a stream with a way back, so that a damaged frame cannot hide the next one."""

    def __init__(self, data: io.BufferedReader) -> None:
        self._data = data
        self._again: deque[str] = deque()

    def next(self) -> str | None:
        """The next line, None at the end.

        Raises:
            UnusableError: if it is longer than ``MAX_LINE``.
        """
        if self._again:
            return self._again.popleft()
        line = self._data.readline(MAX_LINE)
        if len(line) == MAX_LINE:
            raise UnusableError(Reason.unreadable, f"a line of over {MAX_LINE} bytes")
        return line.decode("utf-8", errors="replace") if line else None

    def push_back(self, lines: list[str]) -> None:
        """Put lines back, to be read again."""
        self._again.extendleft(reversed(lines))

    def resynchronise(self, within: int | None = None) -> None:
        """Skip to the next frame: a count, then a comment with the keys of extended XYZ.

        ``within``: look only through so many lines (those of the damaged frame).
        """
        before = None
        skipped = 0
        while (line := self.next()) is not None:
            if before is not None and before.strip().isdecimal() and _HEADER.search(line):
                self.push_back([before, line])
                return
            skipped += 1
            before = line
            if within is not None and skipped > within:
                self.push_back([line])
                return

"""CIF, through pymatgen: symmetry expanded, several blocks a file, sizes checked first."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from io import BufferedReader
from typing import Any

from gnomon.io.objects import structure_content
from gnomon.io.reasons import Reason, UnusableError
from gnomon.io.records import Content, Limits, Record, record
from gnomon.io.sources import text

MAX_LINE = 20_000
"""Characters of a line; CIF 1.1 allows 2,048.  pymatgen's time grows with the square."""

MAX_QUOTES = 200
"""Quotation marks on a line: pymatgen's search for the closing one starts anew at each."""

COPIES_PER_ATOM = 5
"""Sites times symmetry operations may exceed ``max_atoms`` this many times: special positions
coincide.  pymatgen's time grows with the square (measured: 9,600 copies take 5 s)."""

_COORDINATES = ("_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z")
_OPERATIONS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_CODES = ("_cod_database_code", "_database_code_ICSD", "_database_code_CSD", "_cod_data_block")

LARGEST_GROUP = 192
"""Operations of Fm-3m and its kin, centring included."""


def records(source: str, data: BufferedReader, limits: Limits) -> Iterator[Record]:
    """A record for each data block.

    Blocks without cell and atoms (journals put authors into them) are no records, unless there is
    nothing else.  Deuterium and tritium are read as hydrogen.
    """
    blocks = _blocks(text(data, limits))
    crystals = [b for b in blocks if re.search(r"(?im)^\s*_(cell_length|atom_site)_", b)]
    chosen = crystals or [""]
    for i, block in enumerate(chosen):
        name = source if len(chosen) == 1 else f"{source}#{i}"
        yield record(name, partial(_parse, block, limits))


def _blocks(document: str) -> list[str]:
    # over blank lines, the patterns here and in pymatgen take time that grows with the square
    lines = "\n".join(line for line in document.splitlines() if line.strip())
    # pymatgen splits in the same way, but keeps one block only of those with equal names
    parts = re.split(r"^\s*data_", "\n" + lines, flags=re.MULTILINE)
    return ["data_" + part for part in parts[1:]]


def _parse(block: str, limits: Limits) -> Content:
    from pymatgen.io.cif import CifFile, CifParser

    if not block:
        raise UnusableError(Reason.empty, "no data block with a cell or atoms")
    for line in block.splitlines():
        if len(line) > MAX_LINE or line.count("'") + line.count('"') > MAX_QUOTES:
            raise UnusableError(
                Reason.unreadable, f"a line of {len(line)} characters or too many quotation marks"
            )
    parsed = list(CifFile.from_str(block).data.values())
    if len(parsed) != 1:
        raise UnusableError(
            Reason.unreadable, "powder data, or no data block that pymatgen accepts"
        )
    tags: dict[str, Any] = parsed[0].data
    _check_tags(tags)
    # rounding 0.6667 to 2/3 serves symmetry operations; without any, it would only move atoms
    rounding = {} if _listed(tags) != 1 else {"frac_tolerance": 0.0}
    parser = CifParser.from_str(block, **rounding)
    _check_size(tags, lambda: len(parser.get_symops(parsed[0])), limits)
    structures = parser.parse_structures(primitive=False, on_error="raise")
    if len(structures) != 1:
        raise UnusableError(Reason.empty, "no atoms in the block")
    if any("implicit hydrogens" in note for note in parser.warnings):
        raise UnusableError(Reason.incomplete, "hydrogen atoms are implied, without positions")
    codes = [str(tags[c]) for c in _CODES if tags.get(c)]
    return structure_content(structures[0], source_id=(codes or [parsed[0].header])[0] or None)


def _check_tags(tags: dict[str, Any]) -> None:
    """Refuse what pymatgen would read amiss: it drops sites and takes a missing number for 0."""
    from pymatgen.core import Element

    if not any(tag.startswith("_cell_length_") for tag in tags):
        raise UnusableError(Reason.missing_lattice, "no cell lengths in the block")
    if not all(isinstance(tags.get(tag), list) for tag in (*_COORDINATES, "_atom_site_label")):
        raise UnusableError(Reason.empty, "no loop of atom sites with labels and coordinates")
    unknown = [v for tag in _COORDINATES for v in tags[tag] if v in (".", "?")]
    if unknown:
        raise UnusableError(Reason.incomplete, f"{len(unknown)} coordinates are not given")
    for symbol in tags.get("_atom_site_type_symbol") or tags["_atom_site_label"]:
        if re.match("OH|NO3|[Ww]at", symbol):
            raise UnusableError(Reason.incomplete, f"the site {symbol!r} stands for several atoms")
        if not (
            Element.is_valid_symbol(symbol[:2].title())
            or Element.is_valid_symbol(symbol[:1].upper())
            or re.match("w?[A-Z]", symbol)
        ):
            raise UnusableError(Reason.unknown_element, f"the site {symbol!r} names no element")


def _check_size(tags: dict[str, Any], n_operations: Callable[[], int], limits: Limits) -> None:
    sites = len(tags["_atom_site_label"])
    listed = _listed(tags)
    most = COPIES_PER_ATOM * limits.max_atoms
    copies = sites * max(listed, 1)
    if sites <= limits.max_atoms and not listed and sites * LARGEST_GROUP > most:
        copies = sites * n_operations()  # of the space group that is named
    if sites > limits.max_atoms or copies > most:
        raise UnusableError(
            Reason.too_large,
            f"{sites} sites, {copies} copies by symmetry (raise max_atoms to read it)",
        )


def _listed(tags: dict[str, Any]) -> int:
    """Symmetry operations that the block lists, 0 if it only names its group (or is silent)."""
    values = [v for k, v in tags.items() if k.startswith(_OPERATIONS)]
    return max((len(v) if isinstance(v, list) else 1 for v in values), default=0)

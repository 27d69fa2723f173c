"""The values of a CIF block under the tags that are read, and single ones of them."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import gemmi
import numpy as np

from gnomon.io.reasons import Reason, UnusableError, contradiction
from gnomon.io.records import Limits
from gnomon.io.settings import MOST

Tags = Mapping[str, list[str]]
"""Values by lower-case tag, null values empty; single ones are lists of one."""

READ = (
    "_atom_site_",
    "_atom_type_",
    "_cell_",
    "_chemical_formula",
    "_cod_",
    "_database_code_",
    "_diffrn_radiation_",
    "_exptl_crystal",
    "_geom_bond_",
    "_space_group",
    "_symmetry",
)
"""How the tags begin that are read."""

_ONCE = re.compile("_cell_(length|angle)|_symmetry|_space_group|_chemical_formula")


def tags_of(block: Any, limits: Limits) -> Tags:
    """What of a block is read; lists of reflections, say, are passed over.

    Raises:
        UnusableError: for a list that is longer than any of atoms or operations may be, and for a
            tag that is given twice, in capitals or with a dot, and differs.
    """

    def plain(value: str) -> str:
        return "" if gemmi.cif.is_null(value) else str(gemmi.cif.as_string(value)).strip()

    tags: dict[str, list[str]] = {}

    def put(tag: str, values: list[str]) -> None:
        if tags.setdefault(tag, values) != values and (_ONCE.match(tag) or "fract" in tag):
            raise contradiction(f"{tag} is given twice: {tags[tag][:3]} and {values[:3]}")

    for item in block:
        if item.pair is not None:
            put(_name(item.pair[0]), [plain(item.pair[1])])
        elif item.loop is not None:
            names = list(map(_name, item.loop.tags))
            wanted = [i for i, name in enumerate(names) if name.startswith(READ)]
            if wanted and item.loop.length() > max(limits.max_atoms, MOST):
                if names[0].startswith("_geom_"):
                    continue
                detail = f"{item.loop.length()} rows of {names[wanted[0]]} (raise max_atoms)"
                raise UnusableError(Reason.too_large, detail)
            values = item.loop.values if wanted else []
            for i in wanted:
                put(names[i], [plain(v) for v in values[i :: len(names)]])
    return tags


def _name(tag: str) -> str:
    return tag.lower().replace(".", "_")


def one(tags: Tags, *names: str) -> str:
    """The first value that is given under one of these tags."""
    return next((tags[name][0] for name in names if tags.get(name) and tags[name][0]), "")


def number(tags: Tags, *names: str) -> float | None:
    """The first number under one of these tags; None where there is none above 0."""
    given = one(tags, *names)
    value = as_number(given or "?")
    if np.isfinite(value) and value > 0:
        return value
    if given:
        warnings.warn(f"{names[0]} is {given!r}, no number above 0", stacklevel=1)
    return None


def as_number(value: str) -> float:
    """A number with or without an uncertainty behind it, ``5.64(1)``; NaN for anything else."""
    return float(gemmi.cif.as_number(value))

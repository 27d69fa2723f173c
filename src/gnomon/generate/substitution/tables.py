"""Tables of substitution weights as JSON files, with where they come from; the one in the package.

The numbers of a table: ``species`` (names of ions), ``pairs`` (rows of two positions in ``species``
and lambda), ``unseen`` (lambda of all other pairs), ``provenance`` (free text and numbers).
"""

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.generate.substitution.model import SubstitutionModel, Variant, ion_name
from gnomon.run.files import write_atomically

FORMAT = "gnomon substitution table 1"

DIGITS = 3
"""Decimals of lambda in a file: a thousandth of a probability."""


@cache
def learned_model(variant: Variant = "gnome") -> SubstitutionModel:
    """The table in the package, learned from the Materials Project, with neutral species."""
    file = resources.files("gnomon.generate.substitution").joinpath("data/substitution.json")
    return _parse(json.loads(file.read_text("utf-8")), variant)


def write_table(path: Path, model: SubstitutionModel, provenance: dict[str, Any]) -> None:
    """Write a table; its most frequent weight is that of the pairs never seen.

    Raises:
        OSError: if the file cannot be written.
    """
    rounded = np.round(model.weights, DIGITS)
    values, times = np.unique(rounded, return_counts=True)
    unseen = float(values[times.argmax()])
    first, second = np.nonzero(np.triu(rounded != unseen))
    rows = [
        f"[{i},{j},{rounded[i, j]:g}]" for i, j in zip(first.tolist(), second.tolist(), strict=True)
    ]
    head = {"format": FORMAT, "provenance": provenance, "unseen": unseen}
    text = json.dumps(head, indent=1, ensure_ascii=False).rstrip("\n}")
    text += f',\n "species": {json.dumps(model.species)},\n "pairs": [\n{_lines(rows)}\n]}}\n'
    write_atomically(path, text.encode())


def read_table(path: Path, variant: Variant = "gnome") -> SubstitutionModel:
    """The table of a file.

    Raises:
        ValueError: if the file holds no table.
        OSError: if it cannot be read.
    """
    try:
        return _parse(json.loads(path.read_text("utf-8")), variant)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"{path} is no substitution table ({error}): `gnomon model train substitution` makes "
            "one"
        ) from error


def _lines(rows: list[str]) -> str:
    return ",\n".join(",".join(rows[i : i + 8]) for i in range(0, len(rows), 8))


def _parse(table: dict[str, Any], variant: Variant) -> SubstitutionModel:
    if table["format"] != FORMAT:
        raise ValueError(f"its format is {table['format']!r}, not {FORMAT!r}")
    species = tuple(ion_name(str(ion)) for ion in table["species"])
    weights = np.full((len(species), len(species)), float(table["unseen"]))
    rows = np.array(table["pairs"], dtype=np.float64).reshape(-1, 3)
    first, second = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    if rows.size and not (min(first.min(), second.min()) >= 0 and np.isfinite(rows).all()):
        raise ValueError("a row of pairs is not two positions and a number")
    weights[first, second] = weights[second, first] = rows[:, 2]
    return SubstitutionModel(species, weights, variant)

"""Vectors of elements, and of formulas by pooling those of their elements.

Tables of vectors come from ElementEmbeddings (Onwuli et al., Digital Discovery 2, 1558 (2023),
doi:10.1039/D3DD00121K; extra ``representations``), of which the data files alone are read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.elements import MAX_Z, SYMBOLS, present
from gnomon.represent import Card, Given, fractions_of
from gnomon.run.registry import options_of

Pool = Literal["mean", "weighted", "deviation", "min", "max", "range"]
"""How the vectors of the elements of a formula become one: over its elements alike (mean, min, max,
range), or weighted by their fractions (weighted mean, standard deviation)."""

POOLS: tuple[Pool, ...] = ("weighted", "deviation", "min", "max", "range")
"""Of Ward et al., npj Comput. Mater. 2, 16028 (2016), without the mode."""

ROWS = 4096
"""Formulas in work at a time."""


@dataclass(frozen=True, eq=False)
class ElementVectors:
    """One vector an element.

    Attributes:
        features: names of the d numbers.
        values: (119, d) by atomic number; NaN where there is no vector.
        about: what they are, in one line.
        source: where they are published.
    """

    features: tuple[str, ...]
    values: Float64[np.ndarray, "119 d"]
    about: str
    source: str

    @property
    def known(self) -> Bool[np.ndarray, " 119"]:
        """Elements that have a vector."""
        return np.isfinite(self.values).all(axis=1)


class Pooling(BaseModel):
    """How vectors of elements become one of a formula."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool: tuple[Pool, ...] = Field(default=POOLS, min_length=1)


@dataclass(frozen=True, eq=False)
class Pooled:
    """Vectors of elements pooled over formulas."""

    vectors: ElementVectors
    pools: tuple[Pool, ...] = POOLS

    @property
    def card(self) -> Card:
        """What the vectors are."""
        return Card(self.vectors.about, self.vectors.source, structure=False)

    @property
    def columns(self) -> tuple[str, ...]:
        """Each number of the vectors, pooled in each way."""
        return tuple(f"{pool}_{name}" for pool in self.pools for name in self.vectors.features)

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Pooled vectors; NaN for a formula with an element that has none."""
        fractions = fractions_of(given)
        parts = [
            self._rows(fractions[start : start + ROWS]) for start in range(0, len(fractions), ROWS)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.columns)))

    def _rows(self, fractions: Float64[np.ndarray, "n 119"]) -> Float64[np.ndarray, "n d"]:
        elements, weights = present(fractions)
        values, there = self.vectors.values[elements], weights > 0
        count = np.maximum(there.sum(axis=1), 1)[:, None]
        inside = np.where(there[..., None], values, 0.0)
        weighted = np.einsum("nk,nkd->nd", weights, inside)
        low = np.where(there[..., None], values, np.inf).min(axis=1, initial=np.inf)
        high = np.where(there[..., None], values, -np.inf).max(axis=1, initial=-np.inf)
        pooled: dict[str, Callable[[], Any]] = {
            "mean": lambda: inside.sum(axis=1) / count,
            "weighted": lambda: weighted,
            "deviation": lambda: np.sqrt(
                np.einsum("nk,nkd->nd", weights, (inside - weighted[:, None]) ** 2)
            ),
            "min": lambda: low,
            "max": lambda: high,
            "range": lambda: high - low,
        }
        known = there.any(axis=1) & (self.vectors.known[elements] | ~there).all(axis=1)
        with np.errstate(invalid="ignore"):
            rows = np.concatenate([pooled[pool]() for pool in self.pools], axis=1)
        return np.where(known[:, None], rows, np.nan)


# --- which there are ------------------------------------------------------------------------------

TABLES = {
    "magpie": (
        "magpie.csv",
        "22 properties of the elements (Magpie)",
        "Ward et al., npj Comput. Mater. 2, 16028 (2016), doi:10.1038/npjcompumats.2016.28",
    ),
    "oliynyk": (
        "oliynyk_preprocessed.csv",
        "44 properties of the elements (Oliynyk)",
        "Oliynyk et al., Chem. Mater. 28, 7324 (2016), doi:10.1021/acs.chemmater.6b02724",
    ),
    "mat2vec": (
        "mat2vec.csv",
        "200 numbers from words in abstracts (mat2vec)",
        "Tshitoyan et al., Nature 571, 95 (2019), doi:10.1038/s41586-019-1335-8",
    ),
    "skipatom": (
        "skipatom_20201009_induced.csv",
        "200 numbers from neighbours in crystals (SkipAtom)",
        "Antunes et al., npj Comput. Mater. 8, 44 (2022), doi:10.1038/s41524-022-00729-3",
    ),
    "megnet16": (
        "megnet16.json",
        "16 numbers that a graph network learned (MEGNet)",
        "Chen et al., Chem. Mater. 31, 3564 (2019), doi:10.1021/acs.chemmater.9b01294",
    ),
}
"""Names to files of ElementEmbeddings, what they are, and where they were published."""


def one_hot() -> ElementVectors:
    """Each element an axis of its own."""
    values = np.eye(MAX_Z + 1)
    values[0] = np.nan
    return ElementVectors(
        SYMBOLS[1:], values[:, 1:], "one axis an element", "https://doi.org/10.1039/D3DD00121K"
    )


def tabulated(name: str) -> ElementVectors:
    """Vectors of a table of ElementEmbeddings.

    Args:
        name: one of ``TABLES``.

    Raises:
        ValueError: if the extra ``representations`` is not installed.
    """
    file, about, source = TABLES[name]
    spec = find_spec("elementembeddings")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{name} needs ElementEmbeddings: pip install 'gnomon[representations]'")
    [package, *_] = spec.submodule_search_locations
    features, rows = _read(Path(package) / "data" / "element_representations" / file)
    values = np.full((MAX_Z + 1, len(features)), np.nan)
    for z, symbol in enumerate(SYMBOLS):
        if symbol in rows:
            values[z] = rows[symbol]
    return ElementVectors(features, values, about, source)


def _read(path: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of the numbers and the vectors by symbol, of either kind of file."""
    if path.suffix == ".json":
        rows = json.loads(path.read_text("utf-8"))
        return tuple(map(str, range(len(next(iter(rows.values())))))), rows
    with path.open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    return tuple(head[1:]), {line[0]: [float(x) for x in line[1:]] for line in lines if line}


def pooled(name: str, vectors: ElementVectors, options: Mapping[str, Any]) -> Pooled:
    """Vectors pooled as the options say.

    Raises:
        ValueError: for an option that does not exist or a way of pooling that there is not.
    """
    return Pooled(vectors, options_of(name, Pooling, options).pool)


def make_one_hot(options: Mapping[str, Any]) -> Pooled:
    """Fractions of the elements."""
    return pooled("one-hot", one_hot(), {"pool": ("weighted",), **options})


def make_magpie(options: Mapping[str, Any]) -> Pooled:
    """Pooled Magpie properties."""
    return pooled("magpie", tabulated("magpie"), options)


def make_oliynyk(options: Mapping[str, Any]) -> Pooled:
    """Pooled properties of Oliynyk."""
    return pooled("oliynyk", tabulated("oliynyk"), options)


def make_mat2vec(options: Mapping[str, Any]) -> Pooled:
    """Pooled word vectors."""
    return pooled("mat2vec", tabulated("mat2vec"), options)


def make_skipatom(options: Mapping[str, Any]) -> Pooled:
    """Pooled SkipAtom vectors."""
    return pooled("skipatom", tabulated("skipatom"), options)


def make_megnet16(options: Mapping[str, Any]) -> Pooled:
    """Pooled MEGNet vectors."""
    return pooled("megnet16", tabulated("megnet16"), options)

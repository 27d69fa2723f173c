"""What both kinds of substitution share: settings, what is let through, and skipped parents."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z, atomic_number, excluded, parse_formula
from gnomon.generate import CHUNK, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.generate.substitution.model import THRESHOLD, SubstitutionModel
from gnomon.generate.substitution.tables import learned_model
from gnomon.io.objects import as_crystals

NO_IONS = "no common oxidation states balance the charges"
"""Why a parent of unknown ions is not used."""

SKIPPED = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("id", "reduced_formula", "reason")]
)
"""Columns of the table of parents that cannot be substituted."""


@dataclass(frozen=True, eq=False)
class Substituting(ABC):
    """Settings of generators that put likely ions in place of a parent's."""

    model: SubstitutionModel = field(default_factory=learned_model)
    threshold: float = THRESHOLD
    elements: tuple[str, ...] | None = None
    exclude: tuple[str, ...] | None = None
    known: frozenset[str] = frozenset()
    formulas: frozenset[str] | None = None
    charge_balanced: bool = False
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        for name in ("threshold", "chunk"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        _ = self.allowed, self.wanted  # refuse what is no element or no formula

    def generate(self, parents: Any, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield candidates in the order of their parents; ``skipped`` lists those that yield none.

        Args:
            parents: crystals of any kind (``gnomon.io.as_crystals``).
            seed: of what is drawn, if anything is.
        """
        yield from rechunk(self.parts(as_crystals(parents), seed), self.chunk)

    def skipped(self, parents: Crystals) -> pa.Table:
        """The parents that cannot be used, and why (schema ``SKIPPED``)."""
        return skipped_table(parents, self.reasons(parents))

    @abstractmethod
    def parts(self, parents: Crystals, seed: int) -> Iterator[Candidates]:
        """The candidates, in parts of any size."""

    @abstractmethod
    def reasons(self, parents: Crystals) -> list[str]:
        """Why each parent cannot be used, empty where it can."""

    @cached_property
    def allowed(self) -> Bool[np.ndarray, "119"]:
        """By atomic number, whether candidates may hold an element."""
        return allowed_elements(self.elements, self.exclude, self.formulas)

    @cached_property
    def wanted(self) -> "Wanted":
        """Which compositions candidates may have."""
        return Wanted.of(self.known, self.formulas)


def skipped_table(crystals: Crystals, reasons: Sequence[str]) -> pa.Table:
    """The crystals for which there is a reason (schema ``SKIPPED``)."""
    rows = [i for i, reason in enumerate(reasons) if reason]
    columns = {
        "id": crystals.ids[rows].tolist(),
        "reduced_formula": crystals.reduced_formulas[rows].tolist(),
        "reason": [reasons[i] for i in rows],
    }
    return pa.table(columns, schema=SKIPPED)


def allowed_elements(
    elements: tuple[str, ...] | None,
    exclude: tuple[str, ...] | None,
    formulas: frozenset[str] | None,
) -> Bool[np.ndarray, "119"]:
    """By atomic number, whether candidates may hold an element: ``elements`` (None: all) but some.

    Raises:
        ValueError: for an unknown element, or one that is both wanted and not.
    """
    named = elements
    if elements is None and formulas is not None:
        named = tuple(symbol for formula in formulas for symbol in parse_formula(formula))
    allowed = np.full(MAX_Z + 1, elements is None)
    allowed[[atomic_number(s) for s in elements or ()]] = True
    allowed[[atomic_number(s) for s in excluded(named, exclude)]] = False
    return allowed


@dataclass(frozen=True, eq=False)
class Wanted:
    """Which reduced compositions candidates may have.

    Attributes:
        known: keys of those that they may not have.
        only: keys of those that they may have; None for all others.
    """

    known: frozenset[bytes]
    only: frozenset[bytes] | None

    @classmethod
    def of(cls, known: Iterable[str], only: Iterable[str] | None) -> "Wanted":
        """The same for formulas.

        Raises:
            ValueError: for a text that is no formula of whole numbers.
        """
        keys = frozenset(map(formula_key, known))
        return cls(keys, None if only is None else frozenset(map(formula_key, only)))

    def passed(
        self, elements: Int64[np.ndarray, "k m"], amounts: Int64[np.ndarray, " m"]
    ) -> Bool[np.ndarray, " k"]:
        """Which of these elements may be combined in these amounts."""
        if not self.known and self.only is None:
            return np.ones(len(elements), bool)
        keys = composition_keys(elements, amounts)
        if self.only is not None:
            return np.array([key in self.only and key not in self.known for key in keys], bool)
        return np.array([key not in self.known for key in keys], bool)


def firsts(rows: Int64[np.ndarray, "k m"]) -> Int64[np.ndarray, " u"]:
    """Positions at which a row comes for the first time, in order."""
    _, firsts = np.unique(rows, axis=0, return_index=True)
    return np.sort(firsts)


def composition_keys(
    elements: Int64[np.ndarray, "k m"], amounts: Int64[np.ndarray, " m"]
) -> list[bytes]:
    """Exact keys of the reduced compositions with these amounts of these elements."""
    rows = np.arange(len(elements))
    counts = np.zeros((len(elements), MAX_Z + 1), np.uint32)
    for column, amount in zip(elements.T, amounts, strict=True):
        counts[rows, column] += np.uint32(amount)  # one element may stand in several columns
    counts //= np.gcd.reduce(counts[rows[:, None], elements], axis=1)[:, None]
    packed, width = counts.tobytes(), counts.shape[1] * counts.itemsize
    return [packed[i * width : (i + 1) * width] for i in rows.tolist()]


def formula_key(formula: str) -> bytes:
    """Key of a formula's composition, as ``composition_keys`` gives it.

    Raises:
        ValueError: if the text is no formula or has fractional amounts.
    """
    amounts = parse_formula(formula)
    if any(amount != int(amount) for amount in amounts.values()):
        raise ValueError(f"the formula {formula!r} has fractional amounts")
    elements = np.array([[atomic_number(symbol) for symbol in amounts]])
    return composition_keys(elements, np.array([int(n) for n in amounts.values()]))[0]

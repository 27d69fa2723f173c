"""Compositions whose oxidation states can balance, for networks that rank formulas alone.

Every element has a list of common states, metals the state 0 too.  A composition is let through if
some states balance, where up to two elements may have an average state anywhere between two of
theirs that follow each other (Merchant et al., Nature 624, 80 (2023), Methods): Li15Si4 has
Li at +1 and Si at -3.75.
"""

import importlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from gnomon.chemistry.oxidation import common_states
from gnomon.elements import SYMBOLS, atomic_number, electronegativities, element, reduced_formula
from gnomon.generate import CHUNK
from gnomon.generate.compositions.counting import Ion
from gnomon.generate.substitution.limits import formula_key
from gnomon.ragged import counted

COMPOSITIONS = pa.schema(
    [
        pa.field("reduced_formula", pa.string(), nullable=False),
        pa.field("chemical_system", pa.string(), nullable=False),
        pa.field("n_atoms", pa.int64(), nullable=False),  # in the reduced formula
    ]
)
"""Columns of a table of compositions."""


class _Option(NamedTuple):
    """A state of an element, or a range of average states."""

    low: int
    high: int
    sign: int
    free: bool


@dataclass(frozen=True, eq=False)
class CompositionGenerator:
    """Reduced formulas of up to ``max_atoms`` atoms within a set of elements.

    Attributes:
        elements: symbols.
        max_atoms: in the reduced formula.
        max_elements: different elements in a formula; compounds begin at two.
        between: elements whose average state may lie between two of their states.
        pauling: let through only states in which every positive element is less electronegative
            than every negative one (Davies et al., Chem 1, 617 (2016)); SMACT's second test.
        zero_of_metals: metals may have the state 0; without it no alloy is let through.
        exclude: elements that no composition may hold.
        known: formulas to be left out.
        states: of an element, instead of those common in the ICSD (through pymatgen).
        chunk: rows in a table, about.

    Raises:
        ValueError: for an unknown element, a text that is no formula, or a number out of range.
    """

    elements: tuple[str, ...]
    max_atoms: int = 20
    max_elements: int = 4
    between: int = 2
    pauling: bool = False
    zero_of_metals: bool = True
    exclude: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
    states: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        if self.max_atoms < 2 or self.max_elements < 2 or self.between < 0 or self.chunk < 1:
            raise ValueError(
                "max_atoms and max_elements must be at least 2, between at least 0 and chunk at "
                f"least 1, got {self.max_atoms}, {self.max_elements}, {self.between}, {self.chunk}"
            )
        for symbol in (*self.elements, *self.exclude, *self.states):
            atomic_number(symbol)
        _ = self._known

    def generate(self) -> Iterator[pa.Table]:
        """Yield tables (schema ``COMPOSITIONS``): few elements first, few atoms first."""
        numbers = sorted(atomic_number(s) for s in {*self.elements} - {*self.exclude})
        held: list[pa.Table] = []
        for n in range(2, min(self.max_elements, len(numbers)) + 1):
            amounts = coprime_compositions(n, self.max_atoms)
            for system in itertools.combinations(numbers, n):
                held.append(self._table(system, amounts[self.allowed(system, amounts)]))
                if sum(map(len, held)) >= self.chunk:
                    yield pa.concat_tables(held).combine_chunks()
                    held = []
        if sum(map(len, held)):
            yield pa.concat_tables(held).combine_chunks()

    def allowed(
        self, system: Sequence[int], amounts: Int64[np.ndarray, "m k"]
    ) -> Bool[np.ndarray, " m"]:
        """Which amounts of these elements (atomic numbers) are let through."""
        options = [self._options(z) for z in system]
        passed = np.zeros(len(amounts), bool)
        for row in itertools.product(*options):
            if sum(option.free for option in row) > self.between:
                continue
            if self.pauling and not _less_electronegative(system, row):
                continue
            low = amounts @ np.array([option.low for option in row])
            high = amounts @ np.array([option.high for option in row])
            passed |= (low <= 0) & (high >= 0)
            if passed.all():
                break
        return passed

    def _options(self, z: int) -> list[_Option]:
        states = set(self.states.get(SYMBOLS[z], common_states(z)))
        if self.zero_of_metals and element(z).is_metal:
            states.add(0)
        options = [_Option(q, q, int(np.sign(q)), False) for q in sorted(states)]
        if not states or not self.between:
            return options
        # of the ranges between states only the sign matters, and with no test not even that
        low, high = min(states), max(states)
        if not self.pauling:
            return [*options, _Option(low, high, 0, True)] if low < high else options
        negative = [_Option(low, min(high, 0), -1, True)] if low < min(high, 0) else []
        positive = [_Option(max(low, 0), high, 1, True)] if max(low, 0) < high else []
        return [*options, *negative, *positive]

    def _table(self, system: Sequence[int], amounts: Int64[np.ndarray, "m k"]) -> pa.Table:
        formulas = [
            reduced_formula(tuple(zip(system, row, strict=True))) for row in amounts.tolist()
        ]
        known = self._known
        keep = [i for i, f in enumerate(formulas) if not known or formula_key(f) not in known]
        name = "-".join(sorted(SYMBOLS[z] for z in system))
        columns = {
            "reduced_formula": [formulas[i] for i in keep],
            "chemical_system": [name] * len(keep),
            "n_atoms": amounts[keep].sum(axis=1),
        }
        return pa.table(columns, schema=COMPOSITIONS)

    @cached_property
    def _known(self) -> frozenset[bytes]:
        return frozenset(formula_key(formula) for formula in self.known)


@cache
def coprime_compositions(n: int, max_atoms: int) -> Int64[np.ndarray, "m n"]:
    """Amounts of n elements without a common divisor, by their sum, then in order."""
    rows = np.zeros((1, 0), np.int64)
    for left in range(n - 1, -1, -1):  # each of the elements still to come takes an atom at least
        room = np.maximum(max_atoms - left - rows.sum(axis=1), 0)
        of, amounts = counted(room)
        rows = np.column_stack([rows[of], amounts + 1])
    rows = rows[np.gcd.reduce(rows, axis=1) == 1]
    rows = rows[np.lexsort((*rows.T[::-1], rows.sum(axis=1)))]
    rows.setflags(write=False)
    return rows


def smact_ions(states: str = "smact14") -> list[Ion]:
    """Species of the optional package smact: its elements 1 to 103 in their listed states.

    Args:
        states: ``smact14``, ``icsd16`` or ``icsd24``.

    Raises:
        ValueError: if smact is not installed or has no such list.
    """
    try:
        smact = importlib.import_module("smact")
    except ImportError as error:
        raise ValueError("SMACT's species need its package: pip install 'gnomon[smact]'") from error
    listed = [smact.Element(symbol) for symbol in smact.ordered_elements(1, 103)]
    if not hasattr(listed[0], f"oxidation_states_{states}"):
        raise ValueError(f"smact has no list {states!r} (smact14, icsd16, icsd24)")
    return [
        Ion(element.symbol, int(q), element.pauling_eneg)
        for element in listed
        for q in getattr(element, f"oxidation_states_{states}") or ()
        if q
    ]


def tabulated_ions() -> list[Ion]:
    """Species of the common states (``gnomon.chemistry.oxidation``) of elements 1 to 103."""
    chi = electronegativities()
    return [
        Ion(SYMBOLS[z], q, None if np.isnan(chi[z]) else float(chi[z]))
        for z in range(1, 104)
        for q in common_states(z)
        if q
    ]


def _less_electronegative(system: Sequence[int], row: Sequence[_Option]) -> bool:
    """Whether positive elements are below negative ones; an unknown value fails, as in SMACT."""
    signs = np.array([option.sign for option in row])
    if not signs.any():
        return True
    scale = electronegativities()[list(system)]
    highest, lowest = scale[signs > 0].max(initial=0.0), scale[signs < 0].min(initial=np.inf)
    return bool(np.isfinite(scale).all() and highest < lowest)

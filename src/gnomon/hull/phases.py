"""Phases: compositions and formation energies of ONE energy scheme, the points of a hull.

Formation energies are taken relative to elemental references that stay fixed, so an element found
later in a lower structure lies below zero, and on the hull.

    >>> references = {"Au": -3.2, "Cu": -3.7}
    >>> formation_energies(compositions(["AuCu3"]), np.array([-3.6]), references).round(6).tolist()
    [-0.025]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Float64, Int, Real, Shaped

from gnomon.elements import MAX_Z, SYMBOLS, atomic_number, parse_formula, reduced_formula
from gnomon.io.objects import as_crystals

ON_HULL = 5e-5
"""A phase is on the hull at or below this many eV/atom (Merchant et al., Nature 624, 80 (2023))."""

WHOLE = 1e-9
"""Amounts this close to a whole number are whole: formulas are read from text, not measured."""


class SchemeMismatch(ValueError):  # noqa: N818  (the name says what happened)
    """Energies of two schemes were about to meet on one hull."""


class MissingElementError(ValueError):
    """An element of a queried system has no phase of its own, so nothing bounds the hull there."""


Elements = Callable[[Sequence[str], str], Mapping[str, float]]
"""Energies (eV/atom) of the elements of these symbols in the scheme of this name."""


@dataclass(frozen=True, eq=False)
class Phases:
    """n phases whose energies come from ONE scheme, in columns.

    >>> ids = np.array(["gold", "copper", "ordered"], dtype=object)
    >>> phases = Phases(ids, compositions(["Au", "Cu", "AuCu3"]), np.array([0, 0, -0.03]), "demo")
    >>> len(phases), phases.reduced_formulas.tolist()
    (3, ['Au', 'Cu', 'Cu3Au'])

    Attributes:
        ids: (n,), names of the phases (str objects).  The same id may appear twice.
        composition: (n, 119), atoms of each element by atomic number, per cell or per formula.
        formation_energy_per_atom: (n,), eV/atom, relative to fixed elemental references.
        scheme: the functional or potential, with its corrections, that all energies come from.

    Raises:
        ValueError: if shapes disagree, an energy is not finite or a composition is empty.
    """

    ids: Shaped[np.ndarray, " n"]
    composition: Real[np.ndarray, "n 119"]
    formation_energy_per_atom: Real[np.ndarray, " n"]
    scheme: str

    def __post_init__(self) -> None:
        columns = {
            "ids": np.array(self.ids, dtype=object),
            "composition": np.array(self.composition, dtype=np.float64),
            "formation_energy_per_atom": np.array(self.formation_energy_per_atom, np.float64),
        }
        n = len(columns["ids"])
        shapes = [array.shape for array in columns.values()]
        if shapes != [(n,), (n, MAX_Z + 1), (n,)]:
            raise ValueError(
                f"Phases takes ids (n,), composition (n, {MAX_Z + 1}) and "
                f"formation_energy_per_atom (n,); got {', '.join(map(str, shapes))}"
            )
        bad = np.flatnonzero(~np.isfinite(columns["formation_energy_per_atom"]))
        if len(bad):
            raise ValueError(
                f"phase {columns['ids'][bad[0]]!r} has no finite energy: leave crystals whose "
                "evaluation failed out of the phases (they stay rows of the evaluations)"
            )
        check_composition(columns["composition"])
        for name, array in columns.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """Number of phases."""
        return len(self.ids)

    def take(self, index: Int[np.ndarray, " k"] | Bool[np.ndarray, " n"] | Sequence[int]) -> Phases:
        """The phases at these indices, or where a Boolean mask is true."""
        chosen = np.arange(len(self))[np.asarray(index, dtype=None if len(index) else np.int64)]
        return Phases(
            self.ids[chosen],
            self.composition[chosen],
            self.formation_energy_per_atom[chosen],
            self.scheme,
        )

    @classmethod
    def of(cls, crystals: Any, energy_per_atom: Float[np.ndarray, " n"], scheme: str) -> Phases:
        """Phases of crystals and their energies; elemental references are the lowest among them.

        >>> from ase.build import bulk
        >>> phases = Phases.of([bulk("Au"), bulk("Cu")], np.array([-3.2, -4.1]), "demo")
        >>> phases.reduced_formulas.tolist(), phases.formation_energy_per_atom.tolist()
        (['Au', 'Cu'], [0.0, 0.0])

        Args:
            crystals: whatever ``gnomon.io.as_crystals`` takes; their ids become those of phases.
            energy_per_atom: (n,), eV/atom of one scheme; crystals of NaN are left out.
            scheme: the functional or potential, with its corrections, that all energies come from.

        Raises:
            MissingElementError: if there is no energy of an element by itself.
            ValueError: if there are not as many energies as crystals.
        """
        found = as_crystals(crystals)
        if energy_per_atom.shape != (len(found),):
            raise ValueError(f"{len(found)} crystals but energies of shape {energy_per_atom.shape}")
        known = np.isfinite(energy_per_atom)
        found, energies = found[known], energy_per_atom[known]
        references = elemental_references(found.composition, energies)
        relative = formation_energies(found.composition, energies, references)
        return cls(found.ids, found.composition, relative, scheme)

    @staticmethod
    def concatenate(parts: Sequence[Phases]) -> Phases:
        """The phases of several sets, in order.

        Raises:
            SchemeMismatch: if the sets come from different energy schemes.
            ValueError: if there is no set at all, and so no scheme.
        """
        scheme = common_scheme(parts)
        return Phases(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.composition for part in parts]),
            np.concatenate([part.formation_energy_per_atom for part in parts]),
            scheme,
        )

    @cached_property
    def reduced_formulas(self) -> Shaped[np.ndarray, " n"]:
        """Reduced formulas as pymatgen writes them (array of str objects)."""
        return reduced_formulas(self.composition)


def common_scheme(parts: Sequence[Phases]) -> str:
    """The energy scheme of several sets of phases.

    Raises:
        SchemeMismatch: if the sets come from different energy schemes.
        ValueError: if there is no set at all, and so no scheme.
    """
    schemes = sorted({part.scheme for part in parts})
    if not schemes:
        raise ValueError("no phases to concatenate: give at least one set")
    if len(schemes) > 1:
        raise SchemeMismatch(
            f"energies of {' and '.join(map(repr, schemes))} cannot share a hull: evaluate all "
            "phases, the elements included, in one scheme"
        )
    return schemes[0]


def elemental_references(
    composition: Real[np.ndarray, "n 119"],
    energy_per_atom: Float[np.ndarray, " n"],
) -> dict[str, float]:
    """The lowest energy (eV/atom) of each element that has a row of its own, by symbol.

    Formation energies use these references for good: an elemental phase found later may lie below
    zero, and then lies on the hull.
    """
    references: dict[str, float] = {}
    pure = np.count_nonzero(composition, axis=1) == 1
    for row, energy in zip(composition[pure], energy_per_atom[pure].tolist(), strict=True):
        symbol = SYMBOLS[int(np.flatnonzero(row)[0])]
        references[symbol] = min(energy, references.get(symbol, np.inf))
    return references


def missing_elements(phases: Phases, wanted: Real[np.ndarray, "n 119"]) -> Phases:
    """The elements of some compositions that have no phase of their own, each at 0 eV/atom.

    That is what the formation energy of a ground state is; their symbols are their ids.
    """
    pure = np.count_nonzero(phases.composition, axis=1) == 1
    there = (phases.composition[pure] > 0).any(axis=0)
    symbols = [SYMBOLS[z] for z in np.flatnonzero((wanted > 0).any(axis=0) & ~there).tolist()]
    ids = np.array(symbols, dtype=object)
    return Phases(ids, compositions(symbols), np.zeros(len(symbols)), phases.scheme)


def formation_energies(
    composition: Real[np.ndarray, "n 119"],
    energy_per_atom: Float[np.ndarray, " n"],
    references: Mapping[str, float],
) -> Float64[np.ndarray, " n"]:
    """Formation energies per atom: E - sum_i x_i E_i, with x_i the atom fractions.

    Args:
        composition: (n, 119), atoms by atomic number, on any scale.
        energy_per_atom: (n,), eV/atom.
        references: eV/atom of each element, of the same scheme.

    Returns:
        (n,), eV/atom.

    Raises:
        MissingElementError: if the reference of an element is missing.
    """
    fractions = atom_fractions(np.asarray(composition, dtype=np.float64))
    present = {SYMBOLS[z] for z in np.flatnonzero(fractions.any(axis=0))}
    missing = sorted(present - set(references))
    if missing:
        raise MissingElementError(
            f"no reference energy of {', '.join(missing)} (there are {sorted(references)}): "
            "evaluate the element's ground state in the same scheme"
        )
    energies = np.zeros(MAX_Z + 1)
    for symbol in present:
        energies[atomic_number(symbol)] = references[symbol]
    return energy_per_atom - fractions @ energies


def compositions(formulas: Sequence[str]) -> Float64[np.ndarray, "n 119"]:
    """Atoms by atomic number of each formula: (n, 119).

    Raises:
        ValueError: for a text that is no formula.
    """
    counts = np.zeros((len(formulas), MAX_Z + 1))
    for row, formula in zip(counts, formulas, strict=True):
        for symbol, amount in parse_formula(formula).items():
            row[atomic_number(symbol)] = amount
    return counts


def phases_from_table(
    table: pa.Table, scheme: str | None = None, elements: Elements | None = None
) -> Phases:
    """Phases from columns reduced_formula and formation_energy_per_atom (eV/atom).

    A column source_id, or else id, names them; without either their formulas do.  A table of
    evaluations, which has energy_per_atom instead, holds its elements itself: the lowest of each
    is its reference.  Its rows that are not converged are left out.

    Args:
        table: one row for each phase.
        scheme: energy scheme; what a column scheme says if not given, or ``as given``.
        elements: called for the elements that a table of evaluations lacks, with their symbols and
            the scheme; their energies, eV/atom.

    Raises:
        MissingElementError: if a table of evaluations lacks an element, and nobody gives it.
        SchemeMismatch: if a column scheme says another one, or several.
        ValueError: if a column is missing, a value is null or a formula is not one.
    """
    columns = {*table.column_names}
    if "energy_per_atom" in columns and "formation_energy_per_atom" not in columns:
        table = _formed(table, scheme, elements)
    wanted = ("reduced_formula", "formation_energy_per_atom")
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise ValueError(
            f"no column {' nor '.join(missing)} among {table.column_names}: a table of phases "
            f"needs {' and '.join(wanted)} (eV/atom); a column id is used if it is there"
        )
    names = [*wanted, "id"] if "id" in table.column_names else list(wanted)
    for name in names:
        if table[name].null_count:
            raise ValueError(f"column {name} has {table[name].null_count} empty values: drop them")
    formulas = table["reduced_formula"].to_pylist()
    ids = table[names[-1]].to_pylist() if "id" in names else formulas
    if "source_id" in table.column_names:
        given = table["source_id"].to_pylist()
        ids = [own or other for own, other in zip(given, ids, strict=True)]
    energies = table["formation_energy_per_atom"].to_numpy().astype(np.float64)
    return Phases(
        np.array(ids, dtype=object), compositions(formulas), energies, _one_scheme(table, scheme)
    )


def evaluated(table: pa.Table) -> pa.Table:
    """The rows of a table of evaluations that have an energy and, if it says so, converged."""
    usable = pc.is_valid(table["energy_per_atom"])
    if "status" in table.column_names:
        usable = pc.and_(usable, pc.equal(table["status"], "converged"))
    return table.filter(usable)


def _formed(table: pa.Table, scheme: str | None, elements: Elements | None) -> pa.Table:
    """A table of evaluations with formation energies, of what has an energy, elements added."""
    table = evaluated(table)
    names, known = ["reduced_formula", "energy_per_atom"], table.column_names
    table = table.select([*names, *(n for n in ("id", "source_id", "scheme") if n in known)])
    formulas, own = table["reduced_formula"].to_pylist(), _one_scheme(table, scheme)
    energies = table["energy_per_atom"].to_numpy().astype(np.float64)
    references = elemental_references(compositions(formulas), energies)
    present = compositions(formulas).any(axis=0)
    lacking = [SYMBOLS[z] for z in np.flatnonzero(present) if SYMBOLS[z] not in references]
    added = elements(lacking, own) if lacking and elements is not None else {}
    of_elements = pa.table({"reduced_formula": [*added], "energy_per_atom": [*added.values()]})
    for name in table.column_names[2:]:
        text = [own if name == "scheme" else symbol for symbol in added]
        of_elements = of_elements.append_column(name, pa.array(text, pa.string()))
    table = pa.concat_tables([table, of_elements.cast(table.schema)])
    relative = formation_energies(
        compositions(table["reduced_formula"].to_pylist()),
        table["energy_per_atom"].to_numpy().astype(np.float64),
        {**references, **added},
    )
    return table.append_column("formation_energy_per_atom", pa.array(relative))


def _one_scheme(table: pa.Table, scheme: str | None) -> str:
    """The energy scheme of a table of phases."""
    if "scheme" not in table.column_names or not len(table):
        return scheme or "as given"
    found = table["scheme"].unique().to_pylist()
    if len(found) > 1 or (scheme and scheme != found[0]):
        raise SchemeMismatch(
            f"the phases are of the energy scheme {' and '.join(repr(name) for name in found)}"
            + (f", not {scheme!r}" if scheme else "")
            + ": energies of different schemes make no hull"
        )
    return str(found[0])


def atom_fractions(composition: Float64[np.ndarray, "n 119"]) -> Float64[np.ndarray, "n 119"]:
    """Atom fractions of each element: the rows of a composition, scaled to sum 1.

    Raises:
        ValueError: if a row is empty, or an amount is negative or not finite.
    """
    check_composition(composition)
    return composition / composition.sum(axis=1, keepdims=True)


def check_composition(composition: Real[np.ndarray, "n 119"]) -> None:
    """Refuse what is no composition.

    Raises:
        ValueError: if a row is empty, or an amount is negative or not finite.
    """
    totals = composition.sum(axis=1)
    # a sum is finite only if all its terms are
    if not (np.all(composition >= 0) and np.all(totals > 0) and np.isfinite(totals).all()):
        raise ValueError("a composition must hold at least one atom and no negative amount")
    if composition[:, 0].any():
        raise ValueError("column 0 of a composition belongs to no element and must be 0")


def reduced_formulas(composition: Float64[np.ndarray, "n 119"]) -> Shaped[np.ndarray, " n"]:
    """Reduced formulas as pymatgen writes them (array of str objects).

    Raises:
        ValueError: for a composition that is not of whole numbers of atoms.
    """
    whole = np.rint(composition)
    broken = np.flatnonzero(np.abs(whole - composition).max(axis=1, initial=0.0) > WHOLE)
    if len(broken):
        amounts = {
            SYMBOLS[z]: composition[broken[0], z] for z in np.flatnonzero(composition[broken[0]])
        }
        raise ValueError(
            f"{amounts} is not of whole atoms: multiply it until it is, as in Li2Mn3O8"
        )
    names = [
        reduced_formula(tuple((int(z), int(row[z])) for z in np.flatnonzero(row))) for row in whole
    ]
    return np.array(names, dtype=object)

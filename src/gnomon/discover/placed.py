"""Converged evaluations of one energy scheme, their elemental references, and their hull."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float64, Int64, Shaped

from gnomon.chemistry.elemental import ground_state
from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.evaluate import Status
from gnomon.hull.convex import Hull
from gnomon.hull.phases import ON_HULL, Phases, elemental_references, formation_energies
from gnomon.io import from_arrow
from gnomon.run.writing import StoreError
from gnomon.structure.protostructures import protostructure

RELAXED_SYMPREC = 0.1
"""Tolerance in Å for the space group of a relaxed crystal (that of the Materials Project)."""


@dataclass(frozen=True, eq=False)
class Evaluated:
    """n converged evaluations, in the order in which they were made.

    Attributes:
        ids: of what was evaluated.
        relaxed: crystals as relaxed.
        energy_per_atom: eV/atom of the scheme.
        rounds: in which each was evaluated.
    """

    ids: Shaped[np.ndarray, " n"]
    relaxed: Crystals
    energy_per_atom: Float64[np.ndarray, " n"]
    rounds: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, rows: pa.Table) -> Evaluated:
        """Those rows of evaluations that converged; without a column round, all are of round 0."""
        rows = rows.filter(pc.equal(rows["status"], Status.CONVERGED.value))
        first = "round" not in rows.column_names
        return cls(
            np.array(rows["id"].to_pylist(), dtype=object),
            from_arrow(rows),
            rows["energy_per_atom"].to_numpy().astype(np.float64),
            np.zeros(len(rows), np.int64) if first else rows["round"].to_numpy().astype(np.int64),
        )

    def in_rounds(self, rounds: Int64[np.ndarray, " n"]) -> Evaluated:
        """The same of other rounds."""
        return replace(self, rounds=rounds)

    def take(self, mask: Bool[np.ndarray, " n"]) -> Evaluated:
        """Those where the mask is true."""
        return Evaluated(
            self.ids[mask], self.relaxed[mask], self.energy_per_atom[mask], self.rounds[mask]
        )


@dataclass(frozen=True, eq=False)
class Placed:
    """Evaluations on the hull of all of them.

    Attributes:
        found: n evaluations whose elements all have a reference.
        left_out: those with an element that has none: they have no formation energy.
        references: eV/atom of each element that has one, by symbol.
        hull: of the n evaluations, by their ids.
        e_above_hull: (n,), eV/atom.
    """

    found: Evaluated
    left_out: Evaluated
    references: dict[str, float]
    hull: Hull
    e_above_hull: Float64[np.ndarray, " n"]

    @property
    def formation_energy_per_atom(self) -> Float64[np.ndarray, " n"]:
        """Against the references, eV/atom."""
        return self.hull.phases.formation_energy_per_atom

    @property
    def compound(self) -> Bool[np.ndarray, " n"]:
        """Which hold more than one element."""
        return np.asarray((self.hull.phases.composition > 0).sum(axis=1) > 1)

    @property
    def stable(self) -> Bool[np.ndarray, " n"]:
        """Which are on the hull."""
        return np.asarray(self.e_above_hull <= ON_HULL)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each id."""
        return {key: row for row, key in enumerate(self.found.ids.tolist())}

    def check_references(self, system: Collection[str]) -> None:
        """Refuse a hull that is open at an element of a system.

        Raises:
            StoreError: if an element has no reference.
        """
        if missing := [symbol for symbol in system if symbol not in self.references]:
            raise StoreError(
                f"no structure of {', '.join(missing)} could be relaxed, so there is no elemental "
                "reference: does the evaluator know this element? (`gnomon report` lists the "
                "failures)"
            )


def place(found: Evaluated, scheme: str, fitted: Mapping[str, float] | None = None) -> Placed:
    """Put evaluations of one scheme on their hull.

    Args:
        found: the evaluations.
        scheme: of their energies.
        fitted: energies (eV/atom) of the elements that formation energies of compounds are taken
            from; those of the elements' own crystals stay relative to their references.
    """
    references = references_of(found)
    unknown = [z for z, symbol in enumerate(SYMBOLS) if symbol not in references]
    placeless = np.asarray(found.relaxed.composition[:, unknown].any(axis=1))
    there, left_out = found.take(~placeless), found.take(placeless)
    composition = there.relaxed.composition
    energies = formation_energies(composition, there.energy_per_atom, references)
    if fitted is not None:
        compound = (composition > 0).sum(axis=1) > 1
        energies[compound] = formation_energies(
            composition[compound], there.energy_per_atom[compound], fitted
        )
    hull = Hull(Phases(there.ids, composition, energies, scheme))
    return Placed(there, left_out, references, hull, hull.e_above_hull(composition, energies))


def references_of(found: Evaluated) -> dict[str, float]:
    """Fixed elemental references, eV/atom, from the elements of round 0.

    The experimental ground-state structure (``gnomon.chemistry.ground_states``) where it was among
    them and converged, else the lowest.  An evaluator may hold another structure for lower: that
    one then lies below zero, on the hull, and e_above_hull counts it.
    """
    first = np.flatnonzero(found.rounds == 0)
    elements = first[(found.relaxed.composition[first] > 0).sum(axis=1) == 1]
    crystals, energies = found.relaxed[elements], found.energy_per_atom[elements]
    references = elemental_references(crystals.composition, energies)
    usual = in_ground_state(crystals)
    return references | elemental_references(crystals.composition[usual], energies[usual])


def in_ground_state(elements: Crystals) -> Bool[np.ndarray, " n"]:
    """Which elemental crystals have the structure of the element's measured ground state.

    Structures are compared by space group and Wyckoff positions, so lengths and free parameters
    may relax.  False where the ground state of the element is not known.
    """
    return np.array([_in_its_ground_state(one) for one in elements], dtype=bool)


def _in_its_ground_state(crystal: Crystals) -> bool:
    z = int(crystal.atomic_numbers[0])
    wanted = ground_state(SYMBOLS[z])
    if wanted is None:
        return False
    column = np.array([[z]])
    own, measured = (
        protostructure(one, RELAXED_SYMPREC).keys(column)[0] for one in (crystal, wanted.crystal)
    )
    return bool(own == measured)

"""A database of known crystals with energies: parents, known compositions, and the hull."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from jaxtyping import Float64, Real, Shaped, UInt64

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z, SYMBOLS, present
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, missing_elements, phases_from_table
from gnomon.io import from_arrow
from gnomon.io.tables import read_table
from gnomon.structure.hashes import composition_hashes

PHASES = "phases.parquet"
"""In a folder of `gnomon databases`."""

ENERGIES = "formation_energy_per_atom"

MATERIALS_PROJECT = "Materials Project (PBE and PBE+U, MP2020 corrections)"
"""Energy scheme of the database, and of the networks in the package that learned from it."""


@dataclass(frozen=True, eq=False)
class Database:
    """Known crystals and their energies in one scheme.

    Attributes:
        crystals: n of them.
        names: (n,), in the database; content ids where it gives none.
        formation_energy_per_atom: (n,), eV/atom.
        scheme: of all energies.
        others: phases of which there is no crystal, such as those of a larger release.
    """

    crystals: Crystals
    names: Shaped[np.ndarray, " n"]
    formation_energy_per_atom: Float64[np.ndarray, " n"]
    scheme: str
    others: Phases

    @classmethod
    def read(cls, path: Path | str, scheme: str, phases: Sequence[Path | str] = ()) -> Database:
        """A Parquet table of crystals with a column formation_energy_per_atom.

        Args:
            path: of the table, or a folder of `gnomon databases`.
            scheme: of its energies, where a column does not say.
            phases: tables of formulas and energies of the same scheme.

        Raises:
            ValueError: if a file is no table of crystals with energies.
        """
        path = Path(path)
        table = read_table(path / PHASES if path.is_dir() else path)
        if ENERGIES not in table.column_names:
            raise ValueError(
                f"{path} has no column {ENERGIES} (eV/atom): a campaign over all crystals needs "
                "the energies of its parents, which are its hull"
            )
        if "scheme" in table.column_names:
            scheme = str(table["scheme"][0].as_py())
        table = table.filter(pc.is_valid(table[ENERGIES]))
        crystals = from_arrow(table)
        names = table["id"].to_pylist() if "id" in table.column_names else crystals.ids.tolist()
        energies = table[ENERGIES].to_numpy().astype(np.float64)
        found = [phases_from_table(read_table(Path(one)), scheme) for one in phases]
        nothing = Phases(np.zeros(0, object), np.zeros((0, MAX_Z + 1)), np.zeros(0), scheme)
        others = Phases.concatenate([nothing, *found])
        return cls(crystals, np.array(names, dtype=object), energies, scheme, others)

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.crystals)

    @cached_property
    def hull(self) -> Hull:
        """Of all phases; an element without one lies at 0 eV/atom.  It answers, and takes none."""
        own = Phases(
            np.arange(len(self)).astype(object),
            replace(self.crystals).composition,  # which those would keep
            self.formation_energy_per_atom,
            self.scheme,
        )
        parts = (own, self.others)
        pure = [part.take(np.count_nonzero(part.composition, axis=1) == 1) for part in parts]
        present = np.array([part.composition.any(axis=0) for part in parts], np.float64)
        missing = missing_elements(Phases.concatenate(pure), present)
        return Hull(Phases.concatenate([*parts, missing])).answering()

    @property
    def elements(self) -> tuple[str, ...]:
        """That occur."""
        there = self.crystals.composition.any(axis=0)
        return tuple(SYMBOLS[z] for z in np.flatnonzero(there).tolist())

    @property
    def n_phases(self) -> int:
        """Of the hull, elements that were put at 0 eV/atom left out."""
        return len(self) + len(self.others)

    @cached_property
    def e_above_hull(self) -> Float64[np.ndarray, " n"]:
        """Of each crystal, eV/atom."""
        return self.hull.e_above_hull(self.crystals.composition, self.formation_energy_per_atom)

    @cached_property
    def keys(self) -> UInt64[np.ndarray, " n"]:
        """Of the compositions (``composition_hashes``)."""
        return composition_keys(self.crystals.composition)

    @property
    def compositions(self) -> UInt64[np.ndarray, " c"]:
        """Keys of the known compositions, rising."""
        return np.unique(np.concatenate([self.keys, composition_keys(self.others.composition)]))


@cache
def database_at(path: str, scheme: str, phases: tuple[str, ...] = ()) -> Database:
    """``Database.read``, once in a process.

    Raises:
        ValueError: as that does.
    """
    return Database.read(path, scheme, phases)


def composition_keys(composition: Real[np.ndarray, "n 119"]) -> UInt64[np.ndarray, " n"]:
    """Key of each reduced composition (``composition_hashes``) of whole numbers of atoms."""
    return composition_hashes(*present(np.rint(composition).astype(np.int64)))

"""Solids with their volumes, and what of them is stable at a temperature in a gas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from gnomon.elements import SYMBOLS, atomic_number, parse_formula
from gnomon.hull.phases import Phases, compositions, missing_elements, phases_from_table
from gnomon.synthesis.measured import measured_gibbs, measured_solids
from gnomon.synthesis.thermo import CARBONATE, carbonates, gas_gibbs, gases, gibbs_energies

SAME_POLYMORPH = 0.06
"""eV/atom: crystals of one formula whose energies differ by less lend each other their volumes;
two releases of the Materials Project differ by 24 meV/atom in the mean."""


@dataclass(frozen=True)
class Solids:
    """Phases of one energy scheme with the volumes that their Gibbs energies need.

    Attributes:
        phases: n of them; formation energies in eV/atom.
        volume_per_atom: (n,), Å³/atom.
        estimated: (n,), whether the volume is a sum over elements, for want of a cell.
        carbonate: eV added for each CO3, as the scheme lacks it; 0 for measured energies.
        measured: whether Gibbs energies are measured ones, of ``only_measured``.
    """

    phases: Phases
    volume_per_atom: Float64[np.ndarray, " n"]
    estimated: np.ndarray
    carbonate: float = CARBONATE
    measured: bool = False

    def __len__(self) -> int:
        """Number of solids."""
        return len(self.phases)

    def within(self, elements: Sequence[str], most: int | None = None) -> Solids:
        """Those that hold no other elements; of each composition the lowest, at most ``most``.

        The lowest above the hull of the elements' line come first where there are too many: by
        formation energy, elements always.
        """
        allowed = np.zeros(len(SYMBOLS), bool)
        allowed[[atomic_number(symbol) for symbol in elements]] = True
        inside = np.flatnonzero(~(self.phases.composition[:, ~allowed] > 0).any(axis=1))
        energies = self.phases.formation_energy_per_atom[inside]
        lowest: dict[str, int] = {}
        for row in inside[np.argsort(energies, kind="stable")].tolist():
            lowest.setdefault(str(self.phases.reduced_formulas[row]), row)
        rows = list(lowest.values())
        return self.take(np.array(sorted(rows if most is None else rows[:most]), np.int64))

    def take(self, rows: np.ndarray) -> Solids:
        """The solids of these rows."""
        return replace(
            self,
            phases=self.phases.take(rows),
            volume_per_atom=self.volume_per_atom[rows],
            estimated=self.estimated[rows],
        )

    def only_measured(self) -> Solids:
        """Those whose Gibbs energies were measured, with these, and elements.

        None of the others, since what measured and computed energies are off by does not cancel.
        """
        known, names = measured_solids(), map(str, self.phases.reduced_formulas)
        kept = [i for i, name in enumerate(names) if name in known or len(parse_formula(name)) < 2]
        return replace(self.take(np.array(kept, np.int64)), measured=True)

    def at(
        self, temperature: float, pressures: Mapping[str, float], every_gas: float | None = None
    ) -> Phases:
        """All phases at a temperature (K): solids, gases at their pressures (bar), elements.

        Args:
            temperature: K.
            pressures: of gases, bar; an element's own gas may be one.
            every_gas: pressure (bar) of the other tabulated gases; None leaves them out.

        Raises:
            ValueError: for what no table knows.
        """
        composition = self.phases.composition
        present = {SYMBOLS[z] for z in np.flatnonzero(composition.any(axis=0))}
        names = {gas: p for gas, p in pressures.items() if set(parse_formula(gas)) <= present}
        others = () if every_gas is None else gases()
        for gas in others:
            if set(parse_formula(gas)) <= present and gas not in names:
                names[gas] = float(every_gas or 0.0)
        of_gases = compositions(list(names))
        free = [gas_gibbs(gas, temperature, p) for gas, p in names.items()]
        per_atom = np.array(free) / np.maximum(of_gases.sum(axis=1), 1)
        # a table of solids may hold a gas too, whose energy is no solid's
        gaseous = {*gases(), *(g for g in names)}
        solid = np.array([f not in gaseous for f in self.phases.reduced_formulas.tolist()], bool)
        energies = self.phases.formation_energy_per_atom + self.carbonate * carbonates(composition)
        gibbs = gibbs_energies(composition, energies, self.volume_per_atom, temperature)
        scheme = f"{self.phases.scheme} at {temperature:g} K"
        if self.measured:
            for row in np.flatnonzero(np.count_nonzero(composition, axis=1) > 1):
                gibbs[row] = measured_gibbs(str(self.phases.reduced_formulas[row]), temperature)
        found = Phases(
            np.concatenate([self.phases.reduced_formulas[solid], np.array(list(names), object)]),
            np.concatenate([composition[solid], of_gases]),
            np.concatenate([gibbs[solid], per_atom]),
            scheme,
        )
        return Phases.concatenate([found, missing_elements(found, composition)])


def solids_from_table(
    table: pa.Table,
    scheme: str | None = None,
    carbonate: float = CARBONATE,
    cells: pa.Table | None = None,
) -> Solids:
    """Solids of a table of phases with cells; what lacks one gets the sum over its elements.

    Args:
        table: as ``phases_from_table`` takes it, with volume_per_atom (Å³/atom) or lattice and
            atomic_numbers where it has them.
        scheme: energy scheme, where the table has none.
        carbonate: eV to be added for each CO3.
        cells: another table of the same scheme that lends volumes: those of the same formula at
            nearly the same energy, as another polymorph has another volume.

    Raises:
        ValueError: if no row has a volume, and as ``phases_from_table``.
    """
    phases = phases_from_table(table, scheme)
    volumes = _volumes(table)
    if len(volumes) != len(phases):
        raise ValueError("a table with energies that are not of formation has no volumes to go by")
    if cells is not None:
        names = ("reduced_formula", "formation_energy_per_atom")
        formulas, energies = (cells[name].to_pylist() for name in names)
        lent: dict[str, list[tuple[float, float]]] = {}
        for formula, energy, volume in zip(formulas, energies, _volumes(cells), strict=True):
            lent.setdefault(formula, []).append((energy, volume))
        for row in np.flatnonzero(np.isnan(volumes)).tolist():
            own = float(phases.formation_energy_per_atom[row])
            near = [(abs(e - own), v) for e, v in lent.get(phases.reduced_formulas[row], ())]
            if near and min(near)[0] < SAME_POLYMORPH:
                volumes[row] = min(near)[1]
    return with_volumes(phases, volumes, carbonate)


def with_volumes(
    phases: Phases, volume_per_atom: Float64[np.ndarray, " n"], carbonate: float = CARBONATE
) -> Solids:
    """Solids of phases; where the volume is NaN it is the sum of what elements take elsewhere.

    Raises:
        ValueError: if no volume is known.
    """
    known = np.isfinite(volume_per_atom)
    if not known.any():
        raise ValueError(
            "no phase has a volume, which its Gibbs energy needs: give a table with "
            "volume_per_atom (Å³/atom), or with lattice and atomic_numbers"
        )
    fractions = phases.composition / phases.composition.sum(axis=1, keepdims=True)
    fitted = volume_per_atom.copy()
    if not known.all():
        elements = np.flatnonzero(fractions[known].any(axis=0))
        ridge = 1e-3 * np.eye(len(elements))
        mean = float(volume_per_atom[known].mean())
        inside = fractions[known][:, elements]
        solved = np.linalg.solve(
            inside.T @ inside + ridge, inside.T @ (volume_per_atom[known] - mean)
        )
        fitted[~known] = np.maximum(fractions[~known][:, elements] @ solved + mean, 3.0)
    return Solids(phases, fitted, ~known, carbonate)


def _volumes(table: pa.Table) -> Float64[np.ndarray, " n"]:
    """Å³/atom of each row, NaN where it has no cell."""
    if "volume_per_atom" in table.column_names:
        return np.array(table["volume_per_atom"].to_pylist(), np.float64)
    if not {"lattice", "atomic_numbers"} <= {*table.column_names}:
        return np.full(len(table), np.nan)
    cells = zip(table["lattice"].to_pylist(), table["atomic_numbers"].to_pylist(), strict=True)
    return np.array(
        [
            abs(np.linalg.det(np.reshape(cell, (3, 3)))) / len(atoms) if cell else np.nan
            for cell, atoms in cells
        ]
    )

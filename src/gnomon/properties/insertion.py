"""Insertion electrodes: hosts that take up ions with nothing else changed, from phases of one hull.

A host and its filled forms, ordered by ions per formula unit of the host, lie on a lower convex
hull of their own; between two neighbours on it, x1 < x2 ions per host, the voltage against the
metal is constant (Aydinol et al., Phys. Rev. B 56, 1354 (1997)),

    V = -(E(x2) - E(x1) - (x2 - x1) mu) / (z (x2 - x1)),

and the average over a pair the same with its ends.  Entropy is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from ase.data import atomic_masses
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.hull.convex import Hull
from gnomon.hull.phases import reduced_formulas
from gnomon.hull.reservoirs import metal_potential
from gnomon.io import to_pymatgen
from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answered
from gnomon.properties.conduction.ions import Ion

MAH = 26801.4814
"""Faraday's constant, mAh a mole of electrons."""

PER_CM3 = 6.02214076e23 * 1e-24
"""cm3 of a mole of formula units of 1 Å3."""

SCHEMA = value_schema(
    "average voltage of an insertion electrode against the metal of its ion",
    "V",
    column("host", pa.string(), "with the fewest ions"),
    column("filled", pa.string(), "with the most"),
    column("host_id", pa.string(), "content id of the host's crystal"),
    column("ion", pa.string(), "that is inserted"),
    column("inserted", pa.float64(), "ions for each formula unit of the framework", unit="1"),
    column("capacity", pa.float64(), "of the filled electrode", unit="mAh/g"),
    column("volumetric_capacity", pa.float64(), "of the filled electrode", unit="mAh/cm3"),
    column("energy_density", pa.float64(), "of the filled electrode, by volume", unit="Wh/l"),
    column("specific_energy", pa.float64(), "of the filled electrode, by mass", unit="Wh/kg"),
    column("volume_change", pa.float64(), "filled over host, less 1", unit="1"),
    column("e_above_hull", pa.float64(), "of the less stable of the two", unit="eV/atom"),
)


@dataclass(frozen=True)
class _Filled:
    """A crystal as a framework with so many ions for each of its formula units."""

    row: int
    ions: float
    energy: float
    volume: float
    mass: float


def electrodes(
    crystals: Crystals,
    energies: Float64[np.ndarray, " n"],
    hull: Hull,
    ion: str,
    *,
    window: float = 0.1,
) -> pa.Table:
    """Pairs of a host and its most filled form, a row for each framework; id: the filled.

    A framework is what is left without the ions: crystals belong to one where pymatgen's matcher
    takes these for the same, in any cell and scaled to one volume.  Of crystals of one composition
    and framework the lowest counts.

    Args:
        crystals: n.
        energies: their formation energies in the scheme of the hull, eV/atom.
        hull: of all competing phases.
        ion: Li, Na, K, Mg, Ca, or another with its charge, such as Zn2+.
        window: eV/atom above the hull that both may lie at most.

    Raises:
        ValueError: if it is no cation.
        MissingElementError: if the hull lacks the metal of the ion.
    """
    named = Ion.named(ion)
    symbol, charge = named.symbol, named.charge
    if charge < 0:
        raise ValueError(f"{ion!r} is an anion: electrodes take up cations, such as Li or Zn2+")
    above = hull.e_above_hull(crystals.composition, energies)
    mu = metal_potential(hull, symbol)[symbol]
    ids = crystals.ids.astype(str)
    rows, names = [], []
    for members in _frameworks(crystals, energies, above, symbol, window):
        ends = _ends(members)
        if ends is None:
            continue
        host, filled = ends
        moved = filled.ions - host.ions
        voltage = -(filled.energy - host.energy - moved * mu) / (charge * moved)
        capacity = charge * moved * MAH / filled.mass
        by_volume = charge * moved * MAH / (filled.volume * PER_CM3)
        formulas = crystals.reduced_formulas
        rows.append(
            {
                "status": OK if voltage > 0 else "the host does not take up the ion",
                "value": voltage,
                "host": formulas[host.row],
                "filled": formulas[filled.row],
                "host_id": ids[host.row],
                "ion": ion,
                "inserted": moved,
                "capacity": capacity,
                "volumetric_capacity": by_volume,
                "energy_density": by_volume * voltage,
                "specific_energy": capacity * voltage,
                "volume_change": filled.volume / host.volume - 1,
                "e_above_hull": float(max(above[host.row], above[filled.row])),
            }
        )
        names.append(ids[filled.row])
    return answered(SCHEMA, np.array(names, dtype=object), hull.phases.scheme, rows)


def _frameworks(
    crystals: Crystals,
    energies: Float64[np.ndarray, " n"],
    above: Float64[np.ndarray, " n"],
    ion: str,
    window: float,
) -> Iterator[list[_Filled]]:
    """Crystals within the window by framework: the lowest of each composition."""
    z = SYMBOLS.index(ion)
    rest = crystals.composition.astype(np.float64)
    rest[:, z] = 0
    near = np.flatnonzero((above <= window) & ((rest > 0).sum(axis=1) > 0))
    by_name: dict[str, list[int]] = defaultdict(list)
    for row, name in zip(near.tolist(), reduced_formulas(rest[near]).tolist(), strict=True):
        by_name[name].append(row)
    formulas = crystals.reduced_formulas
    for rows in by_name.values():
        if len({formulas[row] for row in rows}) < 2:
            continue
        for group in _matched(crystals, sorted(rows, key=lambda row: energies[row]), ion):
            lowest = {formulas[row]: row for row in reversed(group)}
            yield [_filled(crystals, energies, rest, z, row) for row in lowest.values()]


def _matched(crystals: Crystals, rows: list[int], ion: str) -> list[list[int]]:
    """Rows of one framework, and in the order given."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(ignored_species=[ion])
    groups: list[tuple[Any, list[int]]] = []
    for row in rows:
        (structure,) = to_pymatgen(crystals[row])
        group = next((g for first, g in groups if matcher.fit(first, structure)), None)
        if group is None:
            groups.append((structure, [row]))
        else:
            group.append(row)
    return [group for _, group in groups]


def _filled(
    crystals: Crystals,
    energies: Float64[np.ndarray, " n"],
    rest: Float64[np.ndarray, "n 119"],
    z: int,
    row: int,
) -> _Filled:
    """Per formula unit of the framework."""
    held = rest[row][rest[row] > 0].astype(np.int64)
    units = float(np.gcd.reduce(held))
    counts = crystals.composition[row]
    masses = float(counts[: len(atomic_masses)] @ atomic_masses[: len(counts)])
    return _Filled(
        row,
        float(counts[z]) / units,
        float(energies[row] * counts.sum()) / units,
        float(crystals.volumes[row]) / units,
        masses / units,
    )


def _ends(members: list[_Filled]) -> tuple[_Filled, _Filled] | None:
    """The emptiest and the fullest."""
    ordered = sorted(members, key=lambda one: one.ions)
    return None if ordered[0].ions == ordered[-1].ions else (ordered[0], ordered[-1])

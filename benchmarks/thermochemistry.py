"""Gibbs energies against pymatgen's, against the NIST-JANAF tables, and where carbonates decompose.

The tables are results/janaf.json: Gibbs energies of formation that NASA's polynomials (McBride,
Gordon, Reno, NASA TM-4513 (1993), most of them fits to JANAF, as ``source`` says) give through
Cantera 3.2.  Compounds of P, S, Br and Hg are left out, whose elements the two tables take in other
states.  Elemental references are fitted to the tables at all temperatures without the compound in
question, as Stevanović et al., Phys. Rev. B 85, 115104 (2012) fit them; energies as they are stand
beside.

Measured Gibbs energies (``gnomon gibbs --measured``) stand beside: against the same tables, with
the descriptor over measured enthalpies, at the turning points, and what becomes of computed
energies of compounds of three elements from their measured oxides.

    python benchmarks/thermochemistry.py DATA
"""

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.entries.computed_entries import GibbsComputedStructureEntry

from gnomon.elements import parse_formula
from gnomon.hull.phases import compositions
from gnomon.synthesis.measured import measured_enthalpy, measured_gibbs, measured_solids
from gnomon.synthesis.solids import Solids, solids_from_table
from gnomon.synthesis.thermo import (
    CARBONATE,
    carbonates,
    element_gibbs,
    g_delta,
    gas_gibbs,
    gibbs_energies,
    reduced_masses,
)
from record import RESULTS, save

TEMPERATURES = (300, 600, 1000)
RIDGE = 0.3
"""Weight of a zero correction, so that an element of one compound is not fitted to it."""

# Enthalpies of formation at 298.15 K, kJ/mol: Wagman et al., J. Phys. Chem. Ref. Data 11, suppl. 2
NBS = {
    "Li2CO3": -1215.9,
    "Na2CO3": -1130.68,
    "K2CO3": -1151.02,
    "Rb2CO3": -1135.96,
    "Cs2CO3": -1139.7,
    "MnCO3": -894.1,
    "CdCO3": -750.6,
    "ZnCO3": -812.78,
}
# NBS enthalpies (kJ/mol) and entropies (J/mol/K) at 298.15 K; the difference of heat capacities of
# the reaction is set to zero, which shifts a temperature by less than 40 K
TABLES = {
    "MgCO3": (-1095.8, 65.7),
    "CaCO3": (-1206.92, 92.9),
    "SrCO3": (-1220.1, 97.1),
    "BaCO3": (-1216.3, 112.1),
    "MgO": (-601.7, 26.94),
    "CaO": (-635.09, 39.75),
    "SrO": (-592.0, 54.4),
    "BaO": (-553.5, 70.42),
    "TiO2": (-944.7, 50.33),
    "BaTiO3": (-1659.8, 107.9),
    "CO2": (-393.509, 213.74),
}
REACTIONS = (
    (("MgCO3",), ("MgO", "CO2")),
    (("CaCO3",), ("CaO", "CO2")),
    (("SrCO3",), ("SrO", "CO2")),
    (("BaCO3",), ("BaO", "CO2")),
    (("BaCO3", "TiO2"), ("BaTiO3", "CO2")),
)


def against_pymatgen(data: Path) -> dict:
    """The largest difference of g_delta, and of Gibbs energies of whole entries, in eV/atom."""
    with gzip.open(data / "thermochemistry/gibbs_440_solids.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    worst = whole = mass = 0.0
    untabled: set[str] = set()
    for row in rows:
        volume = float(row["V"])
        composition = Composition(row["formula"])
        counts = compositions([row["formula"]])
        mass = max(mass, abs(float(reduced_masses(counts)[0]) - float(row["m"])))
        n = round(composition.num_atoms)
        species = [e for e, k in composition.items() for _ in range(round(k))]
        structure = Structure(Lattice.cubic((volume * n) ** (1 / 3)), species, np.zeros((n, 3)))
        for temperature in (300.0, 650.0, 1000.0, 1999.0):
            theirs = GibbsComputedStructureEntry._g_delta_sisso(
                volume, GibbsComputedStructureEntry._reduced_mass(structure), temperature
            )
            ours = g_delta(np.array([volume]), reduced_masses(counts), temperature)[0]
            worst = max(worst, abs(float(theirs) - float(ours)))
            if not {str(e) for e in composition} <= {*element_gibbs(temperature)}:
                untabled.add(row["formula"])
                continue
            entry = GibbsComputedStructureEntry(structure, -1.0, temp=temperature)
            if not entry.experimental:
                energy = gibbs_energies(counts, np.array([-1.0]), np.array([volume]), temperature)
                whole = max(whole, abs(entry.energy / n - float(energy[0])))
    return {
        "solids": len(rows),
        "largest difference of g_delta (eV/atom)": worst,
        "largest difference of whole entries (eV/atom)": whole,
        "not whole, as an element has no table": sorted(untabled),
        "largest difference of reduced masses to the file (g/mol)": mass,
    }


def solids_of(data: Path) -> Solids:
    place = data / "materials_project"
    table = pq.read_table(place / "ground_states.parquet")
    return solids_from_table(table, "MP", cells=pq.read_table(place / "structures.parquet"))


def energies(solids: Solids, rows: list[int], temperature: float) -> np.ndarray:
    some = solids.take(np.array(rows))
    raw = some.phases.formation_energy_per_atom + CARBONATE * carbonates(some.phases.composition)
    return gibbs_energies(some.phases.composition, raw, some.volume_per_atom, temperature)


def against_tables(solids: Solids) -> dict:
    """Errors of Gibbs energies of formation, eV/atom."""
    tables = json.loads((RESULTS / "janaf.json").read_text("utf-8"))
    place = {str(f): i for i, f in enumerate(solids.phases.reduced_formulas)}
    names = [name for name in tables if name in place]
    rows = [place[name] for name in names]
    errors = np.array(
        [
            energies(solids, rows, t) - [tables[n]["gibbs"][str(t)] for n in names]
            for t in TEMPERATURES
        ]
    ).T
    fractions = solids.phases.composition[rows]
    fractions = fractions / fractions.sum(1, keepdims=True)
    left_out = errors.copy()
    for i in range(len(names)):
        others = np.arange(len(names)) != i
        a = fractions[others]
        fit = np.linalg.solve(a.T @ a + RIDGE**2 * np.eye(a.shape[1]), a.T @ errors[others].mean(1))
        left_out[i] -= fractions[i] @ fit

    cells = ~solids.estimated[rows]

    def said(found: np.ndarray) -> dict:
        size = np.abs(found)
        return {str(t): round(float(m), 4) for t, m in zip(TEMPERATURES, size.mean(0), strict=True)}

    return {
        "solids": len(names),
        "mean absolute error, energies as they are (eV/atom)": said(errors),
        "median": round(float(np.median(np.abs(errors))), 4),
        "mean absolute error, fitted references, each left out (eV/atom)": said(left_out),
        "mean over all temperatures, fitted references": round(float(np.abs(left_out).mean()), 4),
        "median, fitted references": round(float(np.median(np.abs(left_out))), 4),
        "solids whose cells are known": int(cells.sum()),
        "mean absolute error of these, fitted references (eV/atom)": said(left_out[cells]),
        "mean of these over all temperatures": round(float(np.abs(left_out[cells]).mean()), 4),
        "each": {
            n: {"as they are": e.round(3).tolist(), "fitted references": f.round(3).tolist()}
            for n, e, f in zip(names, errors, left_out, strict=True)
        },
    }


def measured_ones(solids: Solids) -> dict:
    """Errors of measured Gibbs energies, and of the descriptor over measured enthalpies."""
    tables = json.loads((RESULTS / "janaf.json").read_text("utf-8"))
    place = {str(f): i for i, f in enumerate(solids.phases.reduced_formulas)}
    names = sorted({*tables} & {*place} & measured_solids())
    some = solids.take(np.array([place[name] for name in names]))
    counts, enthalpies = some.phases.composition, np.array([measured_enthalpy(n) for n in names])
    errors: dict[str, list[np.ndarray]] = {"measured": [], "descriptor over measured": []}
    for t in TEMPERATURES:
        truth = np.array([tables[n]["gibbs"][str(t)] for n in names])
        by_volume = gibbs_energies(counts, enthalpies, some.volume_per_atom, t)
        errors["measured"].append([measured_gibbs(n, t) for n in names] - truth)
        errors["descriptor over measured"].append(by_volume - truth)
    return {"solids": len(names)} | {
        kind: {
            "mean absolute error (eV/atom)": np.abs(found).mean(axis=1).round(4).tolist(),
            "mean": round(float(np.abs(found).mean()), 4),
            "median": round(float(np.median(np.abs(found))), 4),
        }
        for kind, found in errors.items()
    }


def from_oxides(solids: Solids, temperature: float = 1000.0) -> dict:
    """Energies of compounds of two metals and O from their oxides against measured ones, eV/atom.

    All computed, and the compound computed with its oxides measured.
    """
    place = {str(f): i for i, f in enumerate(solids.phases.reduced_formulas)}
    known = sorted(n for n in measured_solids() & {*place} if "O" in parse_formula(n))
    oxides = [n for n in known if len(parse_formula(n)) == 2]

    def computed(formula: str) -> float:
        return float(energies(solids, [place[formula]], temperature)[0])

    def measured(formula: str) -> float:
        return measured_gibbs(formula, temperature)

    rows = {}
    for name in known:
        amounts = parse_formula(name)
        first, *more = sorted({*amounts} - {"O"})
        if len(more) != 1 or {*amounts} & {"C", "H", "N", "S", "P", "F", "Cl", "Br", "I"}:
            continue
        for pair in ((a, b) for a in oxides for b in oxides):
            mine, other = (parse_formula(oxide) for oxide in pair)
            if first not in mine or more[0] not in other:
                continue
            shares = amounts[first] / mine[first], amounts[more[0]] / other[more[0]]
            if abs(shares[0] * mine["O"] + shares[1] * other["O"] - amounts["O"]) > 1e-9:
                continue
            parts = [s * sum(parse_formula(o).values()) for s, o in zip(shares, pair, strict=True)]

            def gained(whole, part, name=name, parts=parts, pair=pair) -> float:
                atoms = sum(parse_formula(name).values())
                own = sum(n * part(o) for n, o in zip(parts, pair, strict=True))
                return whole(name) - own / atoms

            truth = gained(measured, measured)
            rows[name] = {
                "measured": round(truth, 3),
                "error, computed": round(gained(computed, computed) - truth, 3),
                "error, mixed": round(gained(computed, measured) - truth, 3),
            }
    return {
        "compounds": len(rows),
        **{
            f"mean absolute {kind}": round(float(np.mean([abs(r[kind]) for r in rows.values()])), 4)
            for kind in ("error, computed", "error, mixed")
        },
        "each": rows,
    }


def turning_points(solids: Solids) -> list[dict]:
    """Where reactions turn favourable in 1 bar of CO2, K; and in air of 4e-4 bar."""
    tables = json.loads((RESULTS / "janaf.json").read_text("utf-8"))
    found = []
    for pressure in (1.0, 4e-4):
        for left, right in REACTIONS:
            enthalpy, entropy = (
                sum(TABLES[f][k] for f in right) - sum(TABLES[f][k] for f in left) for k in (0, 1)
            )
            table = 1000 * enthalpy / (entropy - 8.314 * np.log(pressure))
            source = "NBS, no change of heat capacities"
            if {*left, *right} <= {*tables, "CO2"}:
                table, source = _crossing(tables, left[0], right[0], pressure), "JANAF"
            own, measured = (_turning(solids, left, right, pressure, m) for m in (False, True))
            found.append(
                {
                    "reaction": f"{' + '.join(left)} → {' + '.join(right)}",
                    "CO2 (bar)": pressure,
                    "tables (K)": round(float(table)),
                    "of the tables": source,
                    "here (K)": own,
                    "difference (K)": round(own - float(table)),
                    "measured (K)": measured,
                    "difference, measured (K)": round(measured - float(table)),
                }
            )
    return found


def _turning(solids: Solids, left, right, pressure: float, measured: bool) -> float:
    """Where a reaction that gives off CO2 gains energy, K."""
    place = {str(f): i for i, f in enumerate(solids.phases.reduced_formulas)}
    for temperature in np.arange(300.0, 2000.0, 5.0):
        total = gas_gibbs("CO2", temperature, pressure)
        for sign, side in ((1, right), (-1, left)):
            for formula in side:
                if formula != "CO2":
                    atoms = sum(parse_formula(formula).values())
                    own = (
                        measured_gibbs(formula, temperature)
                        if measured
                        else energies(solids, [place[formula]], temperature)[0]
                    )
                    total += sign * atoms * own
        if total < 0:
            return float(temperature)
    return np.nan


def _crossing(tables: dict, carbonate: str, oxide: str, pressure: float) -> float:
    """Where the tabulated Gibbs energy of a decomposition is zero, K, between tabulated points."""
    grid = np.arange(300.0, 2000.0, 5.0)

    def of(formula: str, atoms: int) -> np.ndarray:
        values = [tables[formula]["gibbs"][str(t)] for t in TEMPERATURES]
        return atoms * np.polyval(np.polyfit(TEMPERATURES, values, 1), grid)

    total = of(oxide, 2) - of(carbonate, 5) + [gas_gibbs("CO2", t, pressure) for t in grid]
    return float(grid[np.argmax(total < 0)])


def carbonate_fit(solids: Solids) -> dict:
    """What the energies of carbonates lack against the NBS tables, eV a group."""
    place = {str(f): i for i, f in enumerate(solids.phases.reduced_formulas)}
    lack = {}
    for formula, enthalpy in NBS.items():
        row = place[formula]
        atoms = solids.phases.composition[row].sum()
        own = solids.phases.formation_energy_per_atom[row] * atoms
        lack[formula] = round(float(enthalpy / 96.48533 - own), 3)
    return {"mean (eV)": round(float(np.mean(list(lack.values()))), 3), "each": lack}


if __name__ == "__main__":
    shared = Path(sys.argv[1])
    solids = solids_of(shared)
    save(
        {
            "against pymatgen": against_pymatgen(shared),
            "against the tables": against_tables(solids),
            "measured": measured_ones(solids),
            "compounds from their oxides": from_oxides(solids),
            "turning points": turning_points(solids),
            "carbonates": carbonate_fit(solids),
        },
        RESULTS / "thermochemistry.json",
    )

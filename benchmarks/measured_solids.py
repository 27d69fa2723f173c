"""Measured enthalpies, entropies and heat capacities of solids, from the tables in ``chemicals``.

The package chemicals (MIT) carries the standard thermodynamic properties of chemical substances of
the CRC Handbook of Chemistry and Physics (Haynes, 95th ed., 2014), by CAS number, and formulas by
CAS number of PubChem.  A solid is kept if its tabulated Gibbs energy of formation follows from its
enthalpy, its entropy and those of the elements to 4 kJ/mol or 1 % of the enthalpy: a wrong formula,
or a wrong digit, shows there.  Compounds of C, H, N, O and halogens alone are left out.  BaTiO3 is
that of the NBS tables (Wagman et al., J. Phys. Chem. Ref. Data 11, suppl. 2 (1982)), its heat
capacity the sum of those of BaO and TiO2.

    python benchmarks/measured_solids.py FOLDER-OF-CHEMICALS
"""

import csv
import json
import re
import sys
from pathlib import Path

from gnomon.elements import SYMBOLS, element, parse_formula
from gnomon.hull.phases import compositions, reduced_formulas

PLACE = Path(__file__).parents[1] / "src/gnomon/synthesis/measured_solids.json"
TABLE = "Heat Capacity/CRC Standard Thermodynamic Properties of Chemical Substances.tsv"
GASES = ("Hydrogen", "Nitrogen", "Oxygen", "Fluorine", "Chlorine")
NAMES = {"Aluminum": "Al", "Cesium": "Cs", "Carbon (graphite)": "C", "Sulfur (rhombic)": "S",
         "Phosphorus (white)": "P", "Selenium (gray)": "Se", "Arsenic (gray)": "As",
         "Tin (white)": "Sn"}  # fmt: skip
FORMULAS = {"Bismuth oxide": "Bi2O3", "Lanthanum oxide": "La2O3", "Neodymium(III) oxide": "Nd2O3",
            "Yttrium oxide": "Y2O3", "Ytterbium(III) oxide": "Yb2O3", "Lutetium oxide": "Lu2O3",
            "Scandium oxide": "Sc2O3", "Cerium(III) oxide": "Ce2O3", "Lithium oxide": "Li2O",
            "Manganese(II,III) oxide": "Mn3O4", "Titanium(IV) oxide (rutile)": "TiO2",
            "Bismuth sulfide": "Bi2S3", "Indium(III) sulfide": "In2S3", "Iron carbide": "Fe3C",
            "Potassium superoxide": "KO2", "Sodium superoxide": "NaO2", "Calcium carbide": "CaC2",
            "Lanthanum monosulfide": "LaS", "Chromium iron oxide": "FeCr2O4",
            "Lead(II) orthosilicate": "Pb2SiO4", "Manganese(II) orthosilicate": "Mn2SiO4",
            "Strontium orthosilicate": "Sr2SiO4", "Zinc orthosilicate": "Zn2SiO4",
            "Magnesium orthosilicate": "Mg2SiO4", "Rubidium metaborate": "RbBO2",
            "Potassium metaborate": "KBO2", "Zirconium titanate": "ZrTiO4"}  # fmt: skip
"""Of substances whose numbers PubChem's list lacks."""

ORGANIC = {"C", "H", "N", "O", "F", "Cl", "Br", "I"}
NEAR, SHARE = 4.0, 0.01


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def element_entropies(rows: list[dict[str, str]]) -> dict[str, float]:
    """J/mol/K of each element in its reference state, an atom."""
    names = {element(z).long_name: SYMBOLS[z] for z in range(1, 93)} | NAMES
    found = {}
    for row in rows:
        symbol = names.get(row["Chemical"])
        if symbol is None:
            continue
        if row["Chemical"] in GASES:
            found[symbol] = float(row["S0g"]) / 2
        elif row["S0l"] and row["Hfl"] == "0":
            found[symbol] = float(row["S0l"]) / (2 if symbol == "Br" else 1)
        elif row["S0s"] and row["Hfs"] == "0":
            found[symbol] = float(row["S0s"]) / (2 if symbol == "I" else 1)
    return found


def formulas_of(place: Path, wanted: set[str]) -> dict[str, str]:
    """Formulas of PubChem by CAS number."""
    found = {}
    for path in sorted((place / "Identifiers").glob("*.tsv")):
        for line in path.open(encoding="utf-8"):
            parts = line.rstrip("\n").split("\t")
            if len(parts) > 3 and parts[1] in wanted and not re.search(r"[+\-.]", parts[2]):
                found[parts[1]] = parts[2]
    return found


def solids(place: Path) -> tuple[dict[str, list[float]], int]:
    """Enthalpy (kJ/mol), entropy and heat capacity (J/mol/K) a reduced formula; how many failed."""
    rows = rows_of(place / TABLE)
    entropies = element_entropies(rows)
    whole = {row["CAS"]: row for row in rows if all(row[k] for k in ("Hfs", "Gfs", "S0s", "Cps"))}
    found: dict[str, list[float]] = {}
    failed = 0
    formulas = {
        cas: FORMULAS[r["Chemical"]] for cas, r in whole.items() if r["Chemical"] in FORMULAS
    }
    for cas, formula in (formulas_of(place, {*whole}) | formulas).items():
        try:
            amounts, counts = parse_formula(formula), compositions([formula])
            name = str(reduced_formulas(counts)[0])
        except ValueError:
            continue
        if len(amounts) < 2 or {*amounts} <= ORGANIC or not {*amounts} <= {*entropies}:
            continue
        h, g, s, c = (float(whole[cas][key]) for key in ("Hfs", "Gfs", "S0s", "Cps"))
        expected = h - 298.15 * (s - sum(n * entropies[e] for e, n in amounts.items()))
        if abs(expected - g) > max(1000 * NEAR, SHARE * abs(h)):
            failed += 1
            continue
        units = float(counts.sum() / compositions([name]).sum())
        values = [round(h / units / 1000, 2), round(s / units, 2), round(c / units, 2)]
        best = found.get(name)
        if best is None or values[0] - 0.29815 * values[1] < best[0] - 0.29815 * best[1]:
            found[name] = values
    return found, failed


if __name__ == "__main__":
    csv.field_size_limit(10**9)
    found, failed = solids(Path(sys.argv[1]))
    titania, baria = found["TiO2"], found["BaO"]
    found["BaTiO3"] = [-1659.8, 107.9, round(titania[2] + baria[2], 2)]
    lines = [f'  "{name}": {json.dumps(found[name])}' for name in sorted(found)]
    PLACE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    print(f"{len(found)} solids; {failed} left out, whose Gibbs energies contradict the rest")

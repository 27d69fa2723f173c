"""Do potentials hold +U where metals see hardly any O or F?  On crystals of the Materials Project.

    python benchmarks/plus_u.py --data DATA [--weights gnomon-2 nequix-oam-1-pft]

Crystals of ``materials_project/structures.parquet`` (formula hashes below 75, at most 40 atoms)
with +U metals of which O and F take less than two electrons each, as they are: energy with the
MP2020 corrections less the elements (fitted, ``references.json`` of the package) less the formation
energy of the file, eV/atom.
"""

import argparse
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gnomon.elements import SYMBOLS
from gnomon.evaluate.corrections import hubbard_u, mp2020_correction_per_atom
from gnomon.io import from_arrow
from gnomon.potential.predict import load_potential
from record import RESULTS, save

LESS, ATOMS, SEEN = 2.0, 40, 75


def main() -> None:
    """Each crystal with its charge for each +U metal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", default=["gnomon-2", "nequix-oam-1-pft"])
    given = parser.parse_args()
    table = pq.read_table(given.data / "materials_project" / "structures.parquet")
    table = table.filter(np.array(table["formula_hash"]) < SEEN)
    every = from_arrow(table)
    charge = np.full(len(every), np.inf)
    for i, counts in enumerate(every.reduced_counts):
        atoms = {SYMBOLS[z]: n for z, n in counts}
        if (len(atoms) > 1) and (metals := hubbard_u(counts)):
            taken = 2 * atoms.get("O", 0) + atoms.get("F", 0)
            charge[i] = taken / sum(atoms[metal] for metal in metals)
    rows = np.flatnonzero((charge < LESS) & (every.n_atoms <= ATOMS))
    crystals = every[rows]
    formation = table["formation_energy_per_atom"].to_numpy()[rows]
    text = (resources.files("gnomon.evaluate") / "data" / "references.json").read_text("utf-8")
    references = {row["scheme"].partition(" (")[0]: row["elements"] for row in json.loads(text)}
    off = {}
    for name in given.weights:
        zero = np.array([references[name].get(s, {}).get("fitted", np.nan) for s in SYMBOLS])
        zero = np.where(crystals.composition.any(axis=0), zero, 0.0)
        energy = load_potential(name).predict(crystals).energy / crystals.n_atoms
        energy = energy + mp2020_correction_per_atom(crystals)
        off[name] = energy - crystals.fractions @ zero - formation
    found = [
        {
            "reduced_formula": str(crystals.reduced_formulas[i]),
            "charge_for_each_metal": round(float(charge[rows[i]]), 2),
            **{name: round(float(value[i]), 3) for name, value in off.items()},
        }
        for i in np.argsort(charge[rows], kind="stable").tolist()
    ]
    save({"units": "eV/atom", "crystals": found}, RESULTS / "plus_u.json")


if __name__ == "__main__":
    main()

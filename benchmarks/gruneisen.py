"""Why thermal expansions come out too large: how modes soften as a crystal expands, against PBE.

    python benchmarks/gruneisen.py --levels gnomon-2 nequix-oam-1-pft gpaw --only Al

Frozen phonons at X of the fcc lattice (two primitive cells, atoms displaced by 0.02 Å) at three
volumes, lattice parameters of PBE and 2 % below and above, by potentials and by GPAW (PBE, plane
waves) at the same geometries: mode Grüneisen parameters -d ln(nu) / d ln(V), of the squares of
frequencies over the whole range, the volume of least energy, bulk modulus and its derivative by a
parabola and a cubic through the energies.  ``alpha`` is gamma C_V / (3 B V) with the mean of these
modes' parameters and the classical heat capacity at the volume of least energy: a comparison of
levels, no expansion.  GPAW's calculations are kept, so that a run that was stopped goes on.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
from ase import Atoms
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from gnomon import Calculator
from gnomon.evaluate.gpaw import GpawConfig, mesh, plane_waves
from gnomon.potential.card import EV_PER_A3
from record import RESULTS, save

RESULT = RESULTS / "gruneisen.json"
CRYSTALS = {"Al": ("fcc", 4.04, 3.5), "NaCl": ("rocksalt", 5.70, 2.0)}
"""And the lattice parameter by PBE, Å, to 0.01, and the density of its k-points, Å."""

TWICE = np.array([[0, 0, 1], [1, -1, 0], [1, 1, -1]]).T
"""Two primitive cells that X (0 0.5 0.5) fits in: the tetragonal ones."""

X = [0.5, 0.5, 0.0]
LENGTHS = (0.98, 1.0, 1.02)
SETTINGS = GpawConfig(ecut=400, kpt_density=1, width=0.1, energy_convergence=1e-6)
K_B = 8.617333e-5
"""eV/K."""


def phonons(name: str, length: float) -> Phonopy:
    """Displaced cells of a crystal with this lattice parameter over PBE's."""
    structure, a, _ = CRYSTALS[name]
    atoms = ase.build.bulk(name, structure, a=a * length)
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=np.array(atoms.cell),
        scaled_positions=atoms.get_scaled_positions(),
    )
    made = Phonopy(cell, supercell_matrix=TWICE, primitive_matrix=np.eye(3))
    made.generate_displacements(distance=0.02)
    return made


def forced(level: str, name: str, cell: PhonopyAtoms, work: Path) -> tuple[float, np.ndarray]:
    """Energy, eV, and forces, eV/Å, of a cell."""
    atoms = Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
    if level == "gpaw":
        size = mesh(atoms, CRYSTALS[name][2])
        atoms.calc = plane_waves(SETTINGS, size, work / "gpaw.txt")
    else:
        atoms.calc = CALCULATORS.setdefault(level, Calculator(level, dtype="float64"))
    return float(atoms.get_potential_energy()), atoms.get_forces()


CALCULATORS: dict[str, Calculator] = {}


def measured(level: str, name: str, work: Path) -> dict[str, Any]:
    """Of a crystal by a level."""
    kept = work / f"{level}-{name}.json"
    known = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    volumes, energies, squares = [], [], []
    began = time.process_time()
    for length in LENGTHS:
        made = phonons(name, length)
        found = []
        for i, cell in enumerate([made.supercell, *made.supercells_with_displacements]):
            key = f"{length} {i}"
            if key not in known:
                energy, forces = forced(level, name, cell, work)
                known[key] = energy, forces.tolist()
                kept.write_text(json.dumps(known), "utf-8")
                print(level, name, key, round(time.process_time() - began), "s", flush=True)
            found.append(known[key])
        volumes.append(made.supercell.volume / len(made.supercell))
        energies.append(found[0][0] / len(made.supercell))
        made.forces = np.array([forces for _, forces in found[1:]])
        made.produce_force_constants(show_drift=False)
        made.symmetrize_force_constants(show_drift=False)
        frequencies = np.sort(made.get_frequencies(X))
        squares.append(np.sign(frequencies) * frequencies**2)
    v, modes = np.array(volumes), np.array(squares)
    with np.errstate(invalid="ignore"):
        gamma = -(np.log(modes[2]) - np.log(modes[0])) / 2 / np.log(v[2] / v[0])
    curve = np.polyfit(v, energies, 2)
    least = -curve[1] / (2 * curve[0])
    bulk = 2 * curve[0] * least
    return {
        "frequencies_thz": np.round(np.sqrt(modes), 2).tolist(),
        "gruneisen": np.round(gamma, 2).tolist(),
        "mean_gruneisen": round(float(gamma.mean()), 2),
        "volume_per_atom": round(float(least), 3),
        "bulk_modulus": round(float(bulk * EV_PER_A3), 1),
        "alpha_1e-6": round(float(1e6 * gamma.mean() * K_B / (bulk * least)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--levels", nargs="+", default=["gnomon-2", "nequix-oam-1-pft", "gpaw"])
    parser.add_argument("--only", nargs="+", default=list(CRYSTALS), choices=list(CRYSTALS))
    parser.add_argument("--work", type=Path, default=Path("gruneisen-work"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    before = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    found: dict[str, Any] = before.get("crystals", {})
    for name in given.only:
        for level in given.levels:
            found.setdefault(name, {})[level] = measured(level, name, given.work)
            save({"benchmark": "gruneisen", "crystals": found}, RESULT)


if __name__ == "__main__":
    main()

"""Equilibrium volumes and bulk moduli of simple crystals: one potential against another.

    python benchmarks/equation_of_state.py --reference weights/nequix-oam-1-pft.nqx
    python benchmarks/equation_of_state.py --weights nequix-mp-1 --reference nequix-oam-1-pft

Each cubic primitive cell is scanned in volume about each potential's own minimum, in double
precision, and ASE's equation of state of Birch and Murnaghan is fitted; the scan moves until the
minimum lies at its centre.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.eos import EquationOfState

from gnomon import Calculator
from record import RESULTS, save

CRYSTALS = {
    "Si": bulk("Si", "diamond", a=5.43),
    "NaCl": bulk("NaCl", "rocksalt", a=5.64),
    "MgO": bulk("MgO", "rocksalt", a=4.21),
    "Cu": bulk("Cu", "fcc", a=3.61),
    "Fe": bulk("Fe", "bcc", a=2.87),
}
"""At lattice parameters of the laboratory, Å."""

SCAN = np.linspace(0.94, 1.06, 9)
"""Volumes of a scan over the volume at its centre."""

TRIES = 6
"""Scans before a crystal counts as having no minimum."""

ALLOWED = {"volume": 0.03, "bulk_modulus": 0.15}
"""Deviations from the reference that a potential trained on it may show."""


def equation_of_state(atoms: Atoms, calculator: Calculator) -> dict[str, float] | None:
    """Volume (Å3/atom) and bulk modulus (GPa) at the minimum of the energy, or None."""
    volume = atoms.get_volume()
    for _ in range(TRIES):
        volumes, energies = volume * SCAN, []
        for each in volumes:
            scaled = atoms.copy()
            scaled.set_cell(atoms.cell * np.cbrt(each / atoms.get_volume()), scale_atoms=True)
            scaled.calc = calculator
            energies.append(scaled.get_potential_energy())
        lowest = int(np.argmin(energies))
        if 2 <= lowest <= len(SCAN) - 3:
            minimum, energy, modulus = EquationOfState(volumes, energies, "birchmurnaghan").fit()
            if abs(minimum / volume - 1) < 0.01:  # both potentials are fitted about their minimum
                return {
                    "volume": float(minimum) / len(atoms),
                    "bulk_modulus": float(modulus) / units.GPa,
                    "energy": float(energy) / len(atoms),
                }
            volume = float(minimum)
        else:
            volume = float(volumes[lowest])
    return None


def compare(weights: str, reference: str) -> dict[str, Any]:
    """Both potentials, and their ratios."""
    ours, theirs = (Calculator(name, dtype="float64") for name in (weights, reference))
    rows, within = {}, 0
    for name, atoms in CRYSTALS.items():
        a, b = equation_of_state(atoms, ours), equation_of_state(atoms, theirs)
        ratios = {key: a[key] / b[key] for key in ALLOWED} if a and b else None
        passed = ratios is not None and all(abs(ratios[k] - 1) < ALLOWED[k] for k in ALLOWED)
        within += passed
        rows[name] = {"weights": a, "reference": b, "ratio": ratios, "within": passed}
        print(f"{name:5s}", *(_line(row) for row in (a, b, ratios)), sep="  ")
    return {
        "weights": ours.scheme,
        "reference": theirs.scheme,
        "units": {"volume": "Å3/atom", "bulk_modulus": "GPa", "energy": "eV/atom"},
        "allowed": ALLOWED,
        "within": f"{within} of {len(CRYSTALS)}",
        "crystals": rows,
    }


def _line(row: dict[str, float] | None) -> str:
    return f"{row['volume']:8.3f} {row['bulk_modulus']:8.2f}" if row else "no minimum"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", default="gnomon-1", help="name or file")
    parser.add_argument("--reference", default="nequix-oam-1-pft", help="name or file")
    parser.add_argument("--out", type=Path, default=RESULTS / "equation_of_state.json")
    arguments = parser.parse_args()
    save(compare(arguments.weights, arguments.reference), arguments.out)


if __name__ == "__main__":
    main()

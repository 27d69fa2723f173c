"""Lattice constants and formation energies by GPAW beside published PBE values.

    python benchmarks/dft.py --folder CHECKPOINTS                      # gpaw:screening
    python benchmarks/dft.py --folder CHECKPOINTS --preset tight --only Si Cu
    python benchmarks/dft.py --folder CHECKPOINTS --data DATA          # checks MATERIALS_PROJECT

Every crystal goes through the evaluator of `gnomon verify --engine gpaw`, at the cutoff and
k-points of the preset and with forces below 0.005 eV/Å: lattice constants need tighter forces than
energies.  A run that was killed goes on from the evaluator's checkpoints.  The references of
formation energies are Na bcc, Mg hcp, Cu and Au fcc, and O2 (triplet) and Cl2 as single molecules
in a box, with one k-point; silicon is its own.

What is compared with, all of it PBE without any fitted correction:

* Si, Cu, Au: all-electron volumes of WIEN2k, as ASE's ``ase.collections.dcdft`` holds them
  (Lejaeghere et al., Crit. Rev. Solid State Mater. Sci. 39, 1 (2014)).
* Na, NaCl, MgO: all-electron lattice constants of Garrity et al., Comput. Mater. Sci. 81, 446
  (2014), tables 1 and 2 of the supplement, as transcribed in the tests of GPAW.
* CuAu, and all formation energies: Materials Project (Jain et al., APL Mater. 1, 011002 (2013),
  CC-BY 4.0), VASP, its fitted corrections for O and Cl (MP2020) taken off again.
"""

import argparse
import json
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import atomic_number, parse_formula
from gnomon.evaluate import Status

BOX = (7.0, 7.0, 8.0)
"""Å: molecules lie along the last edge; their copies are at least 6 Å apart."""

LIMITS = {"fmax": 0.005, "max_steps": 60, "max_seconds": 7200.0}

GAMMA = 0.1
"""k-points for each 1/Å that leave a molecule the one at Γ: its box has no bands."""


def primitive(edges: np.ndarray, formula: str, *coords: list[float]) -> Crystals:
    """A crystal with one atom of each symbol of a formula, which may repeat, for each site."""
    counts = parse_formula(formula)
    numbers = [atomic_number(s) for s, n in counts.items() for _ in range(int(n))]
    return Crystals.single(edges, numbers, np.array(coords, dtype=np.float64))


def fcc(formula: str, a: float, *coords: list[float]) -> Crystals:
    """On a primitive face-centred cubic cell of edge a (Å)."""
    return primitive(a / 2 * (np.ones((3, 3)) - np.eye(3)), formula, *coords)


def bcc(formula: str, a: float) -> Crystals:
    """One atom in a primitive body-centred cubic cell of edge a (Å)."""
    return primitive(a / 2 * (np.ones((3, 3)) - 2 * np.eye(3)), formula, [0, 0, 0])


def molecule(formula: str, length: float) -> Crystals:
    """Two atoms, ``length`` Å apart, in ``BOX``."""
    return primitive(np.diag(BOX), formula, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5 + length / BOX[2]])


def hcp(formula: str, a: float, c: float) -> Crystals:
    """Two atoms in hexagonal close packing."""
    edges = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    return primitive(edges, formula, [1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75])


@dataclass(frozen=True)
class Case:
    """A crystal or molecule.

    Attributes:
        crystal: as it begins.
        measure: lattice constants (Å) of a relaxed cell, by name.
        relax_cell: not for molecules, whose box is no cell.
    """

    crystal: Crystals
    measure: Callable[[Crystals], dict[str, float]]
    relax_cell: bool = True

    @property
    def limits(self) -> RelaxConfig:
        """Of its relaxation."""
        return RelaxConfig.model_validate(LIMITS | {"relax_cell": self.relax_cell})

    @property
    def options(self) -> dict[str, Any]:
        """That change the preset."""
        return {} if self.relax_cell else {"kpt_density": GAMMA, "relax_kpt_density": None}


def cubic(primitives: int) -> Callable[[Crystals], dict[str, float]]:
    """The edge of the conventional cell, which holds so many primitive ones."""
    return lambda crystal: {"a": float(np.cbrt(primitives * crystal.volumes[0]))}


def l1_0(crystal: Crystals) -> dict[str, float]:
    """The edges of the face-centred cell of L1_0, whose primitive cell is the half of it."""
    edges = np.linalg.norm(crystal.lattice[0], axis=1)
    return {"a": float(np.sqrt(2) * edges[0]), "c": float(edges[2])}


def hexagonal(crystal: Crystals) -> dict[str, float]:
    """The edges a and c."""
    edges = np.linalg.norm(crystal.lattice[0], axis=1)
    return {"a": float(edges[0]), "c": float(edges[2])}


def bond(crystal: Crystals) -> dict[str, float]:
    """The length of a molecule along the last edge of its box."""
    apart = abs(float(np.diff(crystal.frac_coords[:, 2])[0]))
    return {"bond": min(apart, 1 - apart) * BOX[2]}


ORIGIN, MIDDLE = [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]

CASES: dict[str, Case] = {
    "Si": Case(fcc("Si2", 5.50, ORIGIN, [0.25, 0.25, 0.25]), cubic(4)),
    "NaCl": Case(fcc("NaCl", 5.67, ORIGIN, MIDDLE), cubic(4)),
    "MgO": Case(fcc("MgO", 4.23, ORIGIN, MIDDLE), cubic(4)),
    "Cu": Case(fcc("Cu", 3.61, ORIGIN), cubic(4)),
    "Mg": Case(hcp("Mg2", 3.20, 5.20), hexagonal),
    "Na": Case(bcc("Na", 4.23), cubic(2)),
    "Cl2": Case(molecule("Cl2", 1.99), bond, relax_cell=False),
    "O2": Case(molecule("O2", 1.21), bond, relax_cell=False),
    "Au": Case(fcc("Au", 4.14, ORIGIN), cubic(4)),
    "CuAu": Case(primitive(np.diag([2.85, 2.85, 3.69]), "CuAu", ORIGIN, MIDDLE), l1_0),
}
"""In the order in which they are calculated, the quick ones first; none begins where it may end."""

REFERENCES = {"Na": "Na", "Cl": "Cl2", "Mg": "Mg", "O": "O2", "Cu": "Cu", "Au": "Au"}

GARRITY = {"Na": 4.199, "NaCl": 5.714, "MgO": 4.259}
"""Å."""

CUAU = {"a": 2**0.5 * 2.864168, "c": 3.661910}
"""Å: Materials Project, mp-522."""

MATERIALS_PROJECT = {"NaCl": ("mp-22862", -1.8026), "MgO": ("mp-1265", -2.7099)} | {
    "CuAu": ("mp-522", -0.0481)
}
"""Formation energies in eV/atom without MP2020 corrections; `--data` computes them again."""

SAME = 5e-4
"""eV/atom: the digits above."""


def published() -> dict[str, dict[str, float]]:
    """Lattice constants (Å)."""
    from ase.collections import dcdft

    # atoms of the conventional cubic cell
    atoms = {"Si": 8, "Cu": 4, "Au": 4}
    edges = {s: float(np.cbrt(n * dcdft.data[s]["wien2k_volume"])) for s, n in atoms.items()}
    return {name: {"a": a} for name, a in (edges | GARRITY).items()} | {"CuAu": dict(CUAU)}


def uncorrected(data: Path) -> dict[str, float]:
    """Formation energies of the Materials Project (eV/atom) without its fitted corrections."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from gnomon.evaluate.corrections import mp2020_correction_per_atom
    from gnomon.io import from_arrow

    table = pq.read_table(data / "materials_project" / "structures.parquet")
    found = {}
    for name, (key, _) in MATERIALS_PROJECT.items():
        row = table.filter(pc.equal(table["id"], key))
        correction = float(mp2020_correction_per_atom(from_arrow(row))[0])
        found[name] = row["formation_energy_per_atom"][0].as_py() - correction
    return found


def calculate(name: str, preset: str, folder: Path) -> dict[str, Any]:
    """One case by the evaluator of a preset, in a process of its own."""
    from gnomon.evaluate.gpaw import gpaw_evaluator

    case = CASES[name]
    evaluator = gpaw_evaluator(preset, case.options, case.limits, folder, workers=1)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    [found] = evaluator.evaluate(case.crystal)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row: dict[str, Any] = {
        "scheme": evaluator.scheme,
        "status": str(found.status[0]),
        "message": str(found.message[0]),
        "energy_per_atom": float(found.energy_per_atom[0]),
        "steps": int(found.steps[0]),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "wall_s": round(float(found.seconds[0]), 1),
    }
    if row["status"] == Status.CONVERGED:
        row["lengths"] = {k: round(v, 4) for k, v in case.measure(found.relaxed).items()}
        row["published"] = {k: round(v, 4) for k, v in published().get(name, {}).items()}
        row["percent_off"] = {
            k: round(100 * (row["lengths"][k] / v - 1), 2) for k, v in row["published"].items()
        }
    return row


def formation_energies(rows: dict[str, Any]) -> dict[str, Any]:
    """eV/atom of the compounds whose elements are there, beside the published ones."""
    energy = {name: row["energy_per_atom"] for name, row in rows.items() if "lengths" in row}
    found = {}
    for name, (key, value) in MATERIALS_PROJECT.items():
        counts = parse_formula(name)
        if name not in energy or any(REFERENCES[symbol] not in energy for symbol in counts):
            continue
        total = sum(counts.values())
        elements = sum(n * energy[REFERENCES[symbol]] for symbol, n in counts.items()) / total
        found[name] = {
            "formation_energy_per_atom": round(energy[name] - elements, 4),
            "published": value,
            "source": f"Materials Project {key}, MP2020 corrections taken off",
        }
    return found


def main() -> None:
    from record import RESULTS, save

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of checkpoints and logs")
    parser.add_argument("--preset", default="screening", help="of GPAW")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--data", type=Path, help="folder of the reference data, to check values")
    parser.add_argument("--out", type=Path, default=RESULTS / "dft.json")
    given = parser.parse_args()
    if given.data is not None:
        for name, value in uncorrected(given.data).items():
            if abs(value - MATERIALS_PROJECT[name][1]) > SAME:
                raise ValueError(f"{name}: {MATERIALS_PROJECT[name][1]} here, {value:.4f} in data")
    result = json.loads(given.out.read_text("utf-8")) if given.out.is_file() else {}
    presets = result.get("presets", {})
    rows = presets.get(given.preset, {}).get("crystals", {})
    for name in given.only:
        rows[name] = calculate(name, given.preset, given.folder)
        print(name, rows[name], flush=True)
        presets[given.preset] = {"crystals": rows, "formation": formation_energies(rows)}
        save({"benchmark": "dft", "presets": presets}, given.out)


if __name__ == "__main__":
    main()

"""How the octahedra of a halide perovskite tilt: in a cubic cell at rest, and in motion.

    python examples/octahedral_tilts.py CsPbI3 --cells 4 --temperature 700 --ps 2
    python examples/octahedral_tilts.py CsPbI3 --ps 0 --weights nequix-oam-1-pft

The cubic crystal is relaxed.  At rest, all octahedra are turned about one axis, neighbours across
the axis against each other, neighbours along it alike (a0a0c+ in Glazer's notation) or against each
other (a0a0c-): energies that fall on turning say that the cubic crystal is a mean over tilted ones.
In motion (Nosé-Hoover, fixed cell), the rotation of each octahedron in each frame is that which
best carries its six ideal bonds to its six bonds (Kabsch); its mean square, and how alike two
neighbours turn, along the axis (+1: a0a0c+, -1: a0a0c-) and across it (near -1, as they share a
halogen).  The first half does not count.  Says what it cost.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.formula import Formula
from ase.optimize import BFGS
from scipy.spatial.transform import Rotation

from gnomon import Calculator
from gnomon.dynamics.md import Ensemble, MDConfig
from gnomon.dynamics.simulate import simulate
from gnomon.io import as_crystals
from gnomon.potential.predict import LoadedPotential, load_potential

BONDS = np.array([*np.eye(3), *-np.eye(3)])
"""Of an octahedron, the first three to halogens of the same cubic cell."""

ANGLES = np.arange(0, 16, 2)
"""Degrees."""


def perovskite(formula: str, lattice: float) -> Atoms:
    """The cubic cell: A in its middle, B in its corner, halogens half way between corners."""
    a, b, x = Formula(formula).count()
    places = [(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)]
    cell = [lattice] * 3
    return Atoms([a, b, x, x, x], scaled_positions=places, cell=cell, pbc=True)


def turned(cubic: Atoms, degrees: float, along: int) -> Atoms:
    """Eight cells whose octahedra are turned about z, along it alike (1) or in turns (-1)."""
    made = cubic.repeat(2)
    lattice = cubic.cell[0, 0]
    moved = made.positions.reshape(8, 5, 3)
    for one in moved:
        i, j, k = np.round(one[1] / lattice).astype(int)
        shift = (-1.0) ** (i + j) * float(along) ** k * np.tan(np.radians(degrees)) * lattice / 2
        one[2, 1] += shift  # the halogen along x moves along y, and that along y along -x
        one[3, 0] -= shift
    made.positions = moved.reshape(-1, 3)
    return made


def tilts(positions: np.ndarray, lattice: float, cells: int) -> np.ndarray:
    """Rotation vectors of octahedra, degrees, by frame and cell along x, y, z.

    Args:
        positions: (frames, atoms, 3), Å, not wrapped, in ASE's order of repeated cells.
        lattice: of the cubic cell, Å.
        cells: repeated so often each way.
    """
    n = cells
    placed = positions.reshape(len(positions), n, n, n, 5, 3)
    middle, halogens = placed[..., 1, :], placed[..., 2:, :]
    bonds = [halogens[..., k, :] - middle for k in range(3)]
    for k in range(3):
        before = np.roll(halogens[..., k, :], 1, axis=1 + k)
        apart = before - middle
        apart -= n * lattice * np.round((apart + BONDS[k] * lattice / 2) / (n * lattice))
        bonds.append(apart)
    seen = np.stack(bonds, axis=-2).reshape(-1, 6, 3)
    found = [Rotation.align_vectors(one, BONDS * lattice / 2)[0].as_rotvec() for one in seen]
    return np.degrees(found).reshape(len(positions), n, n, n, 3)


def alike(angles: np.ndarray) -> tuple[float, float]:
    """How neighbours turn, along the axis and across it: correlations, mean over axes."""
    along, across = [], []
    for axis in range(3):
        one = angles[..., axis]
        for to in range(3):
            value = (one * np.roll(one, 1, axis=1 + to)).mean() / (one**2).mean()
            (along if to == axis else across).append(value)
    return float(np.mean(along)), float(np.mean(across))


def main() -> None:
    """Print what is found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formula", help="A, B and X in this order: CsPbI3")
    parser.add_argument("--weights", default="gnomon-2")
    parser.add_argument("--lattice", type=float, default=6.3, help="Å, where relaxing begins")
    parser.add_argument("--cells", type=int, default=4, help="cubic cells each way")
    parser.add_argument("--temperature", type=float, default=700.0, help="K")
    parser.add_argument("--ps", type=float, default=2.0, help="0: at rest alone")
    parser.add_argument("--folder", type=Path, default=Path("tilts"), help="of trajectories")
    given = parser.parse_args()
    potential = load_potential(given.weights)
    cubic = perovskite(given.formula, given.lattice)
    cubic.calc = Calculator(potential)
    BFGS(FrechetCellFilter(cubic, hydrostatic_strain=True), logfile=None).run(fmax=0.005)
    lattice = float(cubic.cell[0, 0])
    energies = {}
    for name, along in (("a0a0c+", 1), ("a0a0c-", -1)):
        rows = []
        for degrees in ANGLES:
            atoms = turned(cubic, degrees, along)
            atoms.calc = cubic.calc
            rows.append(float(atoms.get_potential_energy()) / 8)
        energies[name] = np.round(1000 * (np.array(rows) - rows[0]), 1).tolist()
    said = {
        "formula": given.formula,
        "weights": potential.scheme,
        "lattice": round(lattice, 3),
        "angles": ANGLES.tolist(),
        "meV a formula unit": energies,
    }
    if given.ps:
        said |= in_motion(perovskite(given.formula, lattice), given, potential)
    print(json.dumps(said, indent=2))


def in_motion(cubic: Atoms, given: argparse.Namespace, potential: LoadedPotential) -> dict:
    """How octahedra turn in molecular dynamics, and what that cost."""
    config = MDConfig(
        ensemble=Ensemble.NVT_NOSE_HOOVER,
        temperature=given.temperature,
        timestep=4.0,
        steps=round(250 * given.ps),
        interval=25,
        thermostat_time=160.0,
    )
    cell = cubic.repeat(given.cells)
    began = time.process_time()
    (motion,) = simulate(as_crystals(cell), potential, config, given.folder)
    seconds = time.process_time() - began
    half = len(motion.frames) // 2
    angles = tilts(motion.positions[half:], cubic.cell[0, 0], given.cells)
    along, across = alike(angles)
    return {
        "atoms": len(cell),
        "temperature": round(float(np.mean(motion.temperatures[half:]))),
        "frames": len(angles),
        "rms tilt about an axis, degrees": round(float(np.sqrt((angles**2).mean())), 1),
        "tilt of the mean over time": round(float(np.sqrt((angles.mean(axis=0) ** 2).mean())), 1),
        "along": round(along, 2),
        "across": round(across, 2),
        "ended early": motion.message,
        "ms an atom and step": round(1000 * seconds / (config.steps + 1) / len(cell), 2),
        "peak memory, GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


if __name__ == "__main__":
    main()

"""Crystals beside others from which a distortion leads to them."""

import numpy as np
from pymatgen.core import Lattice, Structure


def copper_gold(ratio: float, volume: float = 31.5) -> Structure:
    """B2 at c/a = 1, L1_0 at the square root of 2."""
    a = (volume / ratio) ** (1 / 3)
    return Structure(Lattice.tetragonal(a, a * ratio), ["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def elpasolite(degrees: float) -> Structure:
    """Ba2EuTaO6, the octahedra about Ta turned about c."""
    s = Structure.from_spacegroup(
        "Fm-3m",
        Lattice.cubic(8.44),
        ["Ba", "Eu", "Ta", "O"],
        [[0.25] * 3, [0, 0, 0], [0.5] * 3, [0.235, 0, 0]],
    )
    w = np.radians(degrees)
    turn = np.array([[np.cos(w), -np.sin(w), 0], [np.sin(w), np.cos(w), 0], [0, 0, 1]])
    centres = [site.frac_coords for site in s if site.specie.symbol == "Ta"]
    for i, site in enumerate(s):
        if site.specie.symbol == "O":
            away = [site.frac_coords - c - np.round(site.frac_coords - c) for c in centres]
            j = int(np.argmin([np.linalg.norm(d) for d in away]))
            s.replace(i, "O", centres[j] + turn @ away[j])
    return s.get_primitive_structure()


def barium_titanate(shift: float) -> Structure:
    """Cubic, or with Ti and O moved along c by about so many Å."""
    z = shift / 4.0
    return Structure(
        Lattice.tetragonal(4.0, 4.0 * (1 + z)),
        ["Ba", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5 + z], [0.5, 0.5, -z], [0.5, 0, 0.5 - z], [0, 0.5, 0.5 - z]],
    )

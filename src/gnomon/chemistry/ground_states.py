"""Structures that elements have: the measured ground state of each, and the common ones for all.

Structures are those at low temperature and zero pressure (Donohue, The Structures of the Elements,
Wiley 1974; Young, Phase Diagrams of the Elements, University of California Press 1991).  Where a
martensite below room temperature is incomplete or disputed (Li, Na, Yb) the phase of room
temperature stands, and so does the structure without the small distortions of magnetic order (Cr,
Tb, Dy); of the polymorphs of boron and phosphorus alpha boron and black phosphorus.
"""

from dataclasses import dataclass

import numpy as np

from gnomon.crystals import Crystals
from gnomon.elements import atomic_number

LabelAndCompound = tuple[str, str]
"""An AFLOW label and the library's compound: the label alone does not tell Ga, P and I apart."""

FCC, BCC, HCP = ("A_cF4_225_a", "Cu"), ("A_cI2_229_a", "W"), ("A_hP2_194_c", "Mg")
DHCP, SAMARIUM = ("A_hP4_194_ac", "La"), ("A_hR3_166_ac", "Sm")
DIAMOND, SIMPLE_CUBIC = ("A_cF8_227_a", "C"), ("A_cP1_221_a", "Po")
A5 = ("A_tI4_141_a", "Sn")
A7, A8, A10 = ("A_hR2_166_c", "As"), ("A_hP3_152_a", "Se"), ("A_hR1_166_a", "Hg")

COMMON = (FCC, BCC, HCP, DHCP, SAMARIUM, DIAMOND, SIMPLE_CUBIC, A5, A7, A8, A10)
"""Structures that every element which is no molecule and no noble gas is tried in (and ``A6``)."""

CLOSE_PACKED = frozenset({FCC, BCC, HCP, DHCP, SAMARIUM, A10})
"""Structures in which an element takes about the same volume an atom."""

_ELEMENTS_WITH = {
    FCC: "Ne Al Ar Ca Ni Cu Kr Sr Rh Pd Ag Xe Ce Yb Ir Pt Au Pb Ac Th",
    BCC: "Li Na K V Cr Fe Rb Nb Mo Cs Ba Eu Ta W Ra",
    HCP: "He Be Mg Sc Ti Co Zn Y Zr Tc Ru Cd Gd Tb Dy Ho Er Tm Lu Hf Re Os Tl",
    DHCP: "La Pr Nd Pm",
    SAMARIUM: "Sm",
    DIAMOND: "Si Ge Sn",
    SIMPLE_CUBIC: "Po",
    A7: "As Sb Bi",
    A8: "Se Te",
    A10: "Hg",
    ("A_hR12_166_2h", "B"): "B",
    ("A_hP4_194_bc", "C"): "C",
    ("A_oC8_64_f", "P"): "P",
    ("A_oF128_70_4h", "S"): "S",
    ("A_cI58_217_ac2g", "Mn"): "Mn",
    ("A_oC8_64_f", "Ga"): "Ga",
    ("A_oC8_64_f", "I"): "I",
    ("A_tI2_139_a", "Pa"): "Pa",
    ("A_oC4_63_c", "U"): "U",
    ("A_oP8_62_2c", "Np"): "Np",
    ("A_mP16_11_8e", "Pu"): "Pu",
}

GROUND_STATES: dict[str, LabelAndCompound] = {
    symbol: structure for structure, symbols in _ELEMENTS_WITH.items() for symbol in symbols.split()
}
"""AFLOW's structure of the ground state; H, N, O, F, Cl, Br and In have theirs in ``MEASURED``."""

CONTACTS = {"He": 3.57, "Ne": 3.13, "Ar": 3.72, "Kr": 4.04, "Xe": 4.38}
"""Å between nearest atoms of solid noble gases (a of ASE's reference states over sqrt 2; helium,
which is solid under pressure only: Henshaw, Phys. Rev. 109, 328 (1958)): no covalent spheres."""

BONDS = {"H": 0.7414, "N": 1.0977, "O": 1.2075, "F": 1.4119, "Cl": 2.02, "Br": 2.27, "I": 2.69}
"""Å in the molecule: of the gas to F (Huber and Herzberg, Constants of Diatomic Molecules, 1979),
of the crystals below from Cl on, whose bonds differ from those of the gas."""


@dataclass(frozen=True)
class MeasuredCell:
    """A published crystal with one kind of site.

    Attributes:
        label: as AFLOW would write it.
        space_group: international number, standard setting.
        cell: a, b, c in Å, alpha, beta, gamma in degrees.
        site: fractional coordinates of one atom.
        source: of cell and site.
    """

    label: str
    space_group: int
    cell: tuple[float, float, float, float, float, float]
    site: tuple[float, float, float]
    source: str

    def crystal(self, symbol: str) -> Crystals:
        """The primitive cell, filled with this element: a batch of one."""
        from ase.spacegroup import crystal

        atoms = crystal(
            [symbol],
            [self.site],
            spacegroup=self.space_group,
            cellpar=list(self.cell),
            primitive_cell=True,
        )
        return Crystals.single(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions())


def _pa3(bond: float, a: float, source: str) -> MeasuredCell:
    """Molecules on an fcc lattice along the body diagonals: x = bond / (2 sqrt(3) a), Å."""
    x = bond / (2 * np.sqrt(3) * a)
    return MeasuredCell("A_cP8_205_c", 205, (a, a, a, 90.0, 90.0, 90.0), (x, x, x), source)


def _aligned(bond: float, volume: float) -> MeasuredCell:
    """Molecules on an ideal hcp lattice along c, in Å^3 a molecule."""
    a = float(np.cbrt(np.sqrt(2) * volume))
    c = float(np.sqrt(8 / 3)) * a
    site = (1 / 3, 2 / 3, 0.25 + bond / (2 * c))
    return MeasuredCell("A_hP4_194_f", 194, (a, a, c, 90.0, 90.0, 120.0), site, "ideal packing")


def _tilted(
    bond: float, cell: tuple[float, float, float, float], centre: tuple[float, float], tilt: float
) -> tuple[float, float, float]:
    """Site of a molecule about (x, y, 0) whose axis is ``tilt`` degrees off the normal of ab, to b.

    Args:
        bond: Å.
        cell: a, b, c in Å, beta in degrees.
        centre: x and y, fractional.
        tilt: degrees.
    """
    a, b, c, beta = cell
    angle, lean = np.deg2rad(beta), np.deg2rad(tilt)
    z = bond / 2 * np.cos(lean) / (c * np.sin(angle))
    x = centre[0] - z * c * np.cos(angle) / a
    return float(x), float(centre[1] + bond / 2 * np.sin(lean) / b), float(z)


A6 = MeasuredCell(
    "A_tI2_139_a", 139, (3.2457, 3.2457, 4.939, 90.0, 90.0, 90.0), (0.0, 0.0, 0.0),
    "ASE's reference state of In",
)  # fmt: skip
"""Indium, c/a = 1.52.  (The library's has the a of the face-centred cell, twice the volume.)"""

MEASURED = {
    "H": _pa3(BONDS["H"], 5.312, "Mills and Schuch, Phys. Rev. Lett. 15, 722 (1965)"),
    "N": _pa3(BONDS["N"], 5.65, "AFLOW A_cP8_205_c, with the bond of the gas"),
    "O": MeasuredCell(
        "A_mC4_12_i", 12, (5.403, 3.429, 5.086, 90.0, 132.53, 90.0),
        _tilted(BONDS["O"], (5.403, 3.429, 5.086, 132.53), (0.0, 0.0), 0.0),
        "Barrett, Meyer and Wasserman, J. Chem. Phys. 47, 592 (1967), with the bond of the gas",
    ),
    "F": MeasuredCell(
        "A_mC8_15_f", 15, (5.50, 3.28, 7.28, 90.0, 102.17, 90.0),
        _tilted(BONDS["F"], (5.50, 3.28, 7.28, 102.17), (0.25, 0.25), 11.0),
        "Meyer, Barrett and Greer, J. Chem. Phys. 49, 1902 (1968), with the bond of the gas",
    ),
    "In": A6,
    "Cl": MeasuredCell(
        "A_oC8_64_f", 64, (6.24, 4.48, 8.26, 90.0, 90.0, 90.0), (0.0, 0.130, 0.100),
        "Wyckoff, Crystal Structures, vol. 1 (1963), after Collin",
    ),
    "Br": MeasuredCell(
        "A_oC8_64_f", 64, (6.67, 4.48, 8.72, 90.0, 90.0, 90.0), (0.0, 0.135, 0.110),
        "Wyckoff, Crystal Structures, vol. 1 (1963), after Vonnegut and Warren",
    ),
}  # fmt: skip
"""Ground states that the library lacks or holds with wrong lengths."""

MOLECULAR = frozenset({*BONDS, "S"})
"""Elements of molecules: packed atoms tell nothing about them."""


def second_packing(symbol: str, volume: float) -> MeasuredCell:
    """Another way to pack the diatomic molecules of an element, should its own not relax.

    Args:
        symbol: one of ``BONDS``.
        volume: of its ground state, Å^3 a molecule.
    """
    if symbol in MEASURED and MEASURED[symbol].space_group == 205:
        return _aligned(BONDS[symbol], volume)
    return _pa3(BONDS[symbol], float(np.cbrt(4 * volume)), "ideal packing")


def atomic_volume(symbol: str) -> float | None:
    """Measured volume an atom of the close-packed elements, Å^3, by ASE's reference states.

    None where ASE has no lattice parameters or the structure is an open one.
    """
    from ase.data import reference_states

    state = reference_states[atomic_number(symbol)]
    cells = {"fcc": 1 / 4, "bcc": 1 / 2, "hcp": np.sqrt(3) / 4}  # volume an atom in a^3 (c/a)
    if symbol in {"Se", "Te"} or state is None or state["symmetry"] not in cells:
        return None  # ASE calls the chains of Se and Te hcp
    return float(cells[state["symmetry"]] * state["a"] ** 3 * state.get("c/a", 1.0))


def sort_of(symbol: str) -> str:
    """How an element is tried: ``molecular``, ``noble gas`` or ``packed``.

    Raises:
        ValueError: for an unknown element.
    """
    atomic_number(symbol)
    if symbol in MOLECULAR:
        return "molecular"
    return "noble gas" if symbol in CONTACTS else "packed"

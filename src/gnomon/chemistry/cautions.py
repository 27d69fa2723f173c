"""What a composition alone says against a find: charges, rare and radioactive elements, magnetism.

None of it refutes a compound; it says where one should look before it is made or believed.
"""

import numpy as np
from jaxtyping import Bool

from gnomon.chemistry.mean_states import mean_states
from gnomon.chemistry.oxidation import IONIC
from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS, Counts, element

SCARCE = frozenset(("Ru", "Rh", "Pd", "Te", "Re", "Os", "Ir", "Pt", "Au"))
"""The rarest metals of the Earth's upper crust (Haxel, Hedrick and Orris, U.S. Geological Survey
Fact Sheet 087-02 (2002), figure 4)."""

MAGNETIC = frozenset(
    (
        *("Cr", "Mn", "Fe", "Co", "Ni"),
        *("Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb"),
        *("Pa", "U", "Np", "Pu", "Am", "Cm", "Bk", "Cf"),
    )
)
"""Elements with open 3d, 4f or 5f shells that carry moments in their metals or compounds (Jensen
and Mackintosh, Rare Earth Magnetism, Oxford (1991); Moore and van der Laan, Rev. Mod. Phys. 81, 235
(2009)).  Functionals disagree most on their energies, and potentials do not see spins."""


def unbalanced(counts: Counts) -> bool:
    """Whether a compound of anions has no common oxidation states that balance its charges.

    Atoms of one element may differ in their states (Fe3O4).  Alloys and intermetallics, which hold
    none of O, F, S, Cl, Se, Br and I, have no charges to balance.

    >>> [unbalanced(counts) for counts in (((11, 1), (17, 1)), ((11, 2), (17, 1)))]  # NaCl, Na2Cl
    [False, True]
    >>> unbalanced(((26, 3), (8, 4))), unbalanced(((29, 1), (79, 1)))  # Fe3O4, CuAu
    (False, False)

    Args:
        counts: (atomic number, atoms) of each element.
    """
    if len(counts) < 2 or not any(z in IONIC for z, _ in counts):
        return False
    return mean_states(counts) is None


def scarce(counts: Counts) -> tuple[str, ...]:
    """Those of its elements that are ``SCARCE``.

    >>> scarce(((29, 3), (79, 1)))
    ('Au',)
    """
    return tuple(SYMBOLS[z] for z, _ in counts if SYMBOLS[z] in SCARCE)


def radioactive(counts: Counts) -> tuple[str, ...]:
    """Those of its elements that have no stable isotope, by pymatgen (bismuth counts as stable).

    >>> radioactive(((43, 1), (8, 2))), radioactive(((83, 2), (8, 3)))
    (('Tc',), ())
    """
    return tuple(SYMBOLS[z] for z, _ in counts if element(z).is_radioactive)


def magnetic(counts: Counts) -> tuple[str, ...]:
    """Those of its elements that are ``MAGNETIC``.

    >>> magnetic(((26, 2), (8, 3)))
    ('Fe',)
    """
    return tuple(SYMBOLS[z] for z, _ in counts if SYMBOLS[z] in MAGNETIC)


def of_metals(crystals: Crystals) -> Bool[np.ndarray, " n"]:
    """Which crystals hold metals alone, by pymatgen's list of them."""
    present = np.unique(crystals.atomic_numbers)
    metals = np.zeros(len(SYMBOLS), dtype=bool)
    metals[present] = [element(int(z)).is_metal for z in present]
    return np.logical_and.reduceat(metals[crystals.atomic_numbers], crystals.offsets[:-1])

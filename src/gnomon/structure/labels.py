"""Labels of prototypes in the style of AFLOW: what two crystals share when only elements differ.

``AB_cF8_225_a_b`` (rock salt) is the anonymous formula, the Pearson symbol, the space group and the
Wyckoff letters of each species (Mehl et al., Comput. Mater. Sci. 136, S1 (2017)).  Free
parameters and cell lengths are left out, so structures as different as iodine and black phosphorus
may share a label: it is a necessary condition of the same prototype, not a sufficient one.

Two choices that AFLOW leaves open are made here, so that one structure has one label.  Species
come in order of their amounts and then of their letters, whatever the elements: CaF2 and Na2O are
both ``AB2``.  Of the letterings that differ by the choice of origin or axes alone (the affine
normaliser of the space group) the first in alphabetical order is taken: AFLOW's own label of a
prototype may be another one of these.  Mirror images in space groups that differ (P4_1 and P4_3)
keep labels that differ.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Shaped

from gnomon.crystals import Crystals
from gnomon.structure.protostructures import (
    LETTERS,
    Protostructure,
    distinct_relabellings,
    protostructure,
)
from gnomon.structure.symmetry import SYMPREC, space_group_symbol
from gnomon.structure.systems import crystal_family

Groups = tuple[tuple[int, ...], ...]
"""Species, those of the same amount and letters together."""


@dataclass(frozen=True)
class PrototypeLabel:
    """Prototype of one crystal.

    Attributes:
        text: such as ``AB3_cP4_221_a_c``; empty where spglib finds no symmetry.
        elements: (m,), atomic numbers of A, B, ...; where species are equivalent (both of rock
            salt), the lower atomic number comes first.
        ways: the letterings that give this text; in each the elements in groups, of which those
            that have the same amount and letters may change places.
    """

    text: str
    elements: Int64[np.ndarray, " m"]
    ways: tuple[Groups, ...]

    @property
    def orders(self) -> Int64[np.ndarray, "k m"]:
        """The elements in every order that gives this text: both of rock salt, one of fluorite."""
        found = {
            tuple(itertools.chain.from_iterable(groups))
            for way in self.ways
            for groups in itertools.product(*map(itertools.permutations, way))
        }
        return np.array(sorted(found), dtype=np.int64)


def prototype_labels(crystals: Crystals, symprec: float = SYMPREC) -> Shaped[np.ndarray, " n"]:
    """Label of each crystal's prototype (array of str objects), empty where spglib finds none.

    Args:
        crystals: in any cells; supercells get the label of the primitive cell.
        symprec: tolerance of the symmetry search, Å.
    """
    texts = [prototype_label(protostructure(one, symprec)).text for one in crystals]
    return np.array(texts, dtype=object)


def prototype_label(structure: Protostructure) -> PrototypeLabel:
    """The label of these Wyckoff positions."""
    if structure.space_group == 0:
        return PrototypeLabel("", structure.elements, ())
    amounts = structure.amounts // np.gcd.reduce(structure.amounts)
    pearson = pearson_symbol(structure.space_group, structure.conventional_atoms)
    orbits = [tuple(letters.tolist()) for letters in structure.orbits]
    text, ways = anonymous_label(structure.space_group, pearson, amounts.tolist(), orbits)
    z = structure.elements.tolist()
    named = sorted({tuple(tuple(z[i] for i in group) for group in way) for way in ways})
    elements = np.array(list(itertools.chain.from_iterable(named[0])), np.int64)
    return PrototypeLabel(text, elements, tuple(named))


def anonymous_label(
    space_group: int, pearson: str, amounts: Sequence[int], orbits: Sequence[Sequence[int]]
) -> tuple[str, list[Groups]]:
    """The label of species with these amounts and letters, and the species in its order.

    Args:
        space_group: international number.
        pearson: Pearson symbol.
        amounts: of each species in the reduced formula.
        orbits: of each species the letters of its orbits, as positions in ``LETTERS``.

    Returns:
        The label, and the species for each lettering that gives it.
    """
    ways = []
    for new in distinct_relabellings(space_group, map(np.asarray, orbits)).tolist():
        lettered = [tuple(sorted(new[letter] for letter in letters)) for letters in orbits]
        ways.append(list(zip(amounts, lettered, strict=True)))
    best = min(sorted(way) for way in ways)
    formula = "".join(
        chr(ord("A") + i) + (str(amount) if amount > 1 else "")
        for i, (amount, _) in enumerate(best)
    )
    positions = "_".join(_written(letters) for _, letters in best)
    kinds = list(dict.fromkeys(best))
    groups = [
        tuple(tuple(i for i, one in enumerate(way) if one == kind) for kind in kinds)
        for way in ways
        if sorted(way) == best
    ]
    return f"{formula}_{pearson}_{space_group}_{positions}", groups


def pearson_symbol(space_group: int, conventional_atoms: int) -> str:
    """Pearson symbol, such as ``cF8``; one face centred is C, and hR counts the primitive cell.

    Raises:
        ValueError: if there is no such space group.
    """
    family = crystal_family(space_group)
    centring = space_group_symbol(space_group)[0]
    if centring == "R":
        return f"hR{conventional_atoms // 3}"
    return f"{family}{'C' if centring in 'AB' else centring}{conventional_atoms}"


def _written(letters: tuple[int, ...]) -> str:
    """Letters as AFLOW writes them: ``ac2g``."""
    return "".join(
        (str(count) if count > 1 else "") + LETTERS[letter]
        for letter, count in Counter(letters).items()
    )

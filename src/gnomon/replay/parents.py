"""How probable the substitution is that makes a crystal from a known one.

A proxy that needs no structure matching: any known crystal with the same counts of atoms in its
cell (2, 2, 6 for A2B2X6) may be the parent, elements of equal counts in any assignment.  Its ions
have their most likely oxidation states; the probability is the product over its ions of that of
the child's element, whatever its charge.  Parents without balanced states do not count.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations

import numpy as np
from jaxtyping import Float64

from gnomon.chemistry.oxidation import oxidation_states, write_ion
from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.generate.substitution.model import SubstitutionModel

MAX_ELEMENTS = 4
"""Crystals of more elements get probability 0: their oxidation states are dear to work out."""


def substitution_probability(
    crystals: Crystals, parents: Crystals, model: SubstitutionModel | None = None
) -> Float64[np.ndarray, " n"]:
    """Highest probability over parents; 0 where no parent has the cell's counts of atoms.

    A child of the parent's own elements has probability 1.
    """
    model = SubstitutionModel.pymatgen() if model is None else model
    of_element = np.zeros((MAX_Z + 1, len(model.species)))
    np.add.at(of_element, model.atomic_numbers, model.probabilities)
    of_element = np.minimum(of_element, 1.0)
    families: dict[tuple[int, ...], set[tuple[int, ...]]] = defaultdict(set)
    for counts, numbers in _cells(parents):
        ions = _ions(numbers, counts, model)
        if ions is not None:
            families[counts].add(ions)
    tables = {counts: np.array(sorted(ions)) for counts, ions in families.items()}
    out = np.zeros(len(crystals))
    for i, (counts, numbers) in enumerate(_cells(crystals)):
        if counts in tables:
            for order in permutations(range(len(counts))):
                if all(counts[a] == counts[b] for a, b in enumerate(order)):
                    child = np.array([numbers[b] for b in order])
                    product = of_element[child, tables[counts]].prod(axis=1)
                    out[i] = max(out[i], float(product.max()))
    return out


def _cells(crystals: Crystals) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(counts, atomic numbers) of each cell, by rising count."""
    cells = []
    for row in crystals.composition:
        present = np.flatnonzero(row)
        present = present[np.lexsort((present, row[present]))]
        cells.append((tuple(row[present].tolist()), tuple(present.tolist())))
    return cells


def _ions(
    numbers: tuple[int, ...], counts: tuple[int, ...], model: SubstitutionModel
) -> tuple[int, ...] | None:
    """The parent's ions as the model numbers them; None where it has none."""
    if len(counts) > MAX_ELEMENTS:
        return None
    divisor = int(np.gcd.reduce(counts))
    states = oxidation_states(
        tuple((z, n // divisor) for z, n in zip(numbers, counts, strict=True))
    )
    if states is None or 0 in states:
        return None
    names = [write_ion(z, q) for z, q in zip(numbers, states, strict=True)]
    if not model.index.keys() >= set(names):
        return None
    return tuple(model.index[name] for name in names)

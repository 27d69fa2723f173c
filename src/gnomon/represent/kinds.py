"""Five kinds of elements, so that descriptors of pairs and triples keep one length for all."""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Int64

from gnomon.elements import MAX_Z, element

KINDS = ("s-metal", "d-metal", "f-metal", "p-metal", "nonmetal")
"""Alkali and alkaline earth; transition metals; lanthanides and actinides; metals and metalloids of
the p block; the others, with hydrogen and the noble gases."""


@cache
def kinds() -> Int64[np.ndarray, " 119"]:
    """The kind of each element by atomic number, as pymatgen sorts them; 4 for the placeholder."""
    found = np.full(MAX_Z + 1, KINDS.index("nonmetal"))
    for z in range(1, MAX_Z + 1):
        one = element(z)
        if one.is_lanthanoid or one.is_actinoid:
            found[z] = KINDS.index("f-metal")
        elif one.is_alkali or one.is_alkaline:
            found[z] = KINDS.index("s-metal")
        elif one.is_transition_metal:
            found[z] = KINDS.index("d-metal")
        elif one.is_post_transition_metal or one.is_metalloid:
            found[z] = KINDS.index("p-metal")
    return found

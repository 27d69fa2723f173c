"""Which rows train and which validate: by formula, so that polymorphs stay together."""

import hashlib

import numpy as np
from jaxtyping import Int64, Shaped


def formula_hash(reduced_formula: str) -> int:
    """MD5 of the reduced formula modulo 100 (Merchant et al. 2023, Methods).

    The string matters: write it as pymatgen does.

        >>> [formula_hash(f) for f in ("NaCl", "Li15Si4", "SiO2", "LiFePO4", "LiFeO4P")]
        [73, 2, 95, 6, 16]
    """
    return int(hashlib.md5(reduced_formula.encode(), usedforsecurity=False).hexdigest(), 16) % 100


def formula_hashes(reduced_formulas: Shaped[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
    """``formula_hash`` of each formula."""
    return np.array([formula_hash(str(f)) for f in reduced_formulas], np.int64)

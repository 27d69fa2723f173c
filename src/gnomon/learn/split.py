"""Which rows train and which validate: by formula, so that polymorphs stay together."""

import hashlib

import numpy as np
from jaxtyping import Int64, Shaped
from pydantic import BaseModel, ConfigDict, Field, model_validator


class SplitConfig(BaseModel):
    """Which formula hashes train and which validate; the settings of every training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train_below: int = Field(
        default=75, ge=1, le=100, description="formula hashes under this train"
    )
    validate_below: int = Field(
        default=85, ge=1, le=100, description="and from there under this validate"
    )

    @model_validator(mode="after")
    def _split_is_possible(self) -> "SplitConfig":
        if self.validate_below < self.train_below:
            raise ValueError(
                f"validate_below ({self.validate_below}) is less than train_below "
                f"({self.train_below}): validation takes the hashes in between"
            )
        return self


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

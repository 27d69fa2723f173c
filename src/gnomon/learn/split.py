"""Which rows train and which validate: by formula, so that polymorphs stay together."""

import hashlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, Shaped
from pydantic import BaseModel, ConfigDict, Field, model_validator

MIN_ROWS = 8
"""Fewer rows than this train nothing worth having."""


class Split(NamedTuple):
    """Rows that train and rows that validate."""

    train: Int64[np.ndarray, " t"]
    validation: Int64[np.ndarray, " v"]


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

    @property
    def rule(self) -> str:
        """The split in words, as cards have it."""
        return (
            f"MD5(reduced formula) mod 100: under {self.train_below} trains, "
            f"from there under {self.validate_below} validates"
        )

    def masks(
        self, reduced_formulas: Shaped[np.ndarray, " n"]
    ) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Which rows train, and which validate."""
        hashes = formula_hashes(reduced_formulas)
        train = hashes < self.train_below
        return train, ~train & (hashes < self.validate_below)

    def split(self, reduced_formulas: Shaped[np.ndarray, " n"]) -> Split:
        """Rows that train and rows that validate.

        Raises:
            ValueError: if fewer than ``MIN_ROWS`` train.
        """
        train, validation = map(np.flatnonzero, self.masks(reduced_formulas))
        if len(train) < MIN_ROWS:
            raise ValueError(
                f"{len(train)} of {len(reduced_formulas)} rows have a formula hash below "
                f"{self.train_below}; at least {MIN_ROWS} must train: give more rows"
            )
        return Split(train, validation)


def formula_hash(reduced_formula: str, parts: int = 100) -> int:
    """MD5 of the reduced formula modulo 100 (Merchant et al. 2023, Methods), or another number.

    The string matters: write it as pymatgen does.

        >>> [formula_hash(f) for f in ("NaCl", "Li15Si4", "SiO2", "LiFePO4", "LiFeO4P")]
        [73, 2, 95, 6, 16]
    """
    digest = hashlib.md5(reduced_formula.encode(), usedforsecurity=False).hexdigest()
    return int(digest, 16) % parts


def formula_hashes(
    reduced_formulas: Shaped[np.ndarray, " n"], parts: int = 100
) -> Int64[np.ndarray, " n"]:
    """``formula_hash`` of each formula."""
    return np.array([formula_hash(str(f), parts) for f in reduced_formulas], np.int64)

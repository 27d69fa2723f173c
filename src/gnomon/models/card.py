"""Data to learn from, and what a trained ensemble says of itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Shaped
from pydantic import BaseModel, ConfigDict

from gnomon.crystals import Crystals
from gnomon.learn.card import Card, run_key
from gnomon.learn.split import Split, SplitConfig
from gnomon.models import Predictions
from gnomon.models.target import Target, fit_elements
from gnomon.represent.formulas import Formulas
from gnomon.run.stamp import stamp


@dataclass(frozen=True, eq=False)
class Labelled:
    """Crystals with a number each: a formation energy (eV/atom), or another property.

    Attributes:
        crystals: the rows.
        values: of each, all of one energy scheme or in one unit.
        name: what the data is called.
        scheme: name of the energy scheme, or of the property with its unit.

    Raises:
        ValueError: if there is not one finite number for each crystal.
    """

    crystals: Crystals
    values: Float64[np.ndarray, " n"]
    name: str = ""
    scheme: str = "as given"

    def __post_init__(self) -> None:
        """See ``check_values``."""
        check_values(self.values, len(self.crystals))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.crystals)

    @property
    def fractions(self) -> Float64[np.ndarray, "n 119"]:
        """Atomic fractions by atomic number."""
        return self.crystals.fractions

    @property
    def reduced_formulas(self) -> Shaped[np.ndarray, " n"]:
        """Of the crystals."""
        return self.crystals.reduced_formulas

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """All arrays that make the data."""
        c = self.crystals
        return c.lattice, c.atomic_numbers, c.frac_coords, c.offsets, self.values

    def take(self, index: np.ndarray) -> "Labelled":
        """The rows at these indices, or of this mask."""
        return Labelled(self.crystals[index], self.values[index], self.name, self.scheme)


@dataclass(frozen=True, eq=False)
class LabelledFormulas:
    """One row a formula, by reduced formula: what a composition network can learn from.

    Attributes:
        formulas: the rows.
        values: lowest formation energy per atom of each formula, eV/atom.
        name: what the data is called.
        scheme: name of the energy scheme.
    """

    formulas: Formulas
    values: Float64[np.ndarray, " n"]
    name: str = ""
    scheme: str = "as given"

    @property
    def fractions(self) -> Float64[np.ndarray, "n 119"]:
        """Atomic fractions by atomic number."""
        return self.formulas.by_element

    @property
    def reduced_formulas(self) -> Shaped[np.ndarray, " n"]:
        """As pymatgen writes them."""
        return self.formulas.reduced_formulas

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """All arrays that make the data."""
        return self.formulas.atomic_numbers, self.formulas.counts, self.values


Data = Labelled | LabelledFormulas
"""What ensembles learn from."""


def check_values(values: np.ndarray, rows: int) -> None:
    """Nothing, if there is one finite number for each row.

    Raises:
        ValueError: if not.
    """
    if values.shape != (rows,):
        raise ValueError(f"{rows} rows but values of shape {values.shape}")
    for i in np.flatnonzero(~np.isfinite(values))[:1]:
        raise ValueError(f"the value of row {i} is not finite: leave rows without one out")


class EnergyErrors(BaseModel):
    """Mean absolute errors on the validation rows, eV/atom, beside those of simpler predictors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    unpredicted: int
    """Rows without a prediction; they are in no error."""
    mae: float
    """Of the median over members."""
    mae_of_members: tuple[float, ...]
    median_iqr: float
    """Of the uncertainty; half of the rows have a smaller one."""
    mae_of_elements: float
    """Of the best sum of energies of the elements (ridge regression on the training rows)."""
    mae_of_mean: float
    """Of the mean of the training rows, whatever the crystal."""


class ModelCard(Card[EnergyErrors]):
    """What a trained ensemble is; energies in eV/atom, or in the unit of the property."""

    members: int
    train_mae: float


@dataclass(frozen=True, eq=False)
class Task:
    """What an ensemble is to learn.

    Attributes:
        data: all rows.
        config: settings of the training.
        split: which rows train, which validate.
        target: what the elements alone say; networks learn the rest.
    """

    data: Data
    config: SplitConfig
    split: Split
    target: Target

    @classmethod
    def of(cls, data: Data, config: SplitConfig) -> "Task":
        """The rows split as the settings say, elements fitted to those that train.

        Raises:
            ValueError: if too few rows train.
        """
        split = config.split(data.reduced_formulas)
        fractions, values = data.fractions[split.train], data.values[split.train]
        return cls(data, config, split, fit_elements(fractions, values))

    @property
    def labels(self) -> Float32[np.ndarray, " n"]:
        """What the networks are to say of each row."""
        said = self.target.of_fractions(self.data.fractions)
        return ((self.data.values - said) / self.target.scale).astype(np.float32)

    @property
    def key(self) -> dict[str, Any]:
        """What makes the training the same (``run_key``)."""
        return run_key(self.data.columns, self.config, self.data.scheme)

    def card(self, kind: str, predicted: Predictions, seconds: float) -> ModelCard:
        """The card of an ensemble that was trained so.

        Args:
            kind: of the model.
            predicted: what the ensemble says of all rows.
            seconds: that the training took.
        """
        values, train = self.data.values, self.split.train
        return ModelCard(
            kind=kind,
            data=self.data.name,
            rows=len(values),
            train_rows=len(train),
            split=self.config.rule,
            members=len(predicted.members),
            train_mae=float(np.nanmean(np.abs(predicted.median - values)[train])),
            validation=self._errors(predicted),
            wall_seconds=round(seconds, 1),
            stamp=stamp(),
            **self.key,
        )

    def _errors(self, predicted: Predictions) -> EnergyErrors | None:
        """On those of the validation rows that have a prediction, None if there are none."""
        rows = self.split.validation
        known = rows[predicted.predicted[rows]]
        if not len(known):
            return None
        truth = self.data.values[known]
        elements = self.target.of_fractions(self.data.fractions[known])
        of_members = np.abs(predicted.members[:, known] - truth).mean(axis=1)
        return EnergyErrors(
            rows=len(rows),
            unpredicted=len(rows) - len(known),
            mae=float(np.abs(predicted.median[known] - truth).mean()),
            mae_of_members=tuple(of_members.tolist()),
            median_iqr=float(np.median(predicted.iqr[known])),
            mae_of_elements=float(np.abs(elements - truth).mean()),
            mae_of_mean=float(np.abs(self.target.shift - truth).mean()),
        )

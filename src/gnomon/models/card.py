"""Data to learn from, and what a trained ensemble says of itself."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped
from pydantic import BaseModel, ConfigDict

from gnomon.crystals import Crystals
from gnomon.learn.card import Card, run_key
from gnomon.learn.split import Split, SplitConfig
from gnomon.models import Predictions
from gnomon.models.composition.formulas import Formulas
from gnomon.models.target import Target
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


def card_of(
    kind: str,
    data: Data,
    config: SplitConfig,
    split: Split,
    target: Target,
    predicted: Predictions,
    seconds: float,
) -> ModelCard:
    """The card of an ensemble.

    Args:
        kind: of the model.
        data: all rows.
        config: settings of the training.
        split: which rows trained, which validate.
        target: what the elements alone say.
        predicted: what the ensemble says of all rows.
        seconds: that the training took.
    """
    return ModelCard(
        kind=kind,
        data=data.name,
        rows=len(data.values),
        train_rows=len(split.train),
        split=config.rule,
        members=len(predicted.members),
        train_mae=float(np.nanmean(np.abs(predicted.median - data.values)[split.train])),
        validation=_errors(data, split, target, predicted),
        wall_seconds=round(seconds, 1),
        stamp=stamp(),
        **run_key(data.columns, config, data.scheme),
    )


def _errors(
    data: Data, split: Split, target: Target, predicted: Predictions
) -> EnergyErrors | None:
    """On those of the validation rows that have a prediction, None if there are none."""
    known = split.validation[predicted.predicted[split.validation]]
    if not len(known):
        return None
    truth = data.values[known]
    elements = target.of_fractions(data.fractions[known])
    return EnergyErrors(
        rows=len(split.validation),
        unpredicted=len(split.validation) - len(known),
        mae=float(np.abs(predicted.median[known] - truth).mean()),
        mae_of_members=tuple(np.abs(predicted.members[:, known] - truth).mean(axis=1).tolist()),
        median_iqr=float(np.median(predicted.iqr[known])),
        mae_of_elements=float(np.abs(elements - truth).mean()),
        mae_of_mean=float(np.abs(target.shift - truth).mean()),
    )

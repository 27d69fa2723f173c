"""`gnomon predict`: what a model says of crystals or formulas, whatever kind of model it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, Field

from gnomon.cli.options import CommandError, Given, Output, Section
from gnomon.cli.shared import MaybeNewTable, Model, Strict, read_crystals, read_in_chunks
from gnomon.io.tables import write_table
from gnomon.models import EnergyModel
from gnomon.models.composition.model import CompositionModel
from gnomon.models.composition.tables import formulas_of_table
from gnomon.models.ensemble import load_model
from gnomon.models.stream import load_predictor
from gnomon.models.structural.augment import AugmentConfig
from gnomon.models.structural.model import PropertyModel, StructuralModel
from gnomon.models.uncertainty.calibration import calibration_path

SCALED = Section(names={"of": ("--scale",)}, without=("low", "high"), defaults={"scalings": 0})


class Asked(BaseModel):
    """What is asked of a structural model beside energies.

    Attributes:
        hull: Parquet of phases, for the energy above their hull
        level: level of the intervals
        calibration: calibration file [MODEL.calibration if there]
        no_calibration: no intervals, no out-of-distribution flag
    """

    hull: Path | None = None
    level: float = Field(default=0.8, gt=0, lt=1)
    calibration: Path | None = None
    no_calibration: bool = False


def predict(
    model: Model,
    inputs: list[str],
    asked: Given[Asked],
    scaled: Annotated[Given[AugmentConfig], SCALED],
    *,
    out: MaybeNewTable = None,
    strict: Strict = False,
) -> Output:
    """Predict what a model has learned: energies (eV/atom) or a property, with an uncertainty.

    The file says what kind of model it is.  With a calibration each energy has an interval, and
    crystals unlike the training data are flagged.  With --out crystals of any number stream.

    Args:
        inputs: crystals: files, folders, globs, or - for stdin; for a model of formulas these, or
            Parquet or CSV tables of them.
        out: Parquet of predictions.

    Example: gnomon predict structural-2 candidates.parquet --out predictions.parquet
    """
    loaded = load_model(model)
    is_energy = not isinstance(loaded, PropertyModel)
    if is_energy and isinstance(loaded, StructuralModel):
        return _of_crystals(loaded, model, inputs, asked.over(), augmentation(scaled), out, strict)
    if others := [one.options[name] for one in (asked, scaled) for name in one.values]:
        raise CommandError(
            f"{', '.join(others)}: asked of structural models only, and {model} is {loaded.kind}"
        )
    if isinstance(loaded, CompositionModel):
        return _of_formulas(loaded, inputs, out)
    column = "predicted_formation_energy_per_atom" if is_energy else "predicted"
    return _of_any(loaded, column, inputs, out, strict)


def augmentation(scaled: Given[AugmentConfig]) -> AugmentConfig | None:
    """What the options say of scalings: crystals as they are, unless a number is given."""
    if scaled.values and "scalings" not in scaled.values:
        raise CommandError("--scale and --order need --scalings, as in --scalings 20")
    return scaled.over() if scaled.values else None


def _of_crystals(
    network: StructuralModel,
    model: Path,
    inputs: list[str],
    asked: Asked,
    augmentation: AugmentConfig | None,
    out: Path | None,
    strict: bool,
) -> Output:
    calibration = asked.calibration
    if calibration is not None and asked.no_calibration:
        raise CommandError("--calibration and --no-calibration exclude each other")
    if calibration is None and not asked.no_calibration and calibration_path(model).exists():
        calibration = calibration_path(model)
    predictor = load_predictor(network, model, augmentation, calibration, asked.level, asked.hull)
    scheme, said = predictor.model.scheme, []
    if asked.hull is not None:
        said = [f"e_above_hull takes the phases of {asked.hull} to be of the scheme {scheme!r}"]
    tables = (predictor.rows(found) for found in read_in_chunks(inputs, strict))
    if out is not None:
        rows = write_table(out, tables, facts=predictor.facts)
        return _written(rows, scheme, out, *said)
    table = pa.concat_tables(tables)
    return Output(
        table.to_pylist(), (table.drop_columns(["source", "id"]).to_pylist(),), tuple(said)
    )


def _of_formulas(network: CompositionModel, inputs: list[str], out: Path | None) -> Output:
    texts: list[str] = []
    for given in inputs:
        is_table = given.endswith((".parquet", ".csv"))
        texts += formulas_of_table(Path(given)) if is_table else [given]
    found = network.predict_texts(texts)
    columns = {
        "formula": texts,
        "predicted_formation_energy_per_atom": found.median,
        "uncertainty": found.iqr,
        "aleatoric": found.aleatoric,
        "combined": found.combined,
        "reason": found.reasons.tolist(),
    }
    return _put(columns, network.scheme, out)


def _of_any(
    model: EnergyModel, column: str, inputs: list[str], out: Path | None, strict: bool
) -> Output:
    crystals = read_crystals(inputs, strict).crystals
    found = model.predict(crystals)
    columns = {
        "id": crystals.ids.tolist(),
        "reduced_formula": crystals.reduced_formulas.tolist(),
        column: found.median,
        "uncertainty": found.iqr,
        "reason": found.reasons.tolist(),
    }
    return _put(columns, model.scheme, out)


def _put(columns: dict[str, Any], what: str, out: Path | None) -> Output:
    table = pa.table({name: pa.array(v, from_pandas=True) for name, v in columns.items()})
    if out is not None:
        return _written(write_table(out, table), what, out)
    shown = [{k: v for k, v in row.items() if k != "id"} for row in table.to_pylist()]
    return Output(table.to_pylist(), (shown,), (what,))


def _written(rows: int, what: str, out: Path, *said: str) -> Output:
    found = {"predictions": rows, "of": what, "out": str(out)}
    return Output(found, said=(*said, f"{rows} predictions ({what}): {out}"))

"""`gnomon model calibrate`, `validate` and `curve`: what models are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa

from gnomon.cli.options import CommandError, Given, Output, Section
from gnomon.cli.predict import SCALED, augmentation
from gnomon.cli.shared import Folder, Model, Structures, labelled, place, refuse_existing
from gnomon.cli.train import Scheme
from gnomon.io.tables import write_table
from gnomon.models.folds import cross_validate
from gnomon.models.learning_curve import as_json, figure, fit_power_law, learning_curve
from gnomon.models.structural.augment import AugmentConfig
from gnomon.models.structural.model import StructuralModel
from gnomon.models.structural.train import TrainConfig
from gnomon.models.uncertainty.calibration import calibrate as fit_intervals
from gnomon.models.uncertainty.calibration import calibration_path
from gnomon.run.files import sha256_of, write_atomically
from gnomon.run.listener import Listener

AFRESH = Section(without=("started_from", "fresh"))


def calibrate(
    model: Model,
    data: Structures,
    scaled: Annotated[Given[AugmentConfig], SCALED],
    *,
    out: Annotated[Path | None, place()] = None,
    unlike: list[Path] | None = None,
    also: list[Path] | None = None,
    deviation: bool = False,
    seed: int = 0,
) -> Output:
    """Fit intervals that hold what they promise, on rows that trained nothing; say what they hold.

    Of the formula hashes that the training held out (75 to 84 by default) the lower half fits, the
    upper half checks.  Give the data that the model was trained on: its training rows say what is
    out of distribution.  `gnomon predict` finds the file beside the model.

    Args:
        out: calibration file [MODEL.calibration].
        unlike: labelled data of another kind that trained nothing, which fit too; may be repeated.
        also: other labelled data to check on; may be repeated.
        deviation: intervals from the standard deviation, not the IQR.
        seed: seed of the training rows that are kept.

    Example: gnomon model calibrate mp.gnomon structures.parquet
    """
    out = calibration_path(model) if out is None else out
    refuse_existing(out)
    found = fit_intervals(
        StructuralModel.load(model),
        sha256_of(model),
        labelled(data)[0],
        unlike=tuple(labelled([str(path)])[0] for path in unlike or ()),
        also=tuple(labelled([str(path)])[0] for path in also or ()),
        augmentation=augmentation(scaled),
        spread="standard deviation" if deviation else "inter-quartile range",
        seed=seed,
    )
    said = [f"calibration: {out}"]
    if found.domain is None:
        said.insert(0, "no row of the data trained the model: nothing will be flagged as unlike it")
    found.save(out)
    rows = [
        {
            "data": check.data,
            "rows": check.rows,
            "MAE (eV/atom)": check.mae,
            "IQR to error (Spearman)": check.spearman_iqr,
            "level": f"{row.level:g}",
            "held": f"{row.coverage:.3f} ({row.low:.3f} to {row.high:.3f})",
            "mean half-width (eV/atom)": row.mean_half_width,
            "out of distribution": check.out_of_distribution,
        }
        for check in found.card.checks
        for row in check.coverage
    ]
    dumped = found.card.model_dump(mode="json", exclude={"conformal": {"scores"}})
    return Output(dumped, (rows,), tuple(said))


def validate(
    data: Structures,
    config: Annotated[TrainConfig, AFRESH],
    listener: Listener,
    *,
    out: Folder,
    folds: int = 5,
    scheme: Scheme = "as given",
) -> Output:
    """Predict every crystal by an ensemble that was trained on other formulas.

    The same command goes on where it was stopped.

    Args:
        out: folder of ensembles and predictions.parquet.
        folds: parts; each is predicted by the others.

    Example: gnomon model validate structures.parquet --folds 5 --out folds
    """
    rows, _ = labelled(data, scheme)
    found = cross_validate(rows, config, folds, out, listener)
    predicted = pa.array(found.predictions.median, from_pandas=True)
    table = pa.table(
        {
            "id": rows.crystals.ids.tolist(),
            "reduced_formula": rows.crystals.reduced_formulas.tolist(),
            "fold": found.fold,
            "formation_energy_per_atom": rows.values,
            "predicted_formation_energy_per_atom": predicted,
            "uncertainty": pa.array(found.predictions.iqr, from_pandas=True),
            "reason": found.predictions.reasons.tolist(),
        }
    )
    write_table(out / "predictions.parquet", table)
    errors = found.mae_of_folds.tolist()
    return Output(
        {"mae": found.mae, "mae_of_folds": errors},
        ([{"fold": i, "MAE (eV/atom)": mae} for i, mae in enumerate(errors)],),
        said=(
            f"MAE of all: {1000 * found.mae:.1f} meV/atom; "
            f"predictions: {out / 'predictions.parquet'}",
        ),
    )


def curve(
    data: Structures,
    config: Annotated[TrainConfig, AFRESH],
    listener: Listener,
    *,
    out: Folder,
    shares: str = "0.125,0.25,0.5,1",
    scheme: Scheme = "as given",
) -> Output:
    """Train on ever more of the data and fit a power law to the error on unseen formulas.

    The same command goes on where it was stopped.

    Args:
        out: folder of ensembles, curve.json and curve.html.
        shares: shares of the training formulas, separated by commas.

    Example: gnomon model curve structures.parquet --members 1 --out curve
    """
    try:
        parts = [float(share) for share in shares.split(",")]
    except ValueError as error:
        raise CommandError(f"--shares {shares!r}: numbers, as in 0.25,0.5,1") from error
    points = learning_curve(labelled(data, scheme)[0], config, parts, out, listener)
    law = fit_power_law(
        np.array([p.rows for p in points], float), np.array([p.mae for p in points])
    )
    found = as_json(points, law)
    write_atomically(out / "curve.json", json.dumps(found, indent=2).encode() + b"\n")
    html = figure(points, law).to_html(include_plotlyjs=True, div_id="learning-curve")
    write_atomically(out / "curve.html", html.encode())
    said = (
        f"MAE = {1000 * law.scale:.1f} meV/atom x (rows / 1000)^-{law.exponent:.3f}; "
        f"figure: {out / 'curve.html'}"
    )
    return Output(found, (found["points"],), (said,))

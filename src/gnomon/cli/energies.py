"""`gnomon model calibrate` and `predict`: energies, predicted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import (
    Json,
    StructuralModel,
    Structures,
    labelled,
    refuse_existing,
)

if TYPE_CHECKING:
    from gnomon.models.structural.augment import AugmentConfig


Scalings = Annotated[
    int, typer.Option(help="Volumes that each crystal is tried at; 0 takes it as it is.")
]
Lengths = Annotated[bool, typer.Option("--lengths", help="Scale lengths instead of volumes.")]
MedianFirst = Annotated[
    bool, typer.Option("--median-first", help="Minimum of the median, not median of the minima.")
]


def calibrate(
    model: StructuralModel,
    data: Structures,
    out: Annotated[Path | None, typer.Option(help="Calibration file [MODEL.calibration].")] = None,
    also: Annotated[
        list[Path] | None, typer.Option(help="Other labelled data to check on; may be repeated.")
    ] = None,
    deviation: Annotated[
        bool,
        typer.Option("--deviation", help="Intervals from the standard deviation, not the IQR."),
    ] = False,
    scalings: Scalings = 0,
    lengths: Lengths = False,
    median_first: MedianFirst = False,
    seed: Annotated[int, typer.Option(help="Seed of the training rows that are kept.")] = 0,
    json: Json = False,
) -> None:
    """Fit intervals that hold what they promise, on rows that trained nothing; say what they hold.

    Of the formula hashes that the training held out (75 to 84 by default) the lower half fits, the
    upper half checks.  Give the data that the model was trained on: its training rows say what is
    out of distribution.  `gnomon predict` finds the file beside the model.

    Example: gnomon model calibrate mp.gnomon structures.parquet
    """
    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.models.structural.model import StructuralModel as Model
    from gnomon.models.uncertainty.calibration import calibrate, calibration_path
    from gnomon.run.files import sha256_of

    out = calibration_path(model) if out is None else out
    refuse_existing(out)
    network, sha256 = Model.load(model), sha256_of(model)
    calibration = calibrate(
        network,
        sha256,
        labelled(data),
        also=tuple(labelled([str(path)]) for path in also or ()),
        augmentation=_augmentation(scalings, lengths, median_first),
        spread="standard deviation" if deviation else "inter-quartile range",
        seed=seed,
    )
    if calibration.domain is None:
        say("no row of the data trained the model: nothing will be flagged as out of distribution")
    calibration.save(out)
    if json:
        put_json(calibration.card.model_dump(mode="json", exclude={"conformal": {"scores"}}))
        return
    put_table(
        [
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
            for check in calibration.card.checks
            for row in check.coverage
        ]
    )
    say(f"calibration: {out}")


def _augmentation(scalings: int, lengths: bool, median_first: bool) -> AugmentConfig | None:
    """What the options say of scalings."""
    from gnomon.models.structural.augment import AugmentConfig

    if scalings < 0:
        raise CommandError(f"--scalings {scalings} must be 0 or more (20 in the paper)")
    if not scalings:
        if lengths or median_first:
            raise CommandError("--lengths and --median-first need --scalings, as in --scalings 20")
        return None
    return AugmentConfig(
        scalings=scalings,
        of="length" if lengths else "volume",
        order="median, minimum" if median_first else "minimum, median",
    )

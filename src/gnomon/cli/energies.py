"""`gnomon calibrate`, `predict`, `evaluate`: energies, predicted and verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.options import CommandError, json_object
from gnomon.cli.shared import (
    Json,
    Strict,
    StructuralModel,
    Structures,
    evaluator_config,
    labelled,
    read_crystals,
    refuse_existing,
    write_table,
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


def predict(
    model: StructuralModel,
    structures: Structures,
    out: Annotated[Path | None, typer.Option(help="Parquet of predictions.")] = None,
    hull: Annotated[
        Path | None, typer.Option(help="Parquet of phases, for the energy above their hull.")
    ] = None,
    level: Annotated[float, typer.Option(help="Level of the intervals.")] = 0.8,
    calibration: Annotated[
        Path | None, typer.Option(help="Calibration file [MODEL.calibration.json if there].")
    ] = None,
    no_calibration: Annotated[
        bool, typer.Option("--no-calibration", help="No intervals, no out-of-distribution flag.")
    ] = False,
    scalings: Scalings = 0,
    lengths: Lengths = False,
    median_first: MedianFirst = False,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Predict formation energies per atom with their uncertainty (eV/atom).

    With a calibration each energy has an interval, and crystals unlike the training data are
    flagged.  With --out crystals of any number stream; without, all rows are shown.

    Example: gnomon predict mp.gnomon candidates.parquet --out predictions.parquet
    """
    import pyarrow as pa

    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.models.stream import (
        load_predictor,
        read_in_chunks,
        write_row_groups,
    )
    from gnomon.models.uncertainty.calibration import calibration_path

    if calibration is not None and no_calibration:
        raise CommandError("--calibration and --no-calibration exclude each other")
    if not 0 < level < 1:
        raise CommandError(f"--level {level} must lie between 0 and 1, as in 0.8")
    if out is not None:
        refuse_existing(out)
    if calibration is None and not no_calibration and calibration_path(model).exists():
        calibration = calibration_path(model)
    augmentation = _augmentation(scalings, lengths, median_first)
    predictor = load_predictor(model, augmentation, calibration, level, hull)
    tables = (predictor.rows(found) for found in read_in_chunks(structures, strict))
    if out is not None:
        rows = write_row_groups(out, tables, predictor.facts)
        say(f"{rows} predictions ({predictor.model.scheme}): {out}")
        return
    table = pa.concat_tables(tables)
    if json:
        put_json(table.to_pylist())
    else:
        put_table(table.drop_columns(["source", "id"]).to_pylist())


def calibrate(
    model: StructuralModel,
    data: Structures,
    out: Annotated[
        Path | None, typer.Option(help="Calibration file [MODEL.calibration.json].")
    ] = None,
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

    Example: gnomon calibrate mp.gnomon structures.parquet
    """
    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.models.structural.ensemble import load_model
    from gnomon.models.uncertainty.calibration import (
        calibrate,
        calibration_path,
        domain_path,
        save_calibration,
    )
    from gnomon.models.uncertainty.domain import save_domain
    from gnomon.run.files import sha256_of

    out = calibration_path(model) if out is None else out
    refuse_existing(out)
    refuse_existing(domain_path(out))
    network, sha256 = load_model(model), sha256_of(model)
    calibration, domain = calibrate(
        network,
        sha256,
        labelled(data),
        also=tuple(labelled([str(path)]) for path in also or ()),
        augmentation=_augmentation(scalings, lengths, median_first),
        spread="standard deviation" if deviation else "inter-quartile range",
        seed=seed,
    )
    if domain is None:
        say("no row of the data trained the model: nothing will be flagged as out of distribution")
    else:
        save_domain(domain_path(out), domain, sha256)
    save_calibration(out, calibration)
    if json:
        put_json(calibration.model_dump(mode="json", exclude={"conformal": {"scores"}}))
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
            for check in calibration.checks
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


def evaluate(
    structures: Structures,
    out: Annotated[Path, typer.Option(help="Parquet of relaxed crystals and results.")],
    evaluator: Annotated[
        str,
        typer.Option(
            "--evaluator", "--weights", help="Potential (name or path) or ase:module.Class."
        ),
    ] = "gnomon-1",
    corrections: Annotated[
        str | None, typer.Option(help="'mp2020' or 'none' [mp2020 for potentials].")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.")] = 0,
    fmax: Annotated[float, typer.Option(help="Force that counts as converged, eV/Å.")] = 0.02,
    steps: Annotated[int, typer.Option(help="Relaxation steps; 0 takes single points.")] = 300,
    seconds: Annotated[float, typer.Option(help="Wall time for one crystal.")] = 120.0,
    symmetry: Annotated[bool, typer.Option("--symmetry", help="Keep the space group.")] = False,
    options: Annotated[
        str, typer.Option(help="JSON of the calculator's arguments, as in '{\"cutoff\": 6}'.")
    ] = "{}",
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Relax crystals with a potential or an ASE calculator; every failure is a row with a status.

    Example: gnomon evaluate *.cif --out relaxed.parquet
    """
    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.evaluate.ase import RelaxConfig
    from gnomon.evaluate.registry import make_evaluator
    from gnomon.evaluate.table import evaluation_rows

    refuse_existing(out)
    relax = RelaxConfig(fmax=fmax, max_steps=steps, max_seconds=seconds, symmetry=symmetry)
    named = evaluator_config(evaluator, json_object(options, "--options"), corrections, workers)
    with listening() as listener:
        verifier = make_evaluator(named, relax, listener)
        found = read_crystals(structures, strict)
        rows = evaluation_rows(found.crystals, found.rows, verifier, listener)
    write_table(out, rows)
    counts: dict[str, int] = {}
    for status in rows["status"].to_pylist():
        counts[status] = counts.get(status, 0) + 1
    if json:
        put_json({"scheme": verifier.scheme, "statuses": counts, "out": str(out)})
        return
    put_table([{"status": s, "crystals": n} for s, n in sorted(counts.items())])
    say(f"scheme: {verifier.scheme}; results: {out}")

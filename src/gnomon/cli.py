"""The command line: thin verbs over the modules of the same names.

Data goes to stdout, messages and progress bars to stderr.  Exit codes: 0 success, 1 failure, 2 a
command that is not understood.  Heavy libraries are imported by the commands that need them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon import __version__

app = typer.Typer(
    name="gnomon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find stable inorganic crystals: propose, rank, verify, learn, repeat.\n\n"
    "Example: gnomon discover Au-Cu",
)
generate_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Propose candidates.")
train_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train energy models.")
app.add_typer(generate_app, name="generate")
app.add_typer(train_app, name="train")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Structures = Annotated[
    list[str],
    typer.Argument(
        help="Files, folders, globs, or - for stdin: CIF, POSCAR, extxyz, "
        "Parquet, Materials Project or OPTIMADE JSON."
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first unusable record.")]


class CommandError(ValueError):
    """Arguments that make no sense together."""


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"gnomon {__version__}")
        raise typer.Exit()


@app.command()
def discover(
    system: Annotated[str | None, typer.Argument(help="Chemical system, such as Au-Cu.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.")] = None,
    out: Annotated[Path | None, typer.Option(help="Campaign folder [campaign-SYSTEM].")] = None,
    evaluator: Annotated[
        str | None, typer.Option(help="ase:module.Class [ASE's EMT potential].")
    ] = None,
    evaluations: Annotated[int | None, typer.Option(help="Budget of evaluations.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget of wall time.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Budget of rounds.")] = None,
    parents: Annotated[
        list[Path] | None, typer.Option(help="Crystals to substitute into (repeatable).")
    ] = None,
    known: Annotated[
        list[Path] | None, typer.Option(help="Known crystals: competing phases (repeatable).")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; 0 takes one a core.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    json: Json = False,
) -> None:
    """Find new stable compounds of a chemical system, and write the report.

    The same command goes on where it was stopped.

    Example: gnomon discover Au-Cu --evaluations 240 --out au-cu
    """
    from gnomon.config import load_config  # noqa: PLC0415
    from gnomon.discover import discover as run  # noqa: PLC0415
    from gnomon.store import Store  # noqa: PLC0415
    from gnomon.terminal import listening, put_json, put_table, say  # noqa: PLC0415

    if system is None and config is None:
        raise CommandError("name a chemical system, as in `gnomon discover Au-Cu`, or a --config")
    settings = load_config(
        config,
        {
            "system": system,
            "evaluator.name": evaluator,
            "evaluator.workers": workers,
            "budget.evaluations": evaluations,
            "budget.minutes": minutes,
            "budget.rounds": rounds,
            "generate.parents": [str(p) for p in parents] if parents else None,
            "generate.known": [str(p) for p in known] if known else None,
            "seed": seed,
        },
    )
    store = Store(out or Path(f"campaign-{settings.name}"))
    verifier = _evaluator(
        settings.evaluator.name,
        settings.evaluator.options,
        settings.relax,
        settings.evaluator.workers,
    )
    with listening() as listener:
        ending = run(settings, store, verifier, listener)
    page, stable = _write_report(store)
    if json:
        put_json({"system": settings.name, "ending": ending, "report": str(page), "stable": stable})
        return
    put_table(_brief(stable), empty=f"No new stable phase of {settings.name} was found.")
    say(f"report: {page}")


@app.command()
def report(
    campaign: Annotated[Path, typer.Argument(help="Campaign folder.")],
    json: Json = False,
) -> None:
    """Rebuild the hull and the report of a campaign from its shards.

    Example: gnomon report campaign-Au-Cu
    """
    from gnomon.store import Store  # noqa: PLC0415
    from gnomon.terminal import put_json, put_table, say  # noqa: PLC0415

    page, stable = _write_report(Store(campaign))
    if json:
        put_json({"report": str(page), "stable": stable})
        return
    put_table(_brief(stable), empty="No new stable phase was found.")
    say(f"report: {page}")


@app.command()
def hull(
    phases: Annotated[
        Path,
        typer.Argument(
            help="Parquet with reduced_formula and formation_energy_per_atom (eV/atom)."
        ),
    ],
    queries: Annotated[list[str], typer.Argument(help="Formulas or chemical systems.")],
    window: Annotated[float, typer.Option(help="List phases up to this e_above_hull.")] = 0.0,
    scheme: Annotated[str, typer.Option(help="Name of the energy scheme.")] = "as given",
    json: Json = False,
) -> None:
    """Answer from the convex hull: e_above_hull, decomposition, the stable phases of a system.

    Example: gnomon hull ground_states.parquet LiFePO4 Li-Fe-P-O
    """
    from dataclasses import asdict  # noqa: PLC0415

    import pyarrow.parquet as pq  # noqa: PLC0415

    from gnomon.hull import Hull, phases_from_table, query  # noqa: PLC0415
    from gnomon.terminal import put_json  # noqa: PLC0415

    if not phases.is_file():
        raise ValueError(f"{phases} is no file: give a Parquet table of phases")
    try:
        table = pq.read_table(phases)
    except (OSError, ValueError) as error:
        raise ValueError(f"{phases} cannot be read as Parquet ({error})") from error
    surface = Hull(phases_from_table(table, scheme))
    answers = [query(surface, text, window=window) for text in queries]
    if json:
        put_json([_finite(asdict(answer)) for answer in answers])
        return
    for answer in answers:
        _put_answer(answer)


@app.command()
def evaluate(
    structures: Structures,
    out: Annotated[Path, typer.Option(help="Parquet of relaxed crystals and results.")],
    evaluator: Annotated[str, typer.Option(help="ase:module.Class.")],
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.")] = 0,
    fmax: Annotated[float, typer.Option(help="Force that counts as converged, eV/Å.")] = 0.02,
    steps: Annotated[int, typer.Option(help="Relaxation steps; 0 takes single points.")] = 300,
    seconds: Annotated[float, typer.Option(help="Wall time for one crystal.")] = 120.0,
    options: Annotated[
        str, typer.Option(help="JSON of the calculator's arguments, as in '{\"cutoff\": 6}'.")
    ] = "{}",
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Relax crystals with any ASE calculator; every failure is a row with a status.

    Example: gnomon evaluate *.cif --evaluator ase:ase.calculators.emt.EMT --out relaxed.parquet
    """
    from gnomon.evaluate.ase import RelaxConfig  # noqa: PLC0415
    from gnomon.evaluate.table import evaluation_rows  # noqa: PLC0415
    from gnomon.terminal import listening, put_json, put_table, say  # noqa: PLC0415

    _refuse_existing(out)
    relax = RelaxConfig(fmax=fmax, max_steps=steps, max_seconds=seconds)
    verifier = _evaluator(evaluator, _json_object(options), relax, workers)
    found = _read(structures, strict)
    with listening() as listener:
        rows = evaluation_rows(found.crystals, found.rows, verifier, listener)
    _write_table(out, rows)
    counts: dict[str, int] = {}
    for status in rows["status"].to_pylist():
        counts[status] = counts.get(status, 0) + 1
    if json:
        put_json({"scheme": verifier.scheme, "statuses": counts, "out": str(out)})
        return
    put_table([{"status": s, "crystals": n} for s, n in sorted(counts.items())])
    say(f"scheme: {verifier.scheme}; results: {out}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Model file of `gnomon train`.")],
    structures: Structures,
    out: Annotated[Path | None, typer.Option(help="Parquet of predictions.")] = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Predict formation energies per atom with their uncertainty (eV/atom).

    Example: gnomon predict mp.gnomon candidates.parquet --out predictions.parquet
    """
    import pyarrow as pa  # noqa: PLC0415

    from gnomon.models.ensemble import load_model  # noqa: PLC0415
    from gnomon.terminal import put_json, put_table, say  # noqa: PLC0415

    if out is not None:
        _refuse_existing(out)
    network = load_model(model)
    found = _read(structures, strict)
    predictions = network.predict(found.crystals)
    table = pa.table(
        {
            "id": found.crystals.ids.tolist(),
            "source": found.rows["source"],
            "source_id": found.rows["source_id"],
            "reduced_formula": found.crystals.reduced_formulas.tolist(),
            "predicted_formation_energy_per_atom": pa.array(predictions.median, from_pandas=True),
            "uncertainty": pa.array(predictions.iqr, from_pandas=True),
            "reason": predictions.reasons.tolist(),
        }
    )
    if out is not None:
        _write_table(out, table)
        say(f"{len(table)} predictions ({network.scheme}): {out}")
    elif json:
        put_json(table.to_pylist())
    else:
        put_table(table.drop_columns(["source", "id"]).to_pylist())


@generate_app.command("prototypes")
def generate_prototypes(
    system: Annotated[str, typer.Argument(help="Chemical system, such as Cu-Pd-Pt.")],
    out: Annotated[Path, typer.Option(help="File of candidates (.parquet, .extxyz, .cif).")],
    max_atoms: Annotated[int, typer.Option(help="Largest primitive cell.")] = 24,
) -> None:
    """Decorate the AFLOW prototypes with the elements of a system.

    Example: gnomon generate prototypes Cu-Pd-Pt --out candidates.parquet
    """
    from gnomon.crystals import Crystals  # noqa: PLC0415
    from gnomon.elements import parse_system  # noqa: PLC0415
    from gnomon.generate.prototypes import PrototypeGenerator  # noqa: PLC0415

    _refuse_existing(out)
    generator = PrototypeGenerator(parse_system(system), max_atoms)
    _write_candidates(out, generator.generate(Crystals.empty(), seed=0))


@generate_app.command("substitution")
def generate_substitution(
    parents: Structures,
    out: Annotated[Path, typer.Option(help="File of candidates (.parquet, .extxyz, .cif).")],
    elements: Annotated[
        str | None, typer.Option(help="Keep candidates of these elements only, as in Li-Fe-P-O.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Smallest probability.")] = 1e-3,
    known: Annotated[
        list[str] | None, typer.Option(help="Crystals whose compositions are not new (repeatable).")
    ] = None,
    strict: Strict = False,
) -> None:
    """Substitute likely ions into parents (Hautier et al. 2011); compositions must be new.

    Example: gnomon generate substitution mp/*.cif --known mp --out candidates.parquet
    """
    from gnomon.elements import parse_system  # noqa: PLC0415
    from gnomon.generate.substitution import SubstitutionGenerator  # noqa: PLC0415
    from gnomon.terminal import say  # noqa: PLC0415

    _refuse_existing(out)
    found = _read(parents, strict)
    formulas = _read(known, strict).crystals.reduced_formulas.tolist() if known else []
    generator = SubstitutionGenerator(
        threshold=threshold,
        elements=parse_system(elements) if elements else None,
        known=frozenset(formulas),
    )
    skipped = generator.skipped(found.crystals)
    if len(skipped):
        first = skipped.slice(0, 1).to_pylist()[0]
        say(
            f"{len(skipped)} of {len(found.crystals)} parents left out, "
            f"the first: {first['reduced_formula']}: {first['reason']}"
        )
    _write_candidates(out, generator.generate(found.crystals, seed=0))


@train_app.command("structural")
def train_structural(
    data: Structures,
    out: Annotated[Path, typer.Option(help="Model file.")] = Path("structural.gnomon"),
    scheme: Annotated[str, typer.Option(help="Energy scheme of the data.")] = "as given",
    members: Annotated[int | None, typer.Option(help="Networks in the ensemble.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes through the data.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    json: Json = False,
) -> None:
    """Train the structural ensemble on crystals with formation energies per atom.

    Rows whose formula hash is below 75 train, 75 to 84 validate.  The same command goes on where
    it was stopped.

    Example: gnomon train structural structures.parquet --out mp.gnomon
    """
    import numpy as np  # noqa: PLC0415

    from gnomon.models.optimize import OptimizerConfig  # noqa: PLC0415
    from gnomon.models.train import Progress, TrainConfig, train  # noqa: PLC0415
    from gnomon.terminal import listening, put_json, put_table, say  # noqa: PLC0415

    found = _read(data, strict=False)
    energies = found.rows["formation_energy_per_atom"].to_numpy(zero_copy_only=False)
    labelled = np.isfinite(energies.astype(np.float64))
    if not labelled.any():
        raise ValueError(
            f"no crystal in {', '.join(data)} has a formation_energy_per_atom (eV/atom): "
            "training needs that column"
        )
    if not labelled.all():
        say(
            f"{int((~labelled).sum())} of {len(labelled)} crystals have no "
            "formation_energy_per_atom and are left out"
        )
    optimizer: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
    settings: dict[str, Any] = {} if members is None else {"members": members}
    config = TrainConfig(optimizer=OptimizerConfig(**optimizer), seed=seed, **settings)
    with listening() as listener:

        def progress(state: Progress) -> None:
            loss = f"training, loss {1000 * state.loss:.1f} meV/atom"
            listener.tick("training", state.epoch, state.epochs)
            if state.epoch % 5 == 0:
                listener.say(
                    f"epoch {state.epoch} of {state.epochs}: {loss}, {state.seconds:.0f} s"
                )

        card = train(
            found.crystals[labelled],
            energies.astype(np.float64)[labelled],
            config,
            out=out,
            scheme=scheme,
            data_name=", ".join(Path(name).name for name in data),
            progress=progress,
        )
    if json:
        put_json(card.model_dump(mode="json"))
        return
    held = card.validation
    put_table(
        [
            {
                "rows": card.train_rows,
                "validation rows": held.rows if held else 0,
                "validation MAE (eV/atom)": held.mae if held else None,
                "seconds": card.wall_seconds,
            }
        ]
    )
    say(f"model: {out}")


# --- what the commands share ----------------------------------------------------------------------


def _read(sources: list[str], strict: bool) -> Any:
    """Crystals of the sources; rejects are counted and named on stderr."""
    from gnomon.io import read  # noqa: PLC0415
    from gnomon.terminal import say  # noqa: PLC0415

    result = read(sources, strict=strict)
    for reject in result.rejects.slice(0, 10).to_pylist():
        say(f"left out: {reject['source']}: {reject['reason']}: {reject['detail']}")
    if len(result.rejects) > 10:
        say(f"left out: {len(result.rejects)} records in all")
    if not len(result.crystals):
        raise ValueError(f"no usable crystal in {', '.join(sources)}")
    return result


def _json_object(text: str) -> dict[str, Any]:
    import json  # noqa: PLC0415

    try:
        found = json.loads(text)
    except ValueError as error:
        raise CommandError(f"--options {text!r} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise CommandError(f"--options {text!r} must be an object, as in '{{\"cutoff\": 6}}'")
    return found


def _evaluator(name: str, options: dict[str, Any], relax: Any, workers: int) -> Any:
    import os  # noqa: PLC0415

    from gnomon.evaluate.ase import AseEvaluator  # noqa: PLC0415

    kind, _, calculator = name.partition(":")
    if kind != "ase" or not calculator:
        raise CommandError(
            f"no evaluator {name!r}: give ase:module.Class, as in ase:ase.calculators.emt.EMT"
        )
    return AseEvaluator(calculator, options, relax, workers or os.cpu_count() or 1)


def _write_report(store: Any) -> tuple[Path, list[dict[str, Any]]]:
    """hull.parquet and the report; the page and the new stable phases."""
    from gnomon.campaign import campaign_tables  # noqa: PLC0415
    from gnomon.report import build_report, write_report  # noqa: PLC0415
    from gnomon.report.files import stable_table  # noqa: PLC0415
    from gnomon.store import write_parquet  # noqa: PLC0415

    tables = campaign_tables(store)
    write_parquet(store.hull_path, tables.hull)
    built = build_report(tables)
    page = write_report(built, store.root / "report")
    return page, stable_table(built).to_pylist()


def _brief(stable: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What of the new stable phases fits a terminal; stable.csv and --json have the rest."""
    return [
        {
            "formula": row["reduced_formula"],
            "space group": f"{row['space_group_symbol']} ({row['space_group']})",
            "formation energy (eV/atom)": row["formation_energy_per_atom"],
            "distance to the rest": row["distance_to_rest"],
            "origin": row["lineage"],
        }
        for row in stable
    ]


def _write_candidates(out: Path, chunks: Any) -> None:
    """Stream Parquet chunk by chunk; other formats are written in one go."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    from gnomon.crystals import Crystals  # noqa: PLC0415
    from gnomon.io import CRYSTALS, to_arrow, write  # noqa: PLC0415
    from gnomon.terminal import say  # noqa: PLC0415

    total = 0
    if out.suffix != ".parquet":
        crystals = Crystals.concatenate([chunk.crystals for chunk in chunks])
        write(out, crystals)
        say(f"{len(crystals)} candidates: {out}")
        return
    temporary = out.with_name(f".{out.name}.tmp")
    writer = None
    try:
        for chunk in chunks:
            table = to_arrow(chunk.crystals)
            for name in ("parent_id", "generator", "change", "score"):
                table = table.append_column(name, chunk.lineage[name])
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
            total += len(table)
        writer = writer or pq.ParquetWriter(temporary, CRYSTALS)
        writer.close()
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    say(f"{total} candidates: {out}")


def _write_table(out: Path, table: Any) -> None:
    from gnomon.store import write_parquet  # noqa: PLC0415

    write_parquet(out, table)


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise FileExistsError(f"{out} exists: choose another --out, or delete it first")
    if not out.parent.is_dir():
        raise FileNotFoundError(
            f"{out.parent} is no folder: make it first, or choose another --out"
        )


def _finite(value: Any) -> Any:
    """Infinities, which JSON lacks, as null."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    return value


def _put_answer(answer: Any) -> None:
    from gnomon.terminal import put_table  # noqa: PLC0415

    print(f"{answer.query} (phases in the system: {answer.n_phases}; scheme: {answer.scheme})")
    put_table(
        [
            {
                "formula": row.reduced_formula,
                "id": row.id,
                "formation energy (eV/atom)": row.formation_energy_per_atom,
                "e_above_hull (eV/atom)": row.e_above_hull,
                "competes with": " + ".join(f"{x:.3f} {f}" for f, x in row.decomposition) or "-",
            }
            for row in answer.phases
        ],
        empty="no phase within the window",
    )
    print()


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    from gnomon.terminal import say  # noqa: PLC0415

    given = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(app)
    try:
        return int(command.main(given, prog_name="gnomon", standalone_mode=False) or 0)
    except typer.Abort:
        say("error: stopped")
        return 1
    except KeyboardInterrupt:
        say("error: interrupted\nhint: the same command goes on where it stopped")
        return 1
    except Exception as error:
        verb = given[0] if given and given[0] in getattr(command, "commands", {}) else ""
        hint = f"hint: `{f'gnomon {verb}'.strip()} --help` shows options and an example"
        return _explain(error, hint, say)


def _explain(error: Exception, hint: str, say: Any) -> int:
    """Say what went wrong; an error that gnomon did not foresee keeps its traceback."""
    from gnomon.config import ConfigError  # noqa: PLC0415
    from gnomon.store import StoreError  # noqa: PLC0415

    if type(error).__name__ == "NoArgsIsHelpError":
        say(str(error))
        return 2
    if hasattr(error, "format_message"):  # a usage error of the argument parser
        say(f"error: {error.format_message()}\n{hint}")
        return 2
    if isinstance(error, (CommandError, ConfigError)):
        say(f"error: {error}\n{hint}")
        return 2
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        say(f"error: {error.filename}: {error.strerror}\n{hint}")
        return 1
    if isinstance(error, (ValueError, StoreError, OSError)):
        say(f"error: {error}\n{hint}")
        return 1
    raise error


if __name__ == "__main__":
    sys.exit(main())

"""`gnomon databases`: the phases that a find competes with, from databases and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.options import json_object
from gnomon.cli.shared import Json

if TYPE_CHECKING:
    from gnomon.databases import References


def databases(
    systems: Annotated[list[str], typer.Argument(help="Chemical systems, such as Au-Cu.")],
    from_: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="mp (Materials Project), the base URL of an OPTIMADE provider, or a file "
            "(repeatable) [mp].",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder [reference-SYSTEM].")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file of the campaign that the phases are for.")
    ] = None,
    evaluator: Annotated[
        str | None,
        typer.Option(
            "--evaluator", "--weights", help="Potential (name or path) or ase:module.Class."
        ),
    ] = None,
    corrections: Annotated[
        str | None, typer.Option(help="'mp2020' or 'none' [mp2020 for potentials].")
    ] = None,
    options: Annotated[
        str | None,
        typer.Option(help="JSON of the calculator's arguments, as in '{\"cutoff\": 6}'."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; 0 takes one a core.")] = None,
    fetch_only: Annotated[
        bool, typer.Option("--fetch-only", help="Evaluate later, by the same command without it.")
    ] = False,
    json: Json = False,
) -> None:
    """Fetch the known phases of chemical systems, sub-systems included, and evaluate them anew.

    The same command goes on where it was stopped.

    Example: gnomon databases Au-Cu --from https://optimade.materialsproject.org
    """
    from gnomon.cli.terminal import listening, say
    from gnomon.databases import Request, fetch, references
    from gnomon.discover.settings import load_config
    from gnomon.evaluate.registry import make_evaluator
    from gnomon.run.store import Store

    request = Request.of(systems, from_ or ["mp"])
    names = ["-".join(system) for system in request.systems]
    store = Store(out or Path(f"reference-{'_'.join(names)}"))
    with listening() as listener:
        if fetch_only:
            provenance = fetch(request, store, listener)
        else:
            settings = load_config(
                config,
                {
                    "system": names[0],
                    "evaluator.name": evaluator,
                    "evaluator.corrections": corrections,
                    "evaluator.options": None
                    if options is None
                    else json_object(options, "--options"),
                    "evaluator.workers": workers,
                },
            )
            verifier = make_evaluator(settings.evaluator, settings.relax, listener)
            found = references(request, store, verifier, settings.relax, listener)
            provenance = found.provenance
    for source in provenance.fetched:
        release = f", release {source.release}" if source.release else ""
        said = "" if source.received is None else f": {source.received} records"
        say(f"{source.source}{release}, {source.fetched}{said}")
    if fetch_only:
        say(f"fetched, not evaluated yet: {store.root}")
    else:
        _put(found, store, json)


def _put(found: References, store: Any, json: bool) -> None:
    """The stable phases and how many records ended how."""
    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.databases.run import PHASES_FILE, RECORDS_FILE

    columns = ["reduced_formula", "source", "source_id", "id", "formation_energy_per_atom"]
    stable = found.stable.select(columns).to_pylist()
    phases, records = store.root / PHASES_FILE, store.root / RECORDS_FILE
    evaluation = found.provenance.evaluation
    assert evaluation is not None
    if json:
        put_json(
            {
                "systems": found.provenance.systems,
                "scheme": evaluation.scheme,
                "statuses": evaluation.statuses,
                "stable": stable,
                "phases": str(phases),
                "records": str(records),
            }
        )
        return
    put_table(
        [
            {
                "formula": row["reduced_formula"],
                "source": row["source_id"] or row["id"],
                "formation energy (eV/atom)": row["formation_energy_per_atom"],
            }
            for row in stable
        ],
        empty="no phase on the hull",
    )
    if found.left_out:
        some = ", ".join(found.left_out[:5])
        say(f"without a place, as an element of theirs has no converged phase: {some}")
    say(", ".join(f"{n} {status}" for status, n in evaluation.statuses.items()))
    say(f"scheme: {evaluation.scheme}; phases: {phases}; all records: {records}")

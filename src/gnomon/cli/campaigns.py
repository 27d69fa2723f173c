"""`gnomon discover` and `gnomon report`: a campaign and what it found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json


def discover(
    system: Annotated[str | None, typer.Argument(help="Chemical system, such as Au-Cu.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings.")] = None,
    out: Annotated[Path | None, typer.Option(help="Campaign folder [campaign-SYSTEM].")] = None,
    evaluator: Annotated[
        str | None,
        typer.Option(
            "--evaluator", "--weights", help="Potential (name or path) or ase:module.Class."
        ),
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
    candidates: Annotated[
        list[Path] | None, typer.Option(help="Candidates that another program made (repeatable).")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Name of that program.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; 0 takes one a core.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice.")] = None,
    json: Json = False,
) -> None:
    """Find new stable compounds of a chemical system, and write the report.

    The same command goes on where it was stopped.

    Example: gnomon discover Au-Cu --evaluations 240 --out au-cu
    """
    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.discover import discover as run
    from gnomon.discover.settings import load_config
    from gnomon.evaluate.registry import make_evaluator
    from gnomon.run.store import Store

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
            "generate.candidates": [str(p) for p in candidates] if candidates else None,
            "generate.label": label,
            "seed": seed,
        },
    )
    store = Store(out or Path(f"campaign-{settings.name}"))
    with listening() as listener:
        verifier = make_evaluator(settings.evaluator, settings.relax, listener)
        ending = run(settings, store, verifier, listener)
    page, stable = _write_report(store)
    if json:
        put_json({"system": settings.name, "ending": ending, "report": str(page), "stable": stable})
        return
    put_table(_brief(stable), empty=f"No new stable phase of {settings.name} was found.")
    say(f"report: {page}")


def report(
    campaign: Annotated[Path, typer.Argument(help="Campaign folder.")],
    json: Json = False,
) -> None:
    """Rebuild the hull and the report of a campaign from its shards.

    Example: gnomon report campaign-Au-Cu
    """
    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.run.store import Store

    page, stable = _write_report(Store(campaign))
    if json:
        put_json({"report": str(page), "stable": stable})
        return
    put_table(_brief(stable), empty="No new stable phase was found.")
    say(f"report: {page}")


def _write_report(store: Any) -> tuple[Path, list[dict[str, Any]]]:
    """hull.parquet and the report; the page and the new stable phases."""
    from gnomon.discover import Campaign
    from gnomon.report import build_report, write_report
    from gnomon.report.files import stable_table
    from gnomon.run.store import write_parquet

    campaign = Campaign(store)
    write_parquet(store.hull_path, campaign.hull_table())
    built = build_report(campaign)
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

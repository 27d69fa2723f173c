"""`gnomon discover`, `report` and `lineage`: a campaign, what it found, and where that is from."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError, Given, Output, Section
from gnomon.cli.shared import OF_EVALUATOR, MaybeFolder
from gnomon.discover import Campaign
from gnomon.discover import discover as run
from gnomon.discover.auto import deciding, settled
from gnomon.discover.flags import chance
from gnomon.discover.settings import CampaignConfig, load_config
from gnomon.discover.shares import shares
from gnomon.evaluate.registry import make_evaluator
from gnomon.io.tables import tables_of
from gnomon.report.build import build_report
from gnomon.report.files import stable_table, write_report
from gnomon.run.listener import Listener
from gnomon.run.passes.forecast import DryRunError
from gnomon.run.store import Store
from gnomon.run.writing import write_parquet

Folder = Annotated[Path, typer.Argument(help="Campaign folder.")]
Config = Annotated[Path | None, typer.Option(help="TOML file of settings.")]
OFTEN_SET = Section(
    only=(
        *("seed", "evaluator.name", "evaluator.options", "evaluator.workers"),
        *("evaluator.trust_factory", "decide.levels", "references"),
        *("budget.evaluations", "budget.decisions", "budget.minutes", "budget.rounds"),
        *("budget.per_round", "generate.parents", "generate.known", "generate.candidates"),
        *("generate.label", "generate.max_atoms", "screen.exclude"),
        *("generate.generators", "generate.objectives", "generate.ask"),
        *("wide.within", "wide.elements", "wide.min_elements", "wide.max_elements"),
        *("wide.phases", "wide.systems", "wide.compositions", "wide.cells", "wide.cell_steps"),
        *("wide.draws", "run.runner", "run.runner_options", "run.runner_workers"),
        *("run.task_minutes", "run.shard_evaluations", "run.dry_run"),
    ),
    names={f"evaluator.{name}": shown for name, shown in OF_EVALUATOR.items()}
    | {"decide.levels": ("--decide",)},
)


def discover(
    given: Annotated[Given[CampaignConfig], OFTEN_SET],
    listener: Listener,
    system: str | None = None,
    *,
    all_: bool = False,
    config: Config = None,
    out: MaybeFolder = None,
) -> Output:
    """Find new stable compounds of a chemical system, or of all, and write the report.

    The same command goes on where it was stopped.  What is given here wins over the file.

    Args:
        system: chemical system, such as Au-Cu.
        all_: no system: candidates of all crystals of --parents, a table with energies.
        out: campaign folder [campaign-SYSTEM].

    Example: gnomon discover Au-Cu --evaluations 240 --out au-cu
    """
    if system is None and config is None and not all_:
        raise CommandError(
            "name a chemical system, as in `gnomon discover Au-Cu`, or a --config; or search "
            "`--all` crystals of --parents"
        )
    if all_ and system is not None:
        raise CommandError(f"--all has no system: leave out {system}, or --all")
    settings = load_config(config, {"system": system, **given.values})
    if settings.run.dry_run:
        return _foretold(settings, listener)
    store = Store(out or Path(f"campaign-{settings.name}"))
    settings = settled(settings, store, listener)
    evaluator = make_evaluator(settings.evaluator, settings.relax, listener)
    deciders = deciding(settings, listener)
    ended = run(settings, store, evaluator, listener, listener.began, deciders)
    return _reported(ended.campaign, {"system": settings.name, "ending": ended.why})


def _foretold(settings: CampaignConfig, listener: Listener) -> Output:
    """What a campaign over all crystals would take; nothing is kept."""
    if settings.system is not None:
        raise CommandError("--dry-run foretells the passes of a campaign of `--all` crystals")
    with TemporaryDirectory() as place:
        store = Store(place)
        settings = settled(settings, store, listener)
        evaluator = make_evaluator(settings.evaluator, settings.relax, listener)
        try:
            run(settings, store, evaluator, listener, listener.began, deciding(settings, listener))
        except DryRunError as found:
            budget = settings.budget
            then = (
                f"then {budget.rounds} rounds of at most {budget.per_round} evaluations, "
                f"{budget.evaluations} in all, and the phases of the database that compete with "
                "what they find"
            )
            return Output({"forecast": str(found), "then": then}, (str(found), then))
    raise CommandError("there is nothing to foretell")


def report(campaign: Folder, listener: Listener) -> Output:
    """Rebuild the hull and the report of a campaign from its shards.

    Example: gnomon report campaign-Au-Cu
    """
    store = Store(campaign)
    store.sound(listener)
    return _reported(Campaign(store), {})


def lineage(campaign: Folder, listener: Listener, id: str | None = None) -> Output:
    """Show the history of one find, or the share of the finds that each generator has.

    Args:
        id: id of an evaluated phase, or how it begins.

    Example: gnomon lineage campaign-Au-Cu
    """
    opened = Campaign(campaign)
    opened.store.sound(listener)
    if id is not None:
        return _history(opened, id)
    rows = [_row(share) for share in shares(opened)]
    listed = [
        {"id": f.id, "reduced_formula": f.reduced_formula, "steps": len(f.lineage)}
        for f in opened.finds
    ]
    return Output(
        {"finds": listed, "generators": rows},
        (rows or "no candidates yet", listed or "no new stable phase yet"),
        said=(
            f"{len(listed)} new stable phases; `gnomon lineage {campaign} ID` shows one's history",
        ),
    )


def _reported(campaign: Campaign, facts: dict[str, Any]) -> Output:
    """hull.parquet and the report written; the page, new stable phases and tables told."""
    store = campaign.store
    write_parquet(store.hull_path, campaign.hull_table())
    built = build_report(campaign)
    page = write_report(built, store.root / "report")
    store.seal()
    stable = stable_table(built).to_pylist()
    brief = [
        {
            "formula": row["reduced_formula"],
            "space group": f"{row['space_group_symbol']} ({row['space_group']})",
            "formation energy (eV/atom)": row["formation_energy_per_atom"],
            "distance to the rest": row["distance_to_rest"],
            "probability": chance(row["probability_stable"]),
            "flags": ", ".join(flag.kind for flag in built.about[row["id"]].flags) or "-",
            "origin": row["lineage"],
        }
        for row in stable
    ]
    tables = [f"table {table}" for table in tables_of(store.root)]
    return Output(
        {
            **facts,
            "headline": built.headline,
            "levels": built.told,
            "report": str(page),
            "stable": stable,
            "tables": tables,
        },
        (brief or f"No new stable phase of {campaign.name} was found.",),
        said=(*tables, *built.told, built.headline, f"report: {page}"),
    )


def _history(campaign: Campaign, start: str) -> Output:
    """Steps of one phase, the root first."""
    phases = [
        phase
        for phase in campaign.phases
        if phase.id.startswith(start) or phase.relaxed_id.startswith(start)
    ]
    if not phases or len({phase.id for phase in phases}) > 1:
        what = "no evaluated phase has" if not phases else f"{len(phases)} evaluated phases have"
        raise CommandError(f"{what} an id that begins with {start!r}: give (more of) one")
    phase = phases[0]
    steps = [
        {"round": step.round, "generator": step.generator or "given", "change": step.change}
        for step in reversed(phase.lineage)
    ]
    facts = {"id": phase.id, "reduced_formula": phase.reduced_formula}
    return Output(
        {**facts, "e_above_hull": phase.e_above_hull, "steps": steps},
        (steps or "no steps: a crystal that was given",),
        said=(
            f"{phase.reduced_formula}: {phase.space_group_symbol}, "
            f"{phase.e_above_hull * 1000:.1f} meV/atom above the hull",
        ),
    )


def _row(share: Any) -> dict[str, Any]:
    return {
        "generator": share.generator,
        "candidates": share.candidates,
        "evaluated": share.evaluated,
        "stable": f"{share.stable.k} of {share.stable.n}",
        "rooted": f"{share.rooted.k} of {share.rooted.n}",
        "hits": f"{share.hits.k} of {share.hits.n} ({share.hits.low:.0%} to {share.hits.high:.0%})",
    }

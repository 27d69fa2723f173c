"""`gnomon properties` and `gnomon funnel`: what crystals are good for, one table a property."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow.compute as pc
import typer

from gnomon.cli.options import CommandError, Output, Section, named_values
from gnomon.cli.shared import (
    Evaluator,
    Folder,
    MaybeFolder,
    MaybeStructures,
    Strict,
    Structures,
    read_crystals,
)
from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.dynamics.settings import RelaxConfig
from gnomon.io.tables import FOLDER as TABLES
from gnomon.io.tables import read_table
from gnomon.properties.compute import CHUNK, Computed
from gnomon.properties.compute import compute as compute_all
from gnomon.properties.diagram import DIAGRAMS
from gnomon.properties.diagram import draw as draw_diagram
from gnomon.properties.funnel import FOLDER as FUNNEL
from gnomon.properties.funnel import funnel as run_funnel
from gnomon.properties.funnel import read_steps
from gnomon.properties.mechanics.moduli import Source
from gnomon.properties.registry import PROPERTIES, PropertySettings
from gnomon.run.folder import ROOTS
from gnomon.run.listener import SILENT, Listener
from gnomon.run.store import Store

RELAX = Section(only=("max_steps", "max_seconds"))


def properties(
    evaluator: Evaluator,
    relax: Annotated[RelaxConfig, RELAX],
    listener: Listener,
    crystals: MaybeStructures = None,
    *,
    compute: list[str] | None = None,
    out: MaybeFolder = None,
    option: list[str] | None = None,
    chunk: int = CHUNK,
    near: float | None = None,
    list_: Annotated[bool, typer.Option("--list", help="Say which properties there are.")] = False,
    strict: Strict = False,
) -> Output:
    """Compute properties of crystals, or of the finds of a campaign.

    Each property becomes a table OUT/NAME.parquet with value, uncertainty, level and status: what
    has no answer is a row that says why.  What a property needs is computed first; of one crystal
    everything is printed.  After a kill the same command goes on where it stopped; rows that are
    there are kept.

    Args:
        compute: name of a property; repeatable.
        out: folder of the tables [tables/ of the campaign, whose report shows them].
        option: of a property, as in elastic.strain=0.01; repeatable.
        chunk: crystals in a part, which is what a kill may cost.
        near: of a campaign all evaluated compounds this near the hull, eV/atom [its finds].

    Example: gnomon properties *.cif --compute elastic --compute hardness --out properties
    """
    if list_:
        return _listed()
    campaign = campaign_of(crystals or [])
    if campaign is not None:
        out = out or campaign.store.root / TABLES
    if not crystals or not compute or out is None:
        raise CommandError("give crystals, --compute NAME and --out FOLDER, or --list")
    settings = PropertySettings(evaluator, relax, _by_property(option or []), listener)
    for name in compute:
        PROPERTIES.check(name)
    given = _given(campaign, crystals, near, strict)
    found = compute_all(given, compute, settings, out, chunk=chunk)
    rows = [
        {
            "property": one.name,
            "unit": one.unit,
            "median": one.median,
            "ok": one.statuses.get("ok", 0),
            "of": sum(one.statuses.values()),
            "out": str(one.out),
        }
        for one in found
    ]
    failed = [
        f"{one.name}: {count} × {status}"
        for one in found
        for status, count in one.statuses.items()
        if status != "ok"
    ]
    shown = (_all_of(found, given.ids[0]),) if len(given) == 1 else ()
    return Output(rows, shown, tuple(failed))


def campaign_of(paths: list[str]) -> Campaign | None:
    """The campaign whose folder is given."""
    if len(paths) != 1 or not (Path(paths[0]) / ROOTS[0]).is_file():
        return None
    store = Store(paths[0])
    store.sound(SILENT)
    return Campaign(store)


def _given(
    campaign: Campaign | None, crystals: list[str], near: float | None, strict: bool
) -> Crystals:
    """The crystals of files, or those of a campaign that are meant."""
    if campaign is None:
        return read_crystals(crystals, strict).crystals
    return finds_of(campaign) if near is None else compounds_near(campaign, near)


def finds_of(campaign: Campaign) -> Crystals:
    """The new stable phases of a campaign, as relaxed at the level that answers.

    Raises:
        ValueError: if there are none.
    """
    if not campaign.finds:
        raise ValueError(f"{campaign.store.root} has no new stable phase")
    placed = campaign.placed
    return placed.found.relaxed.take([placed.row_of[find.id] for find in campaign.finds])


def compounds_near(campaign: Campaign, near: float) -> Crystals:
    """All compounds of a campaign within ``near`` (eV/atom) of the hull of the level that screens.

    As relaxed there: what the generator `evolution` breeds.
    """
    placed = campaign.level(0).placed
    rows = np.flatnonzero(placed.compound & (placed.e_above_hull <= near))
    return placed.found.relaxed.take(rows)


def funnel(
    crystals: Structures,
    listener: Listener,
    *,
    steps: Path,
    out: MaybeFolder = None,
    near: float | None = None,
    strict: Strict = False,
) -> Output:
    """Let crystals through one property after the other, the cheap ones first, and say who is left.

    Of a campaign its finds go through, and its report shows how far they came.

    The TOML file has a [[step]] for each property, with what goes on: at_least, at_most, best.
    After a kill the same command goes on where it stopped.

    Args:
        steps: TOML file of the steps.
        out: folder of the tables, left.parquet, funnel.json and funnel.html [tables/funnel of the
            campaign].
        near: of a campaign all evaluated compounds this near the hull, eV/atom [its finds].

    Example: gnomon funnel known.parquet --steps hard.toml --out hard
    """
    wanted, campaign = read_steps(steps), campaign_of(crystals)
    if campaign is not None:
        out = out or campaign.store.root / TABLES / FUNNEL
    if out is None:
        raise CommandError("give --out FOLDER for the tables and the picture")
    stages = run_funnel(_given(campaign, crystals, near, strict), wanted, out, listener)
    rows = [
        {
            "step": stage.step,
            "came": stage.came,
            "went on": stage.went_on,
            "most were lost as": next(iter(stage.losses), ""),
        }
        for stage in stages
    ]
    return Output([asdict(stage) for stage in stages], (rows,), (f"{out / 'funnel.html'}",))


def ashby(
    crystals: Structures,
    evaluator: Evaluator,
    listener: Listener,
    *,
    out: Folder,
    diagram: Literal["ashby", "bound"] = "ashby",
    moduli: Source = "predicted",
    strict: Strict = False,
) -> Output:
    """Draw crystals in a diagram: hardness against fracture toughness, or expansion and its bound.

    Writes OUT/DIAGRAM.html beside the tables of the properties.  `ashby` is Ashby's diagram; metals
    alone have no hardness.  `bound` shows alpha E / (c_V rho) by Poisson's ratio with Mazhnik's
    bound f(nu), and counts what lies beyond.

    Args:
        out: folder.
        diagram: which.
        moduli: predicted by the networks in the package, or elastic, by strained cells; with these
            expansion and heat capacity are those of phonons.

    Example: gnomon ashby known.parquet --out hard
    """
    options = {DIAGRAMS[diagram].property: {"moduli": moduli}}
    settings = PropertySettings(evaluator, RelaxConfig(), options, listener)
    drawn = draw_diagram(read_crystals(crystals, strict).crystals, diagram, settings, out)
    beyond = "" if drawn.above is None else f", {drawn.above} beyond the bound"
    said = f"{drawn.shown} of {drawn.given} crystals{beyond}: {drawn.out}"
    found = {"shown": drawn.shown, "of": drawn.given, "out": str(drawn.out)}
    return Output(found | ({} if drawn.above is None else {"beyond": drawn.above}), said=(said,))


def _listed() -> Output:
    settings = PropertySettings()
    rows = []
    for name in PROPERTIES.names():
        made = PROPERTIES.get(name)(settings)
        value = made.schema.field("value").metadata
        rows.append(
            {
                "property": name,
                "value": value[b"description"].decode(),
                "unit": value[b"unit"].decode(),
                "needs": ", ".join(made.needs),
            }
        )
    return Output(rows)


def _all_of(found: list[Computed], key: str) -> list[dict[str, Any]]:
    """Everything that the tables say of one crystal, a row a number or text."""
    rows = []
    for one in found:
        table = read_table(one.out)
        (row,) = table.filter(pc.equal(table["id"], key)).to_pylist()
        told = {name: row[name] for name in ("value", "uncertainty", "level", "status")}
        rows.append({"property": one.name, "unit": one.unit, **told})
        for name in table.schema.names:
            if name not in (*told, "id") and isinstance(row[name], float | int | str):
                unit = (table.schema.field(name).metadata or {}).get(b"unit", b"").decode()
                further = dict.fromkeys(told) | {"value": row[name]}
                rows.append({"property": f"{one.name}.{name}", "unit": unit, **further})
    return rows


def _by_property(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Options such as ``elastic.strain=0.01`` by property."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, dot, rest = text.partition(".")
        if not dot or "=" not in rest:
            raise CommandError(f"--option {text!r}: give it as in elastic.strain=0.01")
        found.setdefault(name, {}).update(named_values([rest], "--option"))
    return found

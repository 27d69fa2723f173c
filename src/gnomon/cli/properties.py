"""`gnomon properties`: what crystals are good for, one table a property."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gnomon.cli.options import CommandError, Output, Section, named_values
from gnomon.cli.shared import Evaluator, MaybeFolder, MaybeStructures, Strict, read_crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.properties.compute import CHUNK
from gnomon.properties.compute import compute as compute_all
from gnomon.properties.registry import PROPERTIES, PropertySettings
from gnomon.run.listener import Listener

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
    list_: Annotated[bool, typer.Option("--list", help="Say which properties there are.")] = False,
    strict: Strict = False,
) -> Output:
    """Compute properties of crystals; what has no answer is a row that says why.

    Each property becomes a table OUT/NAME.parquet with value, uncertainty, level and status.  What
    a property needs is computed first.  After a kill the same command goes on where it stopped.

    Args:
        compute: name of a property; repeatable.
        out: folder of the tables.
        option: of a property, as in elastic.strain=0.01; repeatable.
        chunk: crystals in a part, which is what a kill may cost.

    Example: gnomon properties *.cif --compute elastic --compute hardness --out properties
    """
    if list_:
        return _listed()
    if not crystals or not compute or out is None:
        raise CommandError("give crystals, --compute NAME and --out FOLDER, or --list")
    settings = PropertySettings(evaluator, relax, _by_property(option or []), listener)
    for name in compute:
        PROPERTIES.check(name)
    given = read_crystals(crystals, strict).crystals
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
    return Output(rows, said=tuple(failed))


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


def _by_property(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Options such as ``elastic.strain=0.01`` by property."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        name, dot, rest = text.partition(".")
        if not dot or "=" not in rest:
            raise CommandError(f"--option {text!r}: give it as in elastic.strain=0.01")
        found.setdefault(name, {}).update(named_values([rest], "--option"))
    return found

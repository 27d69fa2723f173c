"""`gnomon databases`: the phases that a find competes with, from databases and files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from gnomon.cli.options import Given, Output, Section
from gnomon.cli.shared import OF_EVALUATOR, MaybeFolder
from gnomon.databases import References, Request, fetch, references
from gnomon.databases.run import PHASES_FILE, RECORDS_FILE
from gnomon.discover.settings import CampaignConfig, load_config
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.run.listener import Listener
from gnomon.run.store import Store

SECTION = Section(
    only=tuple(f"evaluator.{name}" for name in EvaluatorConfig.model_fields),
    names={f"evaluator.{name}": shown for name, shown in OF_EVALUATOR.items()},
)


def databases(
    systems: list[str],
    given: Annotated[Given[CampaignConfig], SECTION],
    listener: Listener,
    *,
    from_: list[str] | None = None,
    out: MaybeFolder = None,
    config: Path | None = None,
    fetch_only: bool = False,
    allow_host: list[str] | None = None,
) -> Output:
    """Fetch the known phases of chemical systems, sub-systems included, and evaluate them anew.

    The same command goes on where it was stopped.

    Args:
        systems: chemical systems, such as Au-Cu.
        from_: mp (Materials Project), the base URL of an OPTIMADE provider, or a file
            (repeatable) [mp].
        out: folder [reference-SYSTEM].
        config: TOML file of the campaign that the phases are for.
        fetch_only: evaluate later, by the same command without it.
        allow_host: another host that a provider may send us to (repeatable).

    Example: gnomon databases Au-Cu --from https://optimade.materialsproject.org
    """
    request = Request.of(systems, from_ or ["mp"], allow_host or ())
    names = ["-".join(system) for system in request.systems]
    store = Store(out or Path(f"reference-{'_'.join(names)}"))
    if fetch_only:
        said = _received(fetch(request, store, listener))
        folder = str(store.root)
        return Output(
            {"systems": names, "folder": folder},
            said=(*said, f"fetched, not evaluated yet: {folder}"),
        )
    settings = load_config(config, {"system": names[0], **given.values})
    verifier = make_evaluator(settings.evaluator, settings.relax, listener)
    found = references(request, store, verifier, settings.relax, listener)
    return _output(found, store)


def _received(provenance: Any) -> list[str]:
    said = []
    for source in provenance.fetched:
        release = f", release {source.release}" if source.release else ""
        count = "" if source.received is None else f": {source.received} records"
        said.append(f"{source.source}{release}, {source.fetched}{count}")
    return said


def _output(found: References, store: Store) -> Output:
    """The stable phases and how many records ended how."""
    columns = ["reduced_formula", "source", "source_id", "id", "formation_energy_per_atom"]
    stable = found.stable.select(columns).to_pylist()
    phases, records = store.root / PHASES_FILE, store.root / RECORDS_FILE
    evaluation = found.provenance.evaluation
    assert evaluation is not None
    said = _received(found.provenance)
    if found.left_out:
        some = ", ".join(found.left_out[:5])
        said.append(f"without a place, as an element of theirs has no converged phase: {some}")
    said.append(", ".join(f"{n} {status}" for status, n in evaluation.statuses.items()))
    said.append(f"scheme: {evaluation.scheme}; phases: {phases}; all records: {records}")
    rows = [
        {
            "formula": row["reduced_formula"],
            "source": row["source_id"] or row["id"],
            "formation energy (eV/atom)": row["formation_energy_per_atom"],
        }
        for row in stable
    ]
    return Output(
        {
            "systems": found.provenance.systems,
            "scheme": evaluation.scheme,
            "statuses": evaluation.statuses,
            "stable": stable,
            "phases": str(phases),
            "records": str(records),
        },
        (rows or "no phase on the hull",),
        tuple(said),
    )

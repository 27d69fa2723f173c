"""`gnomon verify`: the best finds of a campaign at a higher level of theory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.options import CommandError, json_object
from gnomon.cli.shared import Json, evaluator_config

if TYPE_CHECKING:
    from gnomon.run.store import Store
    from gnomon.verify import Plan, Verification

VASP = "vasp"


def verify(
    campaign: Annotated[Path, typer.Argument(help="Campaign folder.")],
    engine: Annotated[
        str,
        typer.Option(help="gpaw, gpaw:tight, gpaw:r2scan, vasp, ase:module.Class, or weights."),
    ],
    top: Annotated[int, typer.Option(help="Finds to verify, the best first.")] = 20,
    margin: Annotated[
        float,
        typer.Option(help="Other structures of a find, this far above it in eV/atom, compete too."),
    ] = 0.02,
    export: Annotated[
        Path | None, typer.Option(help="Write inputs of VASP into this new folder.")
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Read outputs of VASP from this folder.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="Of VASP: pbe, pbe-newer or r2scan.")] = "pbe",
    options: Annotated[str, typer.Option(help="The engine's options as a JSON object.")] = "{}",
    workers: Annotated[int, typer.Option(help="Processes; 0 takes one a core.")] = 0,
    max_seconds: Annotated[
        float | None, typer.Option(help="Wall time for one crystal, in seconds.")
    ] = None,
    again: Annotated[bool, typer.Option(help="Try again what did not converge.")] = False,
    json: Json = False,
) -> None:
    """Evaluate the best finds and their competing phases anew: which stay stable, k of n.

    The same command goes on where it was stopped.

    Example: gnomon verify campaign-Au-Cu --engine gpaw --top 20
    """
    from gnomon.discover import Campaign
    from gnomon.run.store import Store
    from gnomon.verify import plan

    if engine == VASP and (export is None) == (import_ is None):
        raise CommandError("--engine vasp takes one of --export DIR and --import DIR")
    if engine != VASP and (export is not None or import_ is not None):
        raise CommandError("--export and --import belong to --engine vasp")
    store = Store(campaign)
    chosen = plan(Campaign(store), top, margin)
    if export is not None:
        _export(chosen, export, protocol)
        return
    if import_ is not None:
        _put(*_import(store, chosen, import_, protocol), json)
        return
    named = evaluator_config(engine, json_object(options, "--options"), None, workers)
    _put(*_evaluate(store, chosen, named, max_seconds, again), json)


def _evaluate(
    store: Store, chosen: Plan, named: Any, max_seconds: float | None, again: bool
) -> tuple[Verification, Store]:
    from gnomon.cli.terminal import listening
    from gnomon.dynamics.settings import RelaxConfig
    from gnomon.evaluate.registry import make_evaluator
    from gnomon.run.files import cache_folder
    from gnomon.run.store import Store
    from gnomon.verify import assess, evaluate_plan, folder_of

    limits = {} if max_seconds is None else {"max_seconds": max_seconds}
    with listening() as listener:
        evaluator = make_evaluator(named, RelaxConfig.model_validate(limits), listener)
        folder = Store(folder_of(store, named.name, evaluator.scheme))
        references = cache_folder() / "references"
        rows = evaluate_plan(chosen, evaluator, folder, references, listener, again=again)
    return assess(chosen, rows, evaluator.scheme), folder


def _put(verification: Verification, folder: Store, json: bool) -> None:
    from gnomon.cli.terminal import put_json, put_table, say
    from gnomon.verify.output import facts, sentence, write_verification

    write_verification(verification, folder)
    if json:
        put_json(facts(verification))
        return
    put_table(
        [
            {
                "formula": outcome.target.find.reduced_formula,
                "verdict": outcome.verdict.value,
                "formation energy (eV/atom)": outcome.formation_energy_per_atom,
                "shift": outcome.shift,
                "e_above_hull": outcome.e_above_hull,
                "reason": outcome.reason or "-",
            }
            for outcome in verification.outcomes
        ]
    )
    say(sentence(verification))
    say(f"verification: {folder.root}")


def _export(chosen: Plan, folder: Path, protocol: str) -> None:
    from collections import Counter

    from gnomon.cli.terminal import say
    from gnomon.verify.vasp_flow import FLOW, MAKERS, can_make_flows, write_flow
    from gnomon.verify.vasp_inputs import export, protocol_of

    named = protocol_of(protocol)
    manifest = export(chosen, folder, named)
    said = Counter(text for row in manifest["crystals"] for text in row["warnings"])
    for text, count in said.items():
        say(f"pymatgen, of {count} crystals: {text}")
    print(f"{len(manifest['crystals'])} crystals, {len(manifest['jobs'])} jobs each: {folder}")
    if manifest["potentials"] == "POTCAR.spec":
        say("no POTCARs here (PMG_VASP_PSP_DIR): POTCAR.spec names those that belong to each job")
    if named not in MAKERS:
        say(f"no {FLOW}: atomate2 has no jobs of {named}")
    elif can_make_flows():
        say(f"flow for atomate2: {write_flow(chosen, folder, named)}")
    else:
        say(f"no {FLOW}: it needs jobflow and atomate2 (pip install 'gnomon[vasp]')")


def _import(store: Store, chosen: Plan, folder: Path, protocol: str) -> tuple[Verification, Store]:
    from gnomon.run.store import Store
    from gnomon.verify import assess, folder_of
    from gnomon.verify.vasp_import import import_runs
    from gnomon.verify.vasp_inputs import protocol_of

    named = protocol_of(protocol)
    rows = import_runs(chosen, folder, named)
    level = Store(folder_of(store, VASP, str(named.scheme)))
    with level.locked():
        level.discard("evaluations", 0)  # the folder of outputs is the state: read it whole
        level.append("evaluations", 0, rows)
    return assess(chosen, rows, str(named.scheme)), level

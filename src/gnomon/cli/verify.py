"""`gnomon verify`: the best finds of a campaign at a higher level of theory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from gnomon.cli.options import CommandError, Given, Output, Section
from gnomon.cli.shared import OF_EVALUATOR, ExportFolder
from gnomon.discover import Campaign
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.registry import EvaluatorConfig, make_evaluator
from gnomon.run.files import cache_folder
from gnomon.run.listener import Listener
from gnomon.run.store import Store
from gnomon.verify.output import facts, sentence, write_verification
from gnomon.verify.plan import Plan, plan
from gnomon.verify.run import evaluate_plan, folder_of
from gnomon.verify.vasp_flow import FLOW, MAKERS, can_make_flows, write_flow
from gnomon.verify.vasp_import import import_runs
from gnomon.verify.vasp_inputs import export as export_inputs
from gnomon.verify.vasp_inputs import protocol_of
from gnomon.verify.verdicts import Verification, assess

VASP = "vasp"

OF_ENGINE = Section(only=("options", "workers", "trust_factory"), names=OF_EVALUATOR)


def verify(
    campaign: Path,
    evaluator: Annotated[Given[EvaluatorConfig], OF_ENGINE],
    relax: Annotated[RelaxConfig, Section(only=("max_seconds",))],
    listener: Listener,
    *,
    engine: str,
    top: int = 20,
    margin: float = 0.02,
    export: ExportFolder = None,
    import_: Path | None = None,
    protocol: str = "pbe",
    again: bool = False,
) -> Output:
    """Ask another level, or a second potential, which of the best finds are stable: k of n.

    Each find is evaluated anew with all that competes with it.

    The same command goes on where it was stopped.

    Args:
        campaign: campaign folder.
        engine: who is asked: gpaw, gpaw:tight, gpaw:r2scan, vasp, ase:module.Class, or weights.
        top: finds to verify, the best first.
        margin: whatever lies so far above the hull, in eV/atom, competes too.
        export: write inputs of VASP into this new folder.
        import_: read outputs of VASP from this folder.
        protocol: of VASP: pbe, pbe-newer or r2scan.
        again: try again what did not converge.

    Example: gnomon verify campaign-Au-Cu --engine gpaw --top 20
    """
    if engine == VASP and (export is None) == (import_ is None):
        raise CommandError("--engine vasp takes one of --export DIR and --import DIR")
    if engine != VASP and (export is not None or import_ is not None):
        raise CommandError("--export and --import belong to --engine vasp")
    store = Store(campaign)
    store.sound(listener)
    chosen = plan(Campaign(store), top, margin)
    if export is not None:
        return _export(chosen, export, protocol)
    if import_ is not None:
        return _output(*_import(store, chosen, import_, protocol))
    named = evaluator.over(name=engine)
    verifier = make_evaluator(named, relax, listener)
    folder = Store(folder_of(store, named.name, verifier.scheme))
    references = cache_folder() / "references"
    rows = evaluate_plan(chosen, verifier, folder, references, listener, again=again)
    return _output(assess(chosen, rows, verifier.scheme), folder)


def _output(verification: Verification, folder: Store) -> Output:
    write_verification(verification, folder)
    rows = [
        {
            "formula": outcome.target.find.reduced_formula,
            "verdict": outcome.verdict.value,
            "agrees": {True: "yes", False: "no", None: "-"}[outcome.agrees],
            "formation energy (eV/atom)": outcome.formation_energy_per_atom,
            "shift": outcome.shift,
            "e_above_hull": outcome.e_above_hull,
            "distance to the rest": outcome.distance_to_rest,
            "reason": outcome.reason or "-",
        }
        for outcome in verification.outcomes
    ]
    said = [sentence(verification), f"verification: {folder.root}"]
    found = facts(verification)
    if teacher := found["shares_labels_of"]:
        said.append(
            f"not independent: the campaign's potential and this one share what they know of "
            f"{teacher}, so that both may be wrong in the same way"
        )
    return Output(found, (rows,), tuple(said))


def _export(chosen: Plan, folder: Path, protocol: str) -> Output:
    named = protocol_of(protocol)
    manifest = export_inputs(chosen, folder, named)
    warnings = Counter(text for row in manifest["crystals"] for text in row["warnings"])
    said = [f"pymatgen, of {count} crystals: {text}" for text, count in warnings.items()]
    if manifest["potentials"] == "POTCAR.spec":
        said.append("no POTCARs here (PMG_VASP_PSP_DIR): POTCAR.spec names those of each job")
    if named not in MAKERS:
        said.append(f"no {FLOW}: atomate2 has no jobs of {named}")
    elif can_make_flows():
        said.append(f"flow for atomate2: {write_flow(chosen, folder, named)}")
    else:
        said.append(f"no {FLOW}: it needs jobflow and atomate2 (pip install 'gnomon[vasp]')")
    text = f"{len(manifest['crystals'])} crystals, {len(manifest['jobs'])} jobs each: {folder}"
    return Output(manifest, (text,), tuple(said))


def _import(store: Store, chosen: Plan, folder: Path, protocol: str) -> tuple[Verification, Store]:
    named = protocol_of(protocol)
    rows = import_runs(chosen, folder, named)
    level = Store(folder_of(store, VASP, str(named.scheme)))
    with level.locked():
        level.discard("evaluations", 0)  # the folder of outputs is the state: read it whole
        level.append("evaluations", 0, rows)
    return assess(chosen, rows, str(named.scheme)), level

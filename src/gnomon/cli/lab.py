"""`gnomon lab`: a laboratory that learns, whose folder is its notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from gnomon.cli.options import CommandError, Given, Output, Section
from gnomon.cli.shared import read_crystals
from gnomon.cli.synthesis import pressures_of
from gnomon.crystals import Crystals
from gnomon.diffraction import Candidates, read_scan
from gnomon.hull.convex import Hull
from gnomon.hull.phases import compositions, reduced_formulas
from gnomon.io.tables import read_table
from gnomon.run.listener import Listener
from gnomon.synthesis.lab.crucible import AIR, KELVIN, closed_elements, in_gas
from gnomon.synthesis.lab.notebook import (
    TEMPERATURES,
    LaboratoryConfig,
    Notebook,
    elements_of,
    grams,
)
from gnomon.synthesis.lab.powder import of_system, read
from gnomon.synthesis.lab.sets import Heating, precursor_sets
from gnomon.synthesis.lab.shelf import common_precursors
from gnomon.synthesis.lab.simulated import run, told
from gnomon.synthesis.literature import read_literature
from gnomon.synthesis.solids import Solids, solids_from_table
from gnomon.synthesis.targets import NEAR

SETTINGS = Section(only=("hours", "enough", "hopeless", "most_sets", "seed"))
Place = Annotated[Path, typer.Argument(help="Folder of the laboratory.")]


def begin(
    target: str,
    folder: Place,
    settings: Annotated[Given[LaboratoryConfig], SETTINGS],
    *,
    phases: Path,
    precursor: list[str] | None = None,
    data: Path | None = None,
    celsius: list[float] | None = None,
    gas: list[str] | None = None,
    cells: Path | None = None,
) -> Output:
    """Begin a laboratory: what is to be made, of which precursors, how hot.

    The same command again goes on with the folder that is there.

    Args:
        target: formula.
        phases: Parquet as for `gnomon gibbs`, with target, precursors and what may form.
        precursor: formula; repeatable.
        data: the text-mined set of Kononova et al. (2019): the three commonest precursors of each
            element are added.
        celsius: temperature of an experiment; repeatable [600 to 1100 in steps of 100].
        gas: a gas and its partial pressure in bar: O2=1e-5; those of air, whose N2 does not react,
            if none is given.
        cells: Parquet that lends volumes to phases without.

    Example: gnomon lab begin BaTiO3 lab --phases mp.parquet --precursor BaCO3 --precursor TiO2
    """
    wanted, *given = reduced_formulas(compositions([target, *(precursor or [])])).tolist()
    pressures = pressures_of(gas) if gas else dict(AIR)
    lent = None if cells is None else read_table(cells)
    solids = solids_from_table(read_table(phases), cells=lent)
    names = {str(name) for name in solids.phases.reduced_formulas}
    own = closed_elements(str(wanted), pressures)
    if data is not None:
        common = common_precursors(read_literature(data), names, pressures)
        given += [name for symbol in own for name in common.get(symbol, [])]
    if not given:
        raise CommandError("no precursors: name them with --precursor, or give --data")
    config = settings.over(
        None,
        target=str(wanted),
        precursors=tuple(dict.fromkeys(map(str, given))),
        pressures=pressures,
        temperatures=tuple(sorted(celsius or TEMPERATURES)),
    )
    system = solids.within(elements_of([config.target, *config.precursors], pressures))
    book = Notebook.begin(folder, config, system, solids.phases.scheme)
    sets = len(book.laboratory.sets)
    said = (
        f"{sets} mixtures at {len(config.temperatures)} temperatures; `gnomon lab next {folder}` "
        "says what to try first",
        *_unstable(system, config),
    )
    return Output(config.model_dump(mode="json"), (f"{config.target}: {folder}",), said)


def next_(folder: Place) -> Output:
    """Say what to weigh in and how hot to heat it: the experiment that waits, or a new one.

    Example: gnomon lab next lab
    """
    book = Notebook(folder)
    config = book.config
    with book.writing():
        plan = book.next()
    if plan is None:
        if book.succeeded:
            return Output({"plan": None, "made": True}, (f"{config.target} was made",))
        why = f"nothing that was not tried has a chance of {config.hopeless:g} or more"
        return Output({"plan": None, "made": False}, (why,), code=1)
    done = plan["experiment"]
    lines = [
        f"Experiment {plan['number']}: {done['celsius']:g} °C, {done['hours']:g} h",
        *(f"  {g:.4f} g {name}" for name, g in plan["grams"].items()),
        f"  for 1 g of {config.target}",
        *([f"  {plan['reaction']}"] if plan["reaction"] else []),
        f"  chance {plan['chance']:.0%}, driving force {1000 * plan['driving_force']:+.0f} "
        "meV/atom without the atoms of the gas",
    ]
    said = (f"`gnomon lab record {folder} --phase ...` or `--scan FILE` adds the outcome",)
    return Output(plan, ("\n".join(lines),), said)


def record(
    folder: Place,
    *,
    phase: list[str] | None = None,
    scan: Path | None = None,
    crystals: list[Path] | None = None,
    experiment: int | None = None,
    precursor: list[str] | None = None,
    celsius: float | None = None,
    note: str = "",
    correct: bool = False,
) -> Output:
    """Add what came out of an experiment to the notebook.

    Args:
        phase: a phase and its weight fraction: BaTiO3=0.8; repeatable.
        scan: file of a diffractometer instead: phases among the crystals are looked for in it.
        crystals: files of crystals that may be in the powder; repeatable.
        experiment: number of the plan [the one that waits].
        precursor: of an experiment that was not planned; repeatable.
        celsius: of an experiment that was not planned, or where it was not as planned.
        note: what else there is to say.
        correct: take the place of an outcome that is there, which stays in the folder.

    Example: gnomon lab record lab --phase BaTiO3=0.7 --phase Ba2TiO4=0.3
    """
    book = Notebook(folder)
    config = book.config
    if (phase is None) == (scan is None):
        raise CommandError("say what came out: either --phase FORMULA=FRACTION, or --scan FILE")
    with book.writing():
        number, done = _which(book, experiment, precursor, celsius)
        kept, source, doubt = None, "a person", 0.0
        if scan is None:
            found = _fractions(phase or [])
        else:
            names = [config.target, *config.precursors]
            candidates = _candidates(crystals, elements_of(names, config.pressures))
            heating = done or book.heating(
                next(plan for plan in book.plans() if plan["number"] == number)
            )
            grams_in = grams(heating.mixture, config.target, config.pressures)
            reading = read(read_scan(scan), candidates, weighed_in=grams_in)
            found, source = dict(reading.phases), f"scan {scan.name}"
            doubt = reading.doubt(config.target)
            note = f"{note} {reading.note}".strip()
            kept = (scan.suffix, scan.read_bytes())
        entry = book.record(
            number,
            found,
            source,
            experiment=done,
            note=note,
            scan=kept,
            doubt=doubt,
            correct=correct,
        )
    return Output(entry, (told(entry),), _doubts(entry, config))


def simulate(
    folder: Place,
    listener: Listener,
    *,
    law: str = "diffusion",
    world: int = 0,
    attempts: int = 20,
    crystals: list[Path] | None = None,
) -> Output:
    """Run the laboratory in a furnace that is simulated: nothing of it holds for a real one.

    After a kill the same command goes on where it stopped, with the same notebook.

    Args:
        law: kinetics of the furnace: diffusion, nucleation or collective.
        world: seed of its hidden barriers and energies.
        attempts: outcomes in the notebook, at most.
        crystals: files of crystals: outcomes are read from simulated diffractograms of them.

    Example: gnomon lab simulate lab --law nucleation
    """
    book = Notebook(folder)
    _ = book.config  # a folder without a laboratory is told first
    powders = None if crystals is None else _crystals(crystals)
    entries = run(book, law, world, attempts, powders, listener)
    shown = tuple(told(entry) for entry in entries)
    last = f"{book.config.target} was {'made' if book.succeeded else 'not made'} in {len(entries)}"
    return Output(entries, shown, (f"simulated: {last} experiments",), code=not book.succeeded)


def show(folder: Place) -> Output:
    """Show the notebook: plans, outcomes, and what they taught of pairs of phases.

    Example: gnomon lab show lab
    """
    book = Notebook(folder)
    outcomes = book.outcomes()
    lessons = [
        {
            "pair": " + ".join(sorted(pair)),
            "inert up to °C": None if lesson.inert < 0 else lesson.inert,
            "reacts from °C": None if lesson.reacts > 1e4 else lesson.reacts,
            "to": " + ".join(lesson.products),
        }
        for pair, lesson in sorted(
            book.laboratory.learned(outcomes).items(), key=lambda item: sorted(item[0])
        )
    ]
    entries = book.entries()
    shown = [{key: "-" if v is None else v for key, v in row.items()} for row in lessons]
    facts = {
        "config": book.config.model_dump(mode="json"),
        "plans": book.plans(),
        "outcomes": entries,
        "lessons": lessons,
    }
    return Output(facts, (*(told(entry) for entry in entries), "", shown))


def _unstable(solids: Solids, config: LaboratoryConfig) -> tuple[str, ...]:
    """A note where the gas leaves the target alone at none of the temperatures."""
    gained: list[tuple[float, str]] = []
    for celsius in config.temperatures:
        phases = in_gas(solids, celsius + KELVIN, config.pressures)
        own = phases.take(np.flatnonzero(phases.ids == config.target)[:1])
        hull = Hull(phases)
        above = float(hull.e_above_hull(own.composition, own.formation_energy_per_atom)[0])
        if above <= NEAR:
            return ()
        gained.append((above, " + ".join(sorted(hull.decomposition(own.composition)[0]))))
    least, products = min(gained)
    return (
        f"by its energies {config.target} falls into {products} in this gas at all of these "
        f"temperatures, gaining {1000 * least:.0f} meV/atom or more: another one (--gas) may not "
        "do that",
    )


def _doubts(entry: dict[str, Any], config: LaboratoryConfig) -> tuple[str, ...]:
    """What stays open after an outcome."""
    if not entry["phases"]:
        return ("no phase was recognized: the outcome counts, and teaches nothing",)
    share = entry["phases"].get(config.target, 0.0)
    if entry["success"] or share < config.enough:
        return ()
    why = entry["note"] if entry["doubt"] >= 1 else f"give or take {entry['doubt']:.1%}"
    return (f"not called made: {share:.0%} {config.target}, but {why}",)


def _which(
    book: Notebook, experiment: int | None, precursor: Sequence[str] | None, celsius: float | None
) -> tuple[int, Heating | None]:
    """Number of the experiment, and what was done where the plan does not say so."""
    done = {entry["number"] for entry in book.entries()}
    plans = {plan["number"]: plan for plan in book.plans()}
    if precursor:
        if celsius is None:
            raise CommandError("an experiment that was not planned needs --celsius too")
        names = [str(name) for name in reduced_formulas(compositions(precursor))]
        sets = precursor_sets(book.config.target, names, book.config.pressures)
        mixture = next((one for one in sets if {*one.precursors} == {*names}), None)
        if mixture is None:
            raise CommandError(f"{' + '.join(names)} does not give {book.config.target}")
        number = 1 + max((*done, *plans), default=0) if experiment is None else experiment
        return number, Heating(mixture, celsius, book.config.hours)
    waiting = [number for number in sorted(plans) if number not in done]
    if experiment is None and not waiting:
        raise CommandError("no experiment waits for an outcome: `gnomon lab next` plans one")
    number = waiting[0] if experiment is None else experiment
    if celsius is None or number not in plans:
        return number, None
    planned = book.heating(plans[number])
    return number, Heating(planned.mixture, celsius, planned.hours)


def _fractions(texts: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for text in texts:
        formula, _, value = text.partition("=")
        try:
            name, share = str(reduced_formulas(compositions([formula]))[0]), float(value)
        except ValueError as error:
            raise CommandError(f"--phase {text}: write it as in --phase BaTiO3=0.8") from error
        if not 0 < share < float("inf"):
            raise CommandError(f"--phase {text}: the fraction must be above 0")
        found[name] = found.get(name, 0.0) + share
    return found


def _candidates(crystals: Sequence[Path] | None, elements: Sequence[str]) -> Candidates:
    if not crystals:
        raise CommandError("a scan needs crystals that may be in it: --crystals FILE")
    found = of_system(_crystals(crystals), elements)
    if not len(found):
        raise CommandError(f"no crystal holds only {', '.join(elements)}: nothing to look for")
    return Candidates.of(found)


def _crystals(paths: Sequence[Path]) -> Crystals:
    return read_crystals([str(path) for path in paths]).crystals

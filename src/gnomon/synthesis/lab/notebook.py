"""The notebook of a laboratory: a folder in which entries are added and none is changed.

laboratory/  laboratory.json  solids.parquet  manifest.jsonl  .lock
  plans/0001.json     what to weigh in, how hot, and what was expected of it
  outcomes/0001.json  what came out, and who says so
  scans/0001.xy       the scan that says so, if one does

A plan is the first of what the outcomes before it leave open, so that after a kill the same is
planned again; the folder is the state, and nothing else is remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from gnomon.elements import parse_formula
from gnomon.hull.phases import phases_from_table
from gnomon.run.folder import Folder
from gnomon.run.listener import SILENT, Listener
from gnomon.run.writing import StoreError
from gnomon.synthesis.balance import with_gases
from gnomon.synthesis.lab.choose import Choice, Laboratory
from gnomon.synthesis.lab.crucible import AIR, fixed_elements, grams_per_atom
from gnomon.synthesis.lab.lessons import Outcome
from gnomon.synthesis.lab.sets import Heating, PrecursorSet, precursor_sets, weighed
from gnomon.synthesis.solids import Solids

ROOT, SOLIDS = "laboratory.json", "solids.parquet"

TEMPERATURES = (600.0, 700.0, 800.0, 900.0, 1000.0, 1100.0)
"""°C of experiments, unless others are asked for."""


class LaboratoryConfig(BaseModel):
    """What is to be made, of what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str = Field(description="reduced formula")
    precursors: tuple[str, ...] = Field(description="reduced formulas")
    temperatures: tuple[float, ...] = Field(default=TEMPERATURES, min_length=1, description="°C")
    pressures: dict[str, float] = Field(default=dict(AIR), description="bar, of the gases")
    hours: float = Field(default=8.0, gt=0, description="at the temperature")
    enough: float = Field(
        default=0.9, gt=0, le=1, description="weight fraction of the target that is a success"
    )
    hopeless: float = Field(
        default=0.01, ge=0, lt=1, description="chance below which nothing more is planned"
    )
    most_sets: int = Field(
        default=60, ge=1, description="mixtures of the largest driving force that are considered"
    )
    seed: int = Field(default=0, ge=0, description="of what is drawn in planning")


class Notebook:
    """One laboratory's folder."""

    def __init__(self, root: Path | str) -> None:
        """Name the folder; nothing is read yet."""
        self.folder = Folder(root)

    @classmethod
    def begin(
        cls, root: Path | str, config: LaboratoryConfig, solids: Solids, scheme: str
    ) -> Notebook:
        """Lay down what is to be made; the same again goes on with the folder that is there.

        Args:
            root: the folder.
            config: what is to be made.
            solids: that hold no other elements than the target, the precursors and the gases.
            scheme: of their energies.

        Raises:
            StoreError: if the folder holds another laboratory, or cannot be written.
            ValueError: if no set of precursors weighs the target in, or a phase is lacking.
        """
        book = cls(root)
        with book.writing():
            if book.begun:
                if book.config != config:
                    raise StoreError(
                        f"{root} holds another laboratory, for {book.config.target}: choose "
                        "another folder, or go on with `gnomon lab next`"
                    )
                return book
            sets = precursor_sets(config.target, config.precursors, config.pressures)
            if not sets:
                raise ValueError(
                    f"no set of the {len(config.precursors)} precursors gives {config.target}: "
                    "give more of them"
                )
            _laboratory(solids, config, sets)  # a phase that is lacking is told before it begins
            book.folder.write_table(SOLIDS, _table(solids, scheme))
            book.folder.write_facts(ROOT, config.model_dump(mode="json"))
        return book

    @contextmanager
    def writing(self, listener: Listener = SILENT) -> Iterator[None]:
        """Hold the folder.

        Raises:
            StoreError: if another process does, it cannot be written, or it is damaged.
        """
        with self.folder.locked(listener):
            yield

    @property
    def begun(self) -> bool:
        """Whether there is a laboratory."""
        return self.folder.has(ROOT)

    @cached_property
    def config(self) -> LaboratoryConfig:
        """What is to be made.

        Raises:
            StoreError: if nothing was begun here, or the file is damaged.
        """
        if not self.begun:
            raise StoreError(
                f"{self.folder.root} holds no laboratory: `gnomon lab begin` begins one"
            )
        return LaboratoryConfig(**self.folder.facts(ROOT))

    @cached_property
    def solids(self) -> Solids:
        """Solids of the system."""
        table = pq.read_table(pa.BufferReader(self.folder.read(SOLIDS)))
        return Solids(
            phases_from_table(table),
            table["volume_per_atom"].to_numpy().astype(np.float64),
            np.array(table["estimated"].to_pylist(), bool),
            float(table["carbonate"][0].as_py()),
        )

    @cached_property
    def laboratory(self) -> Laboratory:
        """What can be tried."""
        config = self.config
        sets = precursor_sets(config.target, config.precursors, config.pressures)
        return _laboratory(self.solids, config, sets)

    # --- entries ----------------------------------------------------------------------------------

    def plans(self) -> list[dict[str, Any]]:
        """All plans, in order."""
        return [self.folder.facts(name) for name in self.folder.names("plans/*.json")]

    def entries(self) -> list[dict[str, Any]]:
        """All outcomes, in order; of one that was corrected the last."""
        found: dict[int, dict[str, Any]] = {}
        for name in self.folder.names("outcomes/*.json"):
            facts = self.folder.facts(name)
            found[facts["number"]] = facts
        return [found[number] for number in sorted(found)]

    def outcomes(self) -> list[Outcome]:
        """The same for what learns."""
        return [Outcome(self.heating(e), e["phases"], e["source"]) for e in self.entries()]

    @property
    def succeeded(self) -> bool:
        """Whether an outcome was a success."""
        return any(one["success"] for one in self.entries())

    def next(self) -> dict[str, Any] | None:
        """The plan that has no outcome yet, or a new one; None where nothing is worth trying.

        Raises:
            StoreError: if the folder cannot be written.
        """
        done = {one["number"] for one in self.entries()}
        if waiting := [plan for plan in self.plans() if plan["number"] not in done]:
            return waiting[0]
        if self.succeeded:
            return None
        ranked = self.laboratory.ranked(self.outcomes(), self.config.seed)
        if not ranked or ranked[0].chance < self.config.hopeless:
            return None
        number = 1 + max((*done, *(plan["number"] for plan in self.plans())), default=0)
        plan = self._told(number, ranked[0])
        self.folder.write_facts(f"plans/{number:04d}.json", plan)
        return plan

    def record(  # noqa: PLR0913  (what came out, of what, and who says so)
        self,
        number: int,
        phases: Mapping[str, float],
        source: str,
        *,
        experiment: Heating | None = None,
        note: str = "",
        scan: tuple[str, bytes] | None = None,
        doubt: float = 0.0,
        correct: bool = False,
    ) -> dict[str, Any]:
        """Add what came out of an experiment.

        Args:
            number: of the plan, or of an experiment that was not planned.
            phases: weight fractions by formula; their sum does not matter.
            source: who says so.
            experiment: what was done, where it is not what the plan says.
            note: what else there is to say.
            scan: suffix and bytes of the file that says so.
            doubt: weight fraction by which the target may be less than it was found to be; a
                success is one in spite of it.
            correct: take the place of an outcome that is there, which stays in the folder.

        Raises:
            StoreError: if the folder cannot be written.
            ValueError: if there is no such plan, or an outcome already.
        """
        planned = {plan["number"]: plan["experiment"] for plan in self.plans()}
        before = self.folder.names(f"outcomes/{number:04d}*.json")
        if experiment is None and number not in planned:
            raise ValueError(f"there is no plan {number}: `gnomon lab next` makes plans")
        if before and not correct:
            raise ValueError(
                f"experiment {number} has an outcome, which is never changed: --correct adds "
                "another one that counts instead"
            )
        total = sum(phases.values()) or 1.0
        shares = {n: f / total for n, f in sorted(phases.items(), key=lambda i: (-i[1], i[0]))}
        done = planned.get(number) if experiment is None else _experiment(experiment)
        entry = {
            "number": number,
            "experiment": done,
            "phases": shares,
            "success": shares.get(self.config.target, 0.0) - doubt >= self.config.enough,
            "doubt": doubt,
            "source": source,
            "note": note,
        }
        name = f"{number:04d}" + (f"_{len(before) + 1}" if before else "")  # sorts after
        if scan is not None:
            self.folder.write(f"scans/{name}{scan[0]}", scan[1])
        self.folder.write_facts(f"outcomes/{name}.json", entry)
        return entry

    @staticmethod
    def heating(entry: Mapping[str, Any]) -> Heating:
        """The experiment of a plan or an outcome."""
        facts = entry["experiment"]
        mixture = PrecursorSet(tuple(facts["precursors"]), tuple(facts["amounts"]))
        return Heating(mixture, float(facts["celsius"]), float(facts["hours"]))

    def _told(self, number: int, choice: Choice) -> dict[str, Any]:
        heating = choice.heating
        found = with_gases(heating.mixture.precursors, self.config.target)
        return {
            "number": number,
            "experiment": _experiment(heating),
            "grams": grams(heating.mixture, self.config.target, self.config.pressures),
            "reaction": None if found is None else str(found),
            "chance": round(choice.chance, 4),
            "expected": round(choice.expected, 4),
            "driving_force": round(choice.driving_force, 4),
        }


def grams(mixture: PrecursorSet, target: str, pressures: Mapping[str, float]) -> dict[str, float]:
    """Grams of each precursor for one gram of the target.

    >>> mixture = precursor_sets("BaTiO3", ["BaCO3", "TiO2"], {"O2": 0.2, "CO2": 4e-4})[0]
    >>> {n: round(g, 3) for n, g in grams(mixture, "BaTiO3", {"O2": 0.2, "CO2": 4e-4}).items()}
    {'BaCO3': 0.846, 'TiO2': 0.342}
    """
    atoms = weighed(mixture, pressures)
    fixed = fixed_elements(pressures)
    made = grams_per_atom(target, fixed)
    return {n: round(a * grams_per_atom(n, fixed) / made, 5) for n, a in atoms.items()}


def _laboratory(
    solids: Solids, config: LaboratoryConfig, sets: Sequence[PrecursorSet]
) -> Laboratory:
    """The laboratory with the sets that gain most, where there are too many."""
    whole = Laboratory(
        solids,
        config.target,
        sets,
        config.temperatures,
        config.pressures,
        hours=config.hours,
        enough=config.enough,
    )
    if len(sets) <= config.most_sets:
        return whole
    hottest = max(config.temperatures)
    return whole.of(sorted(sets, key=lambda s: whole.driving_force(s, hottest))[: config.most_sets])


def _table(solids: Solids, scheme: str) -> pa.Table:
    return pa.table(
        {
            "reduced_formula": [str(name) for name in solids.phases.reduced_formulas],
            "formation_energy_per_atom": solids.phases.formation_energy_per_atom,
            "volume_per_atom": solids.volume_per_atom,
            "estimated": solids.estimated,
            "carbonate": [solids.carbonate] * len(solids),
            "scheme": [scheme] * len(solids),
        }
    )


def _experiment(heating: Heating) -> dict[str, Any]:
    return {
        "precursors": list(heating.mixture.precursors),
        "amounts": list(heating.mixture.amounts),
        "celsius": heating.celsius,
        "hours": heating.hours,
    }


def elements_of(formulas: Sequence[str], pressures: Mapping[str, float]) -> tuple[str, ...]:
    """Elements of some formulas and of the gases, sorted."""
    return tuple(sorted({s for f in (*formulas, *pressures) for s in parse_formula(f)}))

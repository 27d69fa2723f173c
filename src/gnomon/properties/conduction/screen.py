"""Which crystals may be solid electrolytes: cheap questions first, each exclusion with its reason.

After Sendek et al., Energy Environ. Sci. 10, 306 (2017), and Merchant et al., Nature 624, 80
(2023): on the hull, an insulator, no transition metal, stable against the metal of its ion, and not
oxidised below a voltage.  The potentials of the ion between which a phase is stable in contact with
a reservoir of it are its electrochemical window (Ong et al., Chem. Mater. 20, 1798 (2008); Zhu, He
and Mo, ACS Appl. Mater. Interfaces 7, 23685 (2015)); at the upper end of them is the metal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.hull.convex import Hull
from gnomon.hull.limits import chemical_potential_limits
from gnomon.hull.phases import ON_HULL
from gnomon.hull.reservoirs import metal_potential
from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answered
from gnomon.properties.conduction.ions import CHARGES, mobile
from gnomon.properties.registry import PROPERTIES, PropertySettings

TRANSITION = frozenset((*range(21, 31), *range(39, 49), 57, *range(72, 81), 89))
"""Atomic numbers of transition metals, as pymatgen counts them."""

SAME = 1e-6
"""V; potentials that differ by less are one."""

SCHEMA = value_schema(
    "oxidation limit against the metal of the ion",
    "V",
    column("reduced_formula", pa.string(), "of the crystal"),
    column("ion", pa.string(), "that is looked at"),
    column("e_above_hull", pa.float64(), "on the hull of the phases given", unit="eV/atom"),
    column("reduction_limit", pa.float64(), "0 where stable against the metal", unit="V"),
    column("band_gap", pa.float64(), "as given, or predicted", unit="eV"),
    column("gap_from", pa.string(), "who says so"),
    column("barrier", pa.float64(), "of the ion, by bond valences", unit="eV"),
    column("remark", pa.string(), "what is not known of it"),
)


class ScreenConfig(BaseModel):
    """Where the screen cuts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ion: Literal["Li", "Na", "K", "Mg", "Ca"] = Field(
        default="Li", description="that is to conduct"
    )
    min_gap: float = Field(default=1.0, ge=0, description="band gap, eV")
    gap: str = Field(
        default="band_gap",
        description="property that predicts gaps where the file has no column band_gap; none: "
        "unknown",
    )
    transition_metals: bool = Field(default=False, description="let them pass")
    reduced: bool = Field(default=False, description="let pass what the metal reduces")
    min_oxidation: float = Field(default=4.0, description="oxidation limit, V against the metal")
    max_barrier: float | None = Field(
        default=None, gt=0, description="of the ion by bond valences, eV; all pass by default"
    )


@dataclass(frozen=True)
class Screened:
    """What became of the crystals.

    Attributes:
        table: a row each (``SCHEMA``); status ``ok``, or why it is out.
        stages: question, how many came to it, how many went on, in order.
        unknown: remark to how many of those that went through have it.
    """

    table: pa.Table
    stages: tuple[tuple[str, int, int], ...]
    unknown: Mapping[str, int]


def screen(
    crystals: Crystals,
    energies: Float64[np.ndarray, " n"],
    hull: Hull,
    config: ScreenConfig,
    settings: PropertySettings,
    *,
    gaps: Float64[np.ndarray, " n"] | None = None,
) -> Screened:
    """Let crystals through the questions, the cheap ones first.

    Args:
        crystals: n.
        energies: their formation energies in the scheme of the hull, eV/atom.
        hull: of all competing phases, these crystals among them.
        config: where it cuts.
        settings: of the properties that answer for gaps and barriers.
        gaps: band gaps, eV; NaN where unknown.

    Raises:
        MissingElementError: if the hull lacks the metal of the ion.
    """
    rows: list[dict[str, Any]] = [
        {"status": OK, "reduced_formula": name} for name in crystals.reduced_formulas.tolist()
    ]
    work = _Screen(crystals, energies, hull, config, settings, rows)
    stages = []
    for question, ask in work.questions(gaps):
        left = [i for i, row in enumerate(rows) if row["status"] == OK]
        if left:
            for i, why in zip(left, ask(left), strict=True):
                rows[i]["status"] = why or OK
        went = sum(rows[i]["status"] == OK for i in left)
        stages.append((question, len(left), went))
    table = answered(SCHEMA, crystals.ids, hull.phases.scheme, rows)
    remarks = Counter(row["remark"] for row in rows if row["status"] == OK and row.get("remark"))
    return Screened(table, tuple(stages), dict(remarks))


@dataclass(frozen=True)
class _Screen:
    """The questions; each takes rows, writes what it finds, and says why one is out, or nothing."""

    crystals: Crystals
    energies: Float64[np.ndarray, " n"]
    hull: Hull
    config: ScreenConfig
    settings: PropertySettings
    rows: list[dict[str, Any]]

    def questions(self, gaps: Float64[np.ndarray, " n"] | None) -> list[tuple[str, Any]]:
        """In the order in which they are asked."""
        config, ion = self.config, self.config.ion
        found: list[tuple[str, Any]] = [(f"holds {ion} and no metals alone", self._ion)]
        found.append(("on the hull", self._above))
        if not config.transition_metals:
            found.append(("no transition metal", self._transition))
        window = f"not oxidised below {config.min_oxidation:g} V"
        stable = "" if config.reduced else f"stable against {ion}, "
        found.append((f"{stable}{window}", self._window))
        found.append(
            (f"band gap at least {config.min_gap:g} eV", lambda left: self._gap(left, gaps))
        )
        low = "" if config.max_barrier is None else f" at most {config.max_barrier:g} eV"
        found.append((f"barrier by bond valences{low}", self._barrier))
        return found

    def _ion(self, left: list[int]) -> list[str]:
        found = [mobile(self.crystals[i], self.config.ion) for i in left]
        for i, (ion, _) in zip(left, found, strict=True):
            self.rows[i]["ion"] = ion or None
        return [why for _, why in found]

    def _above(self, left: list[int]) -> list[str]:
        composition = self.crystals.composition[left]
        above = self.hull.e_above_hull(composition, self.energies[left])
        for i, value in zip(left, above.tolist(), strict=True):
            self.rows[i]["e_above_hull"] = value
        return ["" if value <= ON_HULL else "above the hull" for value in above]

    def _transition(self, left: list[int]) -> list[str]:
        composition = self.crystals.composition[left]
        held = np.asarray(composition[:, sorted(TRANSITION)].any(axis=1))
        return ["a transition metal" if one else "" for one in held.tolist()]

    def _window(self, left: list[int]) -> list[str]:
        ion = self.config.ion
        metal, charge = metal_potential(self.hull, ion)[ion], CHARGES[ion]
        said = []
        for i in left:
            row = self.rows[i]
            low, high = chemical_potential_limits(self.hull, row["reduced_formula"], [ion])[ion]
            row["reduction_limit"] = max((metal - high) / charge, 0.0)
            row["value"] = (metal - low) / charge
            if row["reduction_limit"] > SAME and not self.config.reduced:
                said.append(f"reduced by {ion}")
            elif row["value"] < self.config.min_oxidation:
                said.append(f"oxidised below {self.config.min_oxidation:g} V")
            else:
                said.append("")
        return said

    def _gap(self, left: list[int], gaps: Float64[np.ndarray, " n"] | None) -> list[str]:
        found, source = gaps, "column band_gap"
        if found is None and self.config.gap != "none":
            made = PROPERTIES.get(self.config.gap)(self.settings)
            table = made.compute(self.crystals.take(left), {})
            found = np.full(len(self.crystals), np.nan)
            found[left] = np.array(table["value"].to_pylist(), dtype=np.float64)
            source = table["level"][0].as_py()
        said = []
        for i in left:
            gap = float("nan") if found is None else float(found[i])
            if np.isfinite(gap):
                self.rows[i] |= {"band_gap": gap, "gap_from": source}
            else:
                self._remark(i, "gap unknown")
            said.append("gap too small" if gap < self.config.min_gap else "")
        return said

    def _barrier(self, left: list[int]) -> list[str]:
        options = {"bond_valence": {"ion": self.config.ion}}
        try:
            made = PROPERTIES.get("bond_valence")(PropertySettings(options=options))
        except ValueError:  # bvlain is not installed
            for i in left:
                self._remark(i, "no bond valences")
            return [""] * len(left)
        said = []
        for done, i in enumerate(left):
            self.settings.listener.tick("bond valences", done, len(left))
            (row,) = made.compute(self.crystals[i], {}).to_pylist()
            if row["value"] is None:
                self._remark(i, "no bond valences")
            self.rows[i]["barrier"] = row["value"]
            most = self.config.max_barrier
            high = most is not None and (row["value"] or 0) > most
            said.append("barrier too high" if high else "")
        return said

    def _remark(self, i: int, text: str) -> None:
        before = self.rows[i].get("remark")
        self.rows[i]["remark"] = f"{before}, {text}" if before else text

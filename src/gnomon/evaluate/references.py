"""Energies of the elements that fit compounds best, beside those of the measured ground states.

A potential errs on elements as it errs on compounds, and every formation energy with an element
hangs on that one crystal.  So the energies of the elements may be fitted: by least squares, to make
the potential's energies of many compounds come out at the formation energies of a database,

    min over mu of  sum_k (E_k - sum_i x_ki mu_i - E_f,k)^2,

with atom fractions x, as Matbench-Discovery does (Riebesell et al., Nat. Mach. Intell. 7, 836
(2025)).  The fits are those of ``benchmarks/references.py``, one for each energy scheme.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict

FILE = "references.json"

MEASURED, FITTED = "measured", "fitted"
"""Which references a campaign takes: the elements' own crystals, or what fits compounds."""


OFF = 0.05
"""eV/atom: shifts of elements that are said wherever a level is described."""


class Reference(BaseModel):
    """One element, eV/atom.

    Attributes:
        measured: of its measured ground state, relaxed by the level; None where it has none.
        fitted: to compounds.
        error: standard error of the fit.
        compounds: that hold the element, among those of the fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured: float | None
    fitted: float
    error: float
    compounds: int

    @property
    def shift(self) -> float | None:
        """Fitted less measured; above 0, compounds want a higher element than the crystal is."""
        return None if self.measured is None else self.fitted - self.measured


class References(BaseModel):
    """The elements of one energy scheme.

    Attributes:
        scheme: checkpoint and corrections.
        rows: compounds of the fit.
        source: the data, and the command that makes it again.
        elements: by symbol.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: str
    rows: int
    source: str
    elements: dict[str, Reference]

    def worst(self, least: float = 0.0) -> list[tuple[str, float]]:
        """Elements and their shifts (eV/atom), the largest first, of at least this size."""
        shifts = {s: r.shift for s, r in self.elements.items() if r.shift is not None}
        found = [(s, shift) for s, shift in shifts.items() if abs(shift) >= least]
        return sorted(found, key=lambda item: -abs(item[1]))


def references(scheme: str) -> References | None:
    """The fit for this energy scheme; None where there is none."""
    return _references().get(scheme)


def fitted(scheme: str, system: Collection[str]) -> dict[str, float]:
    """Fitted energies (eV/atom) of the elements of a system, by symbol.

    Raises:
        ValueError: if the scheme or an element was not fitted.
    """
    found = references(scheme)
    known = {} if found is None else found.elements
    if missing := [symbol for symbol in system if symbol not in known]:
        there = ", ".join(_references()) or "none"
        what = (
            f"of {', '.join(missing)} by {scheme}" if found else f"by {scheme} (there are {there})"
        )
        raise ValueError(
            f"no fitted references {what}: take the measured ones (--references measured), or fit "
            "them with benchmarks/references.py"
        )
    return {symbol: known[symbol].fitted for symbol in system}


@cache
def _references() -> dict[str, References]:
    text = (resources.files("gnomon.evaluate") / "data" / FILE).read_text(encoding="utf-8")
    return {row["scheme"]: References.model_validate(row) for row in json.loads(text)}

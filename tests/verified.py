"""Verification of small campaigns by an evaluator of composition alone."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.evaluate import Evaluations
from gnomon.run.listener import SILENT
from gnomon.run.store import Store
from gnomon.verify.plan import Plan
from gnomon.verify.run import evaluate_plan
from gnomon.verify.verdicts import assess
from tests.calculators import evaluated

ROUND_OFF = 1e-9
"""eV/atom: what sums of energies of order 10 eV may differ by."""


class Mixing:
    """Energies of the composition alone: elements have their own, mixing gains up to 0.1 eV/atom.

    Compounds of ``failing`` formulas do not converge; ``bonus`` is added to those of a formula.
    """

    def __init__(
        self,
        scheme: str = "mixing",
        elements: dict[int, float] | None = None,
        failing: tuple[str, ...] = (),
        bonus: dict[str, float] | None = None,
        before_chunk: Callable[[], None] = lambda: None,
    ) -> None:
        self.scheme, self.failing, self.before_chunk = scheme, failing, before_chunk
        self.elements, self.bonus = elements or {}, bonus or {}
        self.asked: list[str] = []

    def evaluate(self, crystals: Crystals) -> Iterator[Evaluations]:
        for start in range(0, len(crystals), 2):
            self.before_chunk()
            yield self._results(crystals[start : start + 2])

    def _results(self, part: Crystals) -> Evaluations:
        self.asked += part.ids.tolist()
        share = part.composition / part.n_atoms[:, None]
        offsets = np.zeros(119)
        offsets[list(self.elements)] = list(self.elements.values())
        energy: Float64[np.ndarray, " n"] = share @ offsets - 0.2 * (1 - np.sum(share**2, axis=1))
        energy += [self.bonus.get(formula, 0.0) for formula in part.reduced_formulas]
        failed = np.isin(part.reduced_formulas.astype(str), self.failing)
        status = np.where(failed, "not_converged", "converged")
        message = np.where(failed, "the SCF did not converge", "")
        return evaluated(part, self.scheme, energy, status, message, steps=1)


def run(chosen: Plan, folder: Path, evaluator: Mixing, **options: Any) -> Any:
    rows = evaluate_plan(chosen, evaluator, Store(folder), folder / "references", SILENT, **options)
    return assess(chosen, rows, evaluator.scheme)

"""What was measured of levels of evaluation: how far their distances from the hull are off.

Figures are those of ``benchmarks/wbm.py``: crystals made by substitution (WBM), energies with the
Materials Project's corrections, elements fitted, on the hull of DFT.  A level that was not measured
has none: nothing is guessed from another one.
"""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict

FILE = "measured.json"


class LevelError(BaseModel):
    """The measured error of one level, eV/atom.

    Attributes:
        scheme: energy scheme of the level, checkpoint and corrections included.
        rows: crystals that were judged.
        stable: of them, on the hull by DFT.
        f1: of the verdicts stable or not.
        mean_absolute_error: of the distance to the hull.
        bias: mean of the distance by the level less that by DFT; below 0 it calls too much stable.
        source: the data, and the command that measures it again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: str
    rows: int
    stable: int
    f1: float
    mean_absolute_error: float
    bias: float
    source: str

    def probability_stable(self, distance: float) -> float:
        """Probability that a phase at this distance from the hull is stable by DFT.

        Errors are taken to be logistic about the measured bias b, and their mean distance from it
        to be the measured mean absolute error a,

            P = 1 / (1 + exp((d - b) / s)),    s = a / (2 ln 2),

        and nothing is fitted to verdicts (docs/concepts/verdicts.md has the reliability curve).

        >>> error = LevelError(scheme="x", rows=9, stable=3, f1=0.8, mean_absolute_error=0.04,
        ...     bias=-0.01, source="by hand")
        >>> [round(error.probability_stable(d), 2) for d in (-0.1, -0.01, 0.05)]
        [0.96, 0.5, 0.11]

        Args:
            distance: eV/atom, signed: to the hull of all other phases, negative below it.
        """
        scale = self.mean_absolute_error / (2 * math.log(2))
        return 0.5 * (1.0 - math.tanh((distance - self.bias) / (2 * scale)))


def measured(scheme: str) -> LevelError | None:
    """What was measured of the level with this energy scheme; None where nothing was."""
    return _measured().get(scheme)


@cache
def _measured() -> dict[str, LevelError]:
    text = (resources.files("gnomon.evaluate") / "data" / FILE).read_text(encoding="utf-8")
    return {row["scheme"]: LevelError.model_validate(row) for row in json.loads(text)}

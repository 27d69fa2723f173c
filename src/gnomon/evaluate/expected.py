"""What a potential expects of crystals that are not relaxed: an energy model for ranking them.

    E_f = min over s of E(s) / N + correction - sum_i x_i mu_i,

E(s) being the potential's energy of the crystal with its volume times s, of which candidates know
little, and mu the energies of the elements that fit compounds (``gnomon.evaluate.references``).
Forces are not computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z, SYMBOLS
from gnomon.evaluate import Evaluator
from gnomon.evaluate.batched import BatchedEvaluator
from gnomon.evaluate.corrections import SCHEME_SUFFIX, Corrected, learned_corrections
from gnomon.evaluate.references import references
from gnomon.io import as_crystals
from gnomon.models import Predictions
from gnomon.models.target import lacking
from gnomon.potential.predict import LoadedPotential

VOLUMES = (0.88, 0.94, 1.0, 1.06, 1.12)
"""Factors on the volume that are tried."""


class PotentialModel:
    """Formation energies by a potential, of crystals as they come; an ``EnergyModel``."""

    def __init__(self, potential: LoadedPotential, volumes: tuple[float, ...] = VOLUMES) -> None:
        """A potential whose references are fitted.

        Raises:
            ValueError: if they are not.
        """
        self.potential, self.volumes = potential, volumes
        found = references(self.scheme)
        if found is None:
            raise ValueError(f"no energies of the elements are fitted for {self.scheme}")
        self._of_element = np.full(MAX_Z + 1, np.nan)
        for symbol, reference in found.elements.items():
            self._of_element[SYMBOLS.index(symbol)] = reference.fitted

    @property
    def scheme(self) -> str:
        """That of the weights, with corrections."""
        return self.potential.scheme + SCHEME_SUFFIX

    def predict(self, crystals: Any) -> Predictions:
        """Lowest formation energies over the volumes, of one member, eV/atom.

        Args:
            crystals: whatever ``gnomon.io.as_crystals`` takes.
        """
        crystals = as_crystals(crystals)
        known = np.isfinite(self._of_element)
        known &= np.isin(np.arange(MAX_Z + 1), list(self.potential.elements))
        reasons = lacking(crystals.composition > 0, known, "no reference or not known")
        rows = np.flatnonzero(reasons == "")
        energies = np.full((1, len(crystals)), np.nan)
        if len(rows):
            part = crystals.take(rows)
            elements = part.fractions @ np.where(known, self._of_element, 0.0)
            lowest = _lowest(self.potential, part, self.volumes)
            energies[0, rows] = lowest + learned_corrections(part).per_atom - elements
        return Predictions(energies, reasons)


def estimated(evaluator: Evaluator, crystals: Crystals) -> Float64[np.ndarray, " n"] | None:
    """Energies that an evaluator would begin at, at the best volumes, eV/atom of its scheme.

    NaN where it knows no such element; None unless it is a potential that is quick to ask.

    Args:
        evaluator: of a campaign.
        crystals: n candidates, as proposed.
    """
    if isinstance(evaluator, Corrected):
        found = estimated(evaluator.evaluator, crystals)
        return None if found is None else found + learned_corrections(crystals).per_atom
    if not isinstance(evaluator, BatchedEvaluator):
        return None
    energies = np.full(len(crystals), np.nan)
    known = evaluator.potential.knows(crystals)
    energies[known] = _lowest(evaluator.potential, crystals[known], VOLUMES)
    return energies


def _lowest(
    potential: LoadedPotential, crystals: Crystals, volumes: tuple[float, ...]
) -> Float64[np.ndarray, " n"]:
    """The lowest energy over factors on the volume, eV/atom."""
    found = [potential.energies(crystals.scale_volume(factor)) for factor in volumes]
    return np.asarray(np.min(found, axis=0) / crystals.n_atoms, np.float64)

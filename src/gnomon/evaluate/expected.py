"""What a potential expects of crystals that are not relaxed: an energy model for ranking them.

    E_f = min over s of E(s) / N + correction - sum_i x_i mu_i,

E(s) being the potential's energy of the crystal with its volume times s, of which candidates know
little, and mu the energies of the elements that fit compounds (``gnomon.evaluate.references``).
Forces are not computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnomon.elements import MAX_Z, SYMBOLS
from gnomon.evaluate.corrections import SCHEME_SUFFIX, mp2020_correction_per_atom
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
            found = [self.potential.energies(part.scale_volume(factor)) for factor in self.volumes]
            elements = part.fractions @ np.where(known, self._of_element, 0.0)
            lowest = np.min(found, axis=0) / part.n_atoms
            energies[0, rows] = lowest + mp2020_correction_per_atom(part) - elements
        return Predictions(energies, reasons)

"""Ranking before a campaign has labels of its own: what networks trained on other data expect.

Their energies are of another scheme than the campaign's, so they never meet: each network measures
all candidates against the hull of its own predictions, the elements at zero, and only the order
that comes of it is used.  The composition network says which formulas are promising, the structural
one also which structures; the mean of their energies above the hull counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, missing_elements
from gnomon.models import EnergyModel
from gnomon.models.bundled import BUNDLED


def bundled_models() -> list[EnergyModel]:
    """The networks in the package."""
    # JAX: seconds to import
    from gnomon.models.ensemble import load_model

    return [load_model(name) for name in BUNDLED]


def expected_e_above_hull(
    models: Sequence[EnergyModel], crystals: Crystals
) -> Float64[np.ndarray, " n"]:
    """Mean over models of the energy above the hull of the model's own predictions, eV/atom.

    NaN for a crystal that a model cannot predict.
    """
    return np.mean([_above_own_hull(model, crystals) for model in models], axis=0)


def _above_own_hull(model: EnergyModel, crystals: Crystals) -> Float64[np.ndarray, " n"]:
    energies = model.predict(crystals).median
    sure = np.flatnonzero(np.isfinite(energies))
    above = np.full(len(crystals), np.nan)
    if len(sure):
        composition = crystals.composition[sure]
        own = Phases(crystals.ids[sure], composition, energies[sure], model.scheme)
        elements = missing_elements(own.take([]), composition)  # whatever the network says of them
        hull = Hull(Phases.concatenate([own, elements]))
        above[sure] = hull.e_above_hull(composition, energies[sure])
    return above

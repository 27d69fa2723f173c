"""Formation energies from formulas alone: an ensemble of Roost networks.

``load_composition_model(path).predict(["LiFePO4", "Fe2O3"])`` asks a trained one.
"""

from gnomon.models.composition.model import (
    CompositionModel,
    CompositionPredictions,
    load_composition_model,
)

__all__ = ["CompositionModel", "CompositionPredictions", "load_composition_model"]

"""The table by which ions are replaced, as a heat map over the modified Pettifor scale."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from gnomon.elements import MODIFIED_PETTIFOR, SYMBOLS
from gnomon.explore.map_page import packed
from gnomon.explore.pettifor import SOURCE
from gnomon.generate.substitution.tables import learned_model

LIMIT = 8.0
"""Of lambda, beyond which colours do not change."""


@cache
def substitutions_page() -> dict[str, Any]:
    """Weights and probabilities of the table in the package (Hautier et al. 2011, eq. 3)."""
    model = learned_model("gnome")
    place = {symbol: i for i, symbol in enumerate(MODIFIED_PETTIFOR)}
    symbols = [SYMBOLS[z] for z in model.atomic_numbers.tolist()]
    keys = [(place.get(s, len(place)), int(c)) for s, c in zip(symbols, model.charges, strict=True)]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__))
    return {
        "ions": [model.species[i] for i in order],
        "elements": [symbols[i] for i in order],
        "weights": packed(model.weights[np.ix_(order, order)].astype(np.float32)),
        "probabilities": packed(model.probabilities[np.ix_(order, order)].astype(np.float32)),
        "unseen": float(model.weights.min()),
        "limit": LIMIT,
        "scale": SOURCE,
        "source": "Hautier et al., Inorg. Chem. 50, 656 (2011), doi:10.1021/ic102031h",
    }

"""How far off the moduli of a level are, where that was measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

MEASURED: Mapping[str, tuple[float, float]] = {
    "nequix-oam-1-pft (sha256 4ce693d68886)": (0.034, 0.063),
    "gnomon-2 (sha256 3d1059e43636)": (0.081, 0.166),
}
"""Mean absolute errors of log10 K and log10 G by the first words of an energy scheme: 60 binary
crystals of the Materials Project against PBE, of those that have moduli
(``benchmarks/elastic.py``)."""


def uncertainties(scheme: str, bulk: float, shear: float) -> dict[str, float]:
    """Of K and G in GPa, by name of column; none of a level that was not measured.

    >>> found = uncertainties("nequix-oam-1-pft (sha256 4ce693d68886), GPa", 100.0, 50.0)
    >>> {name: round(value, 1) for name, value in found.items()}
    {'uncertainty': 7.8, 'shear_uncertainty': 7.3}
    """
    errors = next((e for name, e in MEASURED.items() if scheme.startswith(name)), None)
    if errors is None:
        return {}
    names = ("uncertainty", "shear_uncertainty")
    values = (float(m * np.log(10) * e) for m, e in zip((bulk, shear), errors, strict=True))
    return dict(zip(names, values, strict=True))

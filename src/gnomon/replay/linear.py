"""Bayesian linear regression on compositions: the cheapest model, and the offset between schemes.

For targets y = Phi w + noise with w ~ N(0, diag(prior^2)) and noise of standard deviation s, the
posterior of w has precision A = Phi' Phi / s^2 + diag(1 / prior^2) and mean A^-1 Phi' y / s^2
(Bishop, Pattern Recognition and Machine Learning (2006), eqs. 3.53 and 3.54).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.elements import SYMBOLS, electronegativities, element
from gnomon.hull.phases import atom_fractions

ANIONS = ("H", "N", "O", "F", "Si", "S", "Cl", "Se", "Br", "Sb", "Te", "I")
"""Elements whose compounds MP2020 corrects (Wang et al., Sci. Rep. 11, 15496 (2021), table 1)."""

CORRECTED_METALS = ("V", "Cr", "Mn", "Fe", "Co", "Ni", "Mo", "W")
"""Corrected with +U in oxides and fluorides (ibid.)."""

OFFSET_NAMES = ("constant", *ANIONS, *(f"{m} in O or F" for m in CORRECTED_METALS))
"""Columns of ``offset_features``."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Posterior of the weights: their mean and covariance, and the noise that was assumed."""

    mean: Float64[np.ndarray, " f"]
    covariance: Float64[np.ndarray, "f f"]

    def predict(self, features: Float64[np.ndarray, "n f"]) -> Float64[np.ndarray, " n"]:
        """Expected targets."""
        return features @ self.mean

    def spread(self, features: Float64[np.ndarray, "n f"]) -> Float64[np.ndarray, " n"]:
        """Standard deviation of the expected targets, without the noise."""
        variance = np.einsum("nf,fg,ng->n", features, self.covariance, features, optimize=True)
        return np.sqrt(np.maximum(variance, 0.0))


def fit(
    features: Float64[np.ndarray, "n f"],
    targets: Float64[np.ndarray, " n"],
    prior: Float64[np.ndarray, " f"],
    noise: float,
    weights: Float64[np.ndarray, " n"] | None = None,
) -> Linear:
    """The posterior for rows that each count ``weights`` times (once if None)."""
    counted = features if weights is None else features * weights[:, None]
    precision = counted.T @ features / noise**2 + np.diag(prior**-2.0)
    covariance = np.linalg.inv(precision)
    return Linear(covariance @ (counted.T @ targets) / noise**2, covariance)


def offset_features(composition: Int64[np.ndarray, "n 119"]) -> Float64[np.ndarray, "n k"]:
    """A constant, the atom fraction of the anion, and of +U metals beside O or F.

    As in MP2020 an element counts as the anion only where it is the most electronegative one.
    """
    fractions = atom_fractions(composition.astype(np.float64))
    chi = np.nan_to_num(electronegativities())
    anion = np.argmax(np.where(fractions > 0, chi, -1.0), axis=1)
    anions, metals = (list(map(SYMBOLS.index, group)) for group in (ANIONS, CORRECTED_METALS))
    with_u = np.isin(anion, [SYMBOLS.index("O"), SYMBOLS.index("F")])
    columns = (
        np.ones((len(fractions), 1)),
        np.where(anion[:, None] == anions, fractions[:, anions], 0.0),
        np.where(with_u[:, None], fractions[:, metals], 0.0),
    )
    return np.concatenate(columns, axis=1)


def composition_features(composition: Int64[np.ndarray, "n 119"]) -> Float64[np.ndarray, "n f"]:
    """Element fractions, products of the fractions of two groups, spread of electronegativity."""
    fractions = atom_fractions(composition.astype(np.float64))
    groups = fractions @ _groups()
    first, second = np.triu_indices(groups.shape[1])
    chi = np.nan_to_num(electronegativities())
    mean = fractions @ chi
    spread = np.sqrt(np.maximum(fractions @ chi**2 - mean**2, 0.0))
    chemistry = np.stack([np.ones(len(mean)), mean, spread, spread**2], axis=1)
    return np.concatenate([fractions, groups[:, first] * groups[:, second], chemistry], axis=1)


@cache
def _groups() -> Float64[np.ndarray, "119 19"]:
    """One-hot group of the periodic table, lanthanoids and actinoids apart from group 3."""
    table = np.zeros((len(SYMBOLS), 19))
    for z in range(1, len(SYMBOLS)):
        f_block = element(z).is_lanthanoid or element(z).is_actinoid
        table[z, 18 if f_block else int(element(z).group) - 1] = 1.0
    return table

"""The Bayesian optimiser that strategies of a laboratory are held against."""

import warnings

import numpy as np
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel


def expected_improvement(x: np.ndarray, y: np.ndarray, known: list[int]) -> np.ndarray:
    """Of each row of x over the best of the known y, by a Gaussian process on these."""
    kernel = ConstantKernel(0.1) * Matern(2.0, nu=2.5) + WhiteKernel(1e-3)
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process.fit(x[known], y[known])
    mean, spread = process.predict(x, return_std=True)
    z = (mean - y[known].max()) / np.maximum(spread, 1e-9)
    return np.asarray(spread * (z * norm.cdf(z) + norm.pdf(z)))

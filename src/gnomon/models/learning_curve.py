"""Learning curves: the error on the same held-out formulas, trained on ever more of the others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from gnomon.learn.split import formula_hashes
from gnomon.models.card import Labelled
from gnomon.models.ensemble import train_into
from gnomon.models.structural.train import TrainConfig, train
from gnomon.run.listener import SILENT, Listener

MOST_EPOCHS = 4
"""Times the epochs of the whole: smaller sets are seen so much more often, at most.

With equal epochs small sets are trained too little, and the slope looks better than it is."""


@dataclass(frozen=True)
class Point:
    """One size: rows that trained, and the error on the validation rows, eV/atom."""

    rows: int
    formulas_below: int
    epochs: int
    mae: float
    mae_of_members: float
    wall_seconds: float


@dataclass(frozen=True)
class PowerLaw:
    """MAE = scale x (rows / 1000)^-exponent, eV/atom, by least squares in logarithms.

    ``deviation`` is the standard error of the exponent; None for two points.
    """

    scale: float
    exponent: float
    deviation: float | None

    def error(self, rows: float) -> float:
        """Expected of so many rows, eV/atom."""
        return float(self.scale * (rows / 1000) ** -self.exponent)

    def rows(self, error: float) -> float:
        """Rows at which this error (eV/atom) is expected."""
        return float(1000 * (self.scale / error) ** (1 / self.exponent))


def fit_power_law(rows: Float64[np.ndarray, " k"], errors: Float64[np.ndarray, " k"]) -> PowerLaw:
    """The power law through points (Merchant et al. 2023, fig. 1e: neural scaling laws).

    Raises:
        ValueError: for fewer than two different sizes, or values that have no logarithm.
    """
    from scipy.stats import linregress

    if len(np.unique(rows)) < 2 or not (np.all(rows > 0) and np.all(errors > 0)):
        raise ValueError(
            f"a power law needs at least two sizes and errors above 0, not {rows.tolist()} and "
            f"{errors.tolist()}"
        )
    line = linregress(np.log(rows / 1000), np.log(errors))
    deviation = float(line.stderr) if len(rows) > 2 else None
    return PowerLaw(float(np.exp(line.intercept)), float(-line.slope), deviation)


def learning_curve(
    data: Labelled,
    config: TrainConfig,
    shares: Sequence[float],
    folder: Path,
    listener: Listener = SILENT,
) -> list[Point]:
    """Train on shares of the training formulas and measure all on the same validation rows.

    Shares are nested: a share s is the formulas with hashes below s x ``train_below``.  Ensembles
    go into the folder; finished ones are not trained again, and one that was stopped goes on.

    Args:
        data: rows to part by formula hash.
        config: settings of the whole; smaller shares take more epochs (``MOST_EPOCHS``).
        shares: of the training formulas, above 0 and up to 1.
        folder: for the ensembles.
        listener: hears how each share gets on.

    Raises:
        ValueError: for a share outside of 0 to 1, settings that hold nothing out, or as ``train``.
    """
    for share in shares:
        if not 0 < share <= 1:
            raise ValueError(f"a share of the training rows lies in 0 to 1, not at {share}")
    if config.validate_below == config.train_below:
        raise ValueError("a learning curve needs validation rows: raise validate_below")
    hashes = formula_hashes(data.reduced_formulas)
    held = config.masks(data.reduced_formulas)[1]
    folder.mkdir(parents=True, exist_ok=True)
    points = []
    for share in sorted(set(shares)):
        below = max(round(share * config.train_below), 1)
        epochs = round(config.optimizer.epochs * min(1 / share, MOST_EPOCHS))
        optimizer = config.optimizer.model_copy(update={"epochs": epochs})
        card = train_into(
            folder / f"below-{below:03d}.gnomon",
            train,
            replace(data.take((hashes < below) | held), name=f"formula hashes below {below}"),
            config.model_copy(update={"optimizer": optimizer}),
            listener.of(f"share {share:g}"),
        ).card
        if card is None or card.validation is None:
            raise ValueError("no validation row has a prediction: give more rows")
        errors = card.validation
        mean = float(np.mean(errors.mae_of_members))
        points.append(Point(card.train_rows, below, epochs, errors.mae, mean, card.wall_seconds))
    return points


def figure(points: Sequence[Point], law: PowerLaw) -> Any:
    """Errors against rows on logarithmic axes, with the power law (Plotly)."""
    import plotly.graph_objects as go

    rows = [p.rows for p in points]
    ends = np.geomspace(min(rows) / 1.5, max(rows) * 3, 50)
    drawn = go.Figure()
    drawn.add_scatter(
        x=ends,
        y=[1000 * law.error(n) for n in ends],
        mode="lines",
        name=f"{1000 * law.scale:.0f} meV/atom × (rows / 1000)^-{law.exponent:.2f}",
        line={"dash": "dash", "color": "#6b7683"},
    )
    for name, color, values in (
        ("ensemble", "#1c2733", [p.mae for p in points]),
        ("one member", "#b3470b", [p.mae_of_members for p in points]),
    ):
        drawn.add_scatter(
            x=rows, y=[1000 * v for v in values], mode="markers", name=name, marker_color=color
        )
    drawn.update_layout(template="none", height=480)
    drawn.update_xaxes(type="log", title="crystals that trained")
    drawn.update_yaxes(type="log", title="error on unseen formulas, meV/atom")
    return drawn


def as_json(points: Sequence[Point], law: PowerLaw) -> dict[str, Any]:
    """All of it; energies in eV/atom."""
    return {"points": [asdict(p) for p in points], "power_law": asdict(law)}

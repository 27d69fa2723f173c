"""Results of a replay: one JSON object, and all strategies in one figure on a page of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from gnomon.replay.curves import CONFIDENCE, acceleration, curve
from gnomon.replay.loop import Round
from gnomon.replay.pool import Replay

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLORS = ("#6b7683", "#1c2733", "#b3470b", "#2a7f9e", "#7a5195", "#4c8c2b")
"""One a strategy, in the order they were asked for."""

SHIFT = 0.055
"""eV/atom by which WBM energies differ from MP2020-corrected ones where that scheme corrects."""


def summary(
    replayed: Replay, runs: Mapping[Any, Sequence[Sequence[Round]]], fractions: Sequence[float]
) -> dict[str, Any]:
    """Everything that a replay showed, ready for JSON; energies in eV/atom.

    Raises:
        ValueError: if nothing in the pool is stable at the threshold.
    """
    truth, pool = replayed.truth, replayed.pool
    stable, n_stable = truth.stable_known, int(truth.stable_known.sum())
    strategies = {}
    for name, seeds in runs.items():
        drawn, final = curve(seeds, stable), curve(seeds, truth.stable_final)
        half = drawn.half_width
        found = [acceleration(drawn, f, n_stable, len(pool)) for f in fractions]
        strategies[name] = {
            "evaluations": drawn.evaluations.tolist(),
            "found_mean": drawn.mean.tolist(),
            "found_half_width": None if half is None else half.tolist(),
            "found_final_mean": final.mean.tolist(),
            "acceleration": [asdict(a) for a in found if a is not None],
            "rounds": [[{"mae": r.mae, "offset": r.offset} for r in rounds] for rounds in seeds],
        }
    return {
        "pool": len(pool),
        "known": len(pool.known),
        "left_out": replayed.left_out,
        "elements_at_zero": list(replayed.elements_at_zero),
        "scheme_of_pool": pool.scheme,
        "scheme_of_known": pool.known.scheme,
        "threshold": truth.threshold,
        "stable_against_known": n_stable,
        "stable_against_known_and_pool": int(truth.stable_final.sum()),
        "stable_if_pool_shifted": {
            f"{shift:+.3f}": truth.stable_if_shifted(shift) for shift in (-SHIFT, SHIFT)
        },
        "confidence": CONFIDENCE,
        "strategies": strategies,
    }


def discovery_figure(found: Mapping[str, Any]) -> go.Figure:
    """Stable crystals found against crystals evaluated, one line a strategy, chance dashed."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for color, (name, strategy) in zip(
        COLORS * len(found["strategies"]), found["strategies"].items(), strict=False
    ):
        x, mean = strategy["evaluations"], np.array(strategy["found_mean"])
        if strategy["found_half_width"] is not None:
            half = np.array(strategy["found_half_width"])
            figure.add_scatter(
                x=[*x, *x[::-1]],
                y=[*(mean + half), *np.maximum(mean - half, 0)[::-1]],
                fill="toself",
                fillcolor=color,
                opacity=0.15,
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
            )
        figure.add_scatter(
            x=x, y=mean.tolist(), name=name, mode="lines+markers", line={"color": color}
        )
    last = max(s["evaluations"][-1] for s in found["strategies"].values())
    figure.add_scatter(
        x=[0, last],
        y=[0, last * found["stable_against_known"] / found["pool"]],
        name="expected of chance",
        mode="lines",
        line={"color": "#6b7683", "dash": "dash"},
    )
    figure.update_layout(template="none", height=520, hovermode="x unified")
    figure.update_xaxes(title=f"crystals evaluated, of {found['pool']}")
    figure.update_yaxes(title=f"stable found, of {found['stable_against_known']}")
    return figure


def page(found: Mapping[str, Any]) -> str:
    """The figure as one HTML file that needs no network."""
    html: str = discovery_figure(found).to_html(
        include_plotlyjs=True,
        div_id="discovery-curves",  # a fixed id, so that the same result is the same bytes
        # results stay on this machine
        config={"displaylogo": False, "showSendToCloud": False, "plotlyServerURL": ""},
    )
    return html

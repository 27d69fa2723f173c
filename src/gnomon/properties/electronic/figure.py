"""Bands and density of states of one crystal, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHOWN = (-6.0, 8.0)
"""eV about the Fermi energy."""


def figure(row: Mapping[str, Any], title: str) -> go.Figure:
    """The diagram of a row of the property ``dft_band_gap`` whose status is ok.

    Args:
        row: of its table.
        title: above it.
    """
    from plotly.subplots import make_subplots

    path = np.array(row["path"])
    bands = np.reshape(row["bands"], (row["n_spins"], len(path), row["n_bands"]))
    made = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.7, 0.3])
    for spin, color in zip(bands, ("#2a7f9e", "#b5532b"), strict=False):
        for band in spin.T:
            line = {"color": color, "width": 1.2}
            made.add_scatter(
                x=path, y=band, mode="lines", line=line, showlegend=False, col=1, row=1
            )
    states = {"line": {"color": "#1c2733", "width": 1.2}, "showlegend": False}
    made.add_scatter(x=row["dos"], y=row["dos_energies"], mode="lines", **states, col=2, row=1)
    corners = corners_of(row["path_labels"])
    made.update_xaxes(
        tickvals=[at for _, at in corners], ticktext=[name for name, _ in corners], row=1, col=1
    )
    made.update_xaxes(title="states, 1/eV/atom", rangemode="tozero", row=1, col=2)
    made.update_yaxes(title="E - E<sub>F</sub>, eV", range=SHOWN, row=1, col=1)
    made.update_layout(
        title=title, font={"family": "system-ui, sans-serif"}, plot_bgcolor="white", height=520
    )
    return made


def corners_of(labels: str) -> list[tuple[str, float]]:
    """Names and distances of the corners of a path; those at one place share their tick.

    >>> corners_of("G:0.0000 U:1.5000 K:1.5000 X:2.0000")
    [('\N{GREEK CAPITAL LETTER GAMMA}', 0.0), ('U|K', 1.5), ('X', 2.0)]
    """
    found: dict[float, str] = {}
    for word in labels.split():
        name, _, at = word.rpartition(":")
        name = "\N{GREEK CAPITAL LETTER GAMMA}" if name in ("G", r"\Gamma") else name
        known = found.get(float(at))
        found[float(at)] = name if known in (None, name) else f"{known}|{name}"
    return [(name, at) for at, name in found.items()]

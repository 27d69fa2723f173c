"""Hull diagrams as Plotly figures: formation energy over composition, or a triangle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gnomon.elements import atomic_number
from gnomon.hull.phases import ON_HULL, Phases, atom_fractions

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from gnomon.hull.convex import Hull

INK, MUTED, GRID, NEW = "#1c2733", "#6b7683", "#e4e8ec", "#b3470b"

HIGHEST_SHOWN = 0.3
"""eV/atom above the highest stable phase beyond which the first view of a binary never goes."""

DEPTHS_SHOWN = 5.0
"""Depths of the hull that the first view leaves above it, so that a shallow hull can be seen."""

COLOR_LIMIT = 100
"""meV/atom above the hull where the colours of a ternary diagram end."""

MAX_LABELS = 15
"""Compounds on the hull that are labelled in the diagram: more would cover each other."""

MAX_POINTS = 3000
"""Phases drawn, the lowest above the hull first: beyond this a browser gets slow."""

_FONT = {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13, "color": INK}


@dataclass(frozen=True, eq=False)
class _Diagram:
    """n phases as they are drawn.

    Attributes:
        phases: by rising energy above the hull.
        system: the two or three elements, in the order of the axes.
        fractions: (n, elements), atom fractions in this order.
        e_above_hull: (n,), eV/atom.
        new: (n,), which are finds.
        hover: (n,), HTML that is shown when one points at a mark.
    """

    phases: Phases
    system: Sequence[str]
    fractions: Float64[np.ndarray, "n e"]
    e_above_hull: Float64[np.ndarray, " n"]
    new: Bool[np.ndarray, " n"]
    hover: Sequence[str]

    @property
    def stable(self) -> Bool[np.ndarray, " n"]:
        return np.asarray(self.e_above_hull <= ON_HULL)

    @property
    def energies(self) -> Float64[np.ndarray, " n"]:
        return self.phases.formation_energy_per_atom

    def groups(self) -> list[tuple[str, Int64[np.ndarray, " k"], dict[str, Any]]]:
        """New stable, known stable and the rest, with the markers that tell them apart."""
        found = ", found here" if self.new.any() else ""
        known = ", known" if self.new.any() else ""
        disc = {"symbol": "circle", "size": 12, "color": NEW}
        square = {"symbol": "square", "size": 10, "color": INK}
        hollow = {"symbol": "circle-open", "size": 9, "color": MUTED, "line": {"width": 1.5}}
        every = (
            (f"on the hull{found}", self.stable & self.new, disc),
            (f"on the hull{known}", self.stable & ~self.new, square),
            ("above the hull", ~self.stable, hollow),
        )
        return [(name, np.flatnonzero(mask), mark) for name, mask, mark in every if mask.any()]

    def style(self, rows: Int64[np.ndarray, " k"], position: str) -> dict[str, Any]:
        """What the marks of a group have in common in both diagrams."""
        compound = self.stable & (self.fractions.max(axis=1) < 1)
        named = compound & (compound.sum() <= MAX_LABELS)
        formulas = self.phases.reduced_formulas
        return {
            "mode": "markers+text",
            "text": [formula_html(formulas[i]) if named[i] else "" for i in rows],
            "textposition": position,
            "hovertext": [self.hover[i] for i in rows],
            "hoverinfo": "text",
            "cliponaxis": False,
        }


def hull_figure(
    hull: Hull,
    system: Sequence[str],
    rows: Int64[np.ndarray, " n"],
    new: Sequence[bool],
    details: Sequence[Sequence[str]] | None = None,
) -> go.Figure:
    """The hull diagram of two or three elements.

    Args:
        hull: its phases are drawn.
        system: elements, in the order of the axes.
        rows: indices of n phases of this system.
        new: (n,), which are finds.
        details: (n,), further lines about each, shown when one points at its mark.
    """
    phases = hull.phases.take(rows)
    e_above_hull = hull.e_above_hull(phases.composition, phases.formation_energy_per_atom)
    order = np.argsort(e_above_hull, kind="stable")[:MAX_POINTS]
    chosen, above = phases.take(order), e_above_hull[order]
    lines = [()] * len(phases) if details is None else details
    columns = [atomic_number(symbol) for symbol in system]
    energies = chosen.formation_energy_per_atom
    diagram = _Diagram(
        chosen,
        system,
        atom_fractions(chosen.composition)[:, columns],
        above,
        np.array(new, dtype=bool)[order],
        [
            "<br>".join(
                [
                    f"<b>{formula_html(chosen.reduced_formulas[i])}</b>",
                    *map(escape, lines[row]),
                    f"formation energy {energies[i]:.4f} eV/atom",
                    f"above the hull {1000 * above[i]:.1f} meV/atom",
                ]
            )
            for i, row in enumerate(order)
        ],
    )
    if len(system) == 2:
        return _binary(diagram)
    return _ternary(diagram, tie_lines(hull, chosen, diagram.stable))


def formula_html(formula: str) -> str:
    """A formula with its numbers as subscripts: ``Fe3(PO4)2`` in HTML, other characters escaped."""
    return re.sub(r"(?<=[A-Za-z)])(\d+(?:\.\d+)?)", r"<sub>\1</sub>", escape(formula))


def _binary(diagram: _Diagram) -> go.Figure:
    import plotly.graph_objects as go

    first, second = diagram.system
    x, y = diagram.fractions[:, 1], diagram.energies
    on_hull = np.flatnonzero(diagram.stable)
    on_hull = on_hull[np.lexsort((y[on_hull], x[on_hull]))]
    corners = on_hull[np.unique(x[on_hull], return_index=True)[1]]
    figure = go.Figure()
    figure.add_scatter(
        x=x[corners].tolist(),
        y=y[corners].tolist(),
        mode="lines",
        line={"color": INK, "width": 1.5},
        hoverinfo="skip",
        name="hull",
    )
    for name, rows, marker in diagram.groups():
        style = diagram.style(rows, "bottom center")
        figure.add_scatter(
            x=x[rows].tolist(), y=y[rows].tolist(), marker=marker, name=name, **style
        )
    figure.update_layout(_layout())
    figure.update_xaxes(
        title=f"fraction of {second} in {first}<sub>1−x</sub>{second}<sub>x</sub>",
        range=[-0.03, 1.03],
        zeroline=False,
        **_axis(),
    )
    figure.update_yaxes(
        title="formation energy (eV/atom)",
        range=_energy_range(y, y[on_hull]),
        zeroline=False,
        **_axis(),
    )
    return figure


def _ternary(diagram: _Diagram, edges: Sequence[tuple[int, int]]) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    # None lifts the pen between two lines
    ends = [end for pair in edges for end in (*pair, None)]
    figure.add_scatterternary(
        **{
            k: [None if end is None else column[end] for end in ends]
            for k, column in zip("abc", diagram.fractions.T.tolist(), strict=True)
        },
        mode="lines",
        line={"color": MUTED, "width": 1},
        hoverinfo="skip",
        name="tie lines",
    )
    for name, rows, marker in reversed(diagram.groups()):
        at = dict(zip("abc", diagram.fractions[rows].T.tolist(), strict=True))
        on_hull = diagram.stable[rows[0]]
        figure.add_scatterternary(
            **at,
            marker=marker if on_hull else _coloured(diagram.e_above_hull[rows]),
            name=name,
            **diagram.style(rows, "top center"),
        )
    top, left, right = diagram.system
    figure.add_scatterternary(
        a=[1, 0, 0],
        b=[0, 1, 0],
        c=[0, 0, 1],
        mode="text",
        # the empty line keeps a name clear of the mark in its corner
        text=[f"{top}<br>\N{NO-BREAK SPACE}", f"<br>{left}", f"<br>{right}"],
        textposition=["top center", "bottom center", "bottom center"],
        textfont={"size": 16},
        hoverinfo="skip",
        showlegend=False,
        cliponaxis=False,
    )
    axis = {"title": {"text": ""}, "ticks": "", "showticklabels": False, **_axis()}
    axes = {f"{k}axis": axis for k in "abc"}
    figure.update_layout(
        _layout(),
        height=560,
        margin={"l": 32, "r": 32, "t": 84, "b": 96},
        ternary={"sum": 1, "bgcolor": "white", **axes},
    )
    return figure


def tie_lines(hull: Hull, phases: Phases, stable: Bool[np.ndarray, " n"]) -> list[tuple[int, int]]:
    """Pairs of stable phases between which the hull is straight: edges of the hull diagram.

    A pair is joined where the hull energy at its midpoint is the mean of the two; of the phases of
    one composition the lowest counts.

    Args:
        hull: of the phases.
        phases: by rising energy above it.
        stable: (n,), which lie on it.
    """
    first: dict[str, int] = {}
    for i in np.flatnonzero(stable).tolist():
        first.setdefault(phases.reduced_formulas[i], i)
    vertices = list(first.values())
    if len(vertices) < 2:
        return []
    corners = phases.take(vertices)
    fractions = atom_fractions(corners.composition)
    pairs = np.array(list(combinations(range(len(vertices)), 2)))
    mean = corners.formation_energy_per_atom[pairs].mean(axis=1)
    gap = hull.e_above_hull(fractions[pairs].sum(axis=1), mean)
    straight = pairs[gap <= ON_HULL].tolist()
    return [(vertices[a], vertices[b]) for a, b in straight]


def _coloured(e_above_hull: Float64[np.ndarray, " k"]) -> dict[str, Any]:
    """Marks whose colour is the energy above the hull, with the scale below the diagram."""
    return {
        "size": 10,
        "line": {"width": 1, "color": "white"},
        "color": (1000 * e_above_hull).tolist(),
        "cmin": 0,
        "cmax": COLOR_LIMIT,
        "colorscale": "Cividis",  # even in lightness, and the same to colour-blind eyes
        "colorbar": {
            "title": {"text": "meV/atom above the hull", "side": "top", "font": _FONT},
            "tickvals": [0, COLOR_LIMIT / 2, COLOR_LIMIT],
            "ticktext": ["0", f"{COLOR_LIMIT // 2}", f"≥ {COLOR_LIMIT}"],
            "orientation": "h",
            "thickness": 10,
            "len": 0.8,
            "y": -0.1,
            "yanchor": "top",
        },
    }


def _energy_range(
    energies: Float64[np.ndarray, " n"], stable: Float64[np.ndarray, " s"]
) -> tuple[float, float]:
    """The hull and what lies near it; a phase far above it is reached by zooming out."""
    on_hull = stable if len(stable) else np.zeros(1)
    above = min(HIGHEST_SHOWN, max(0.02, -DEPTHS_SHOWN * float(on_hull.min())))
    bottom = float(energies.min())
    top = min(float(energies.max()), float(on_hull.max()) + above)
    span = max(top - bottom, 0.01)
    return bottom - 0.12 * span, top + 0.08 * span


def _axis() -> dict[str, Any]:
    return {"gridcolor": GRID, "linecolor": MUTED, "showline": True}


def _layout() -> dict[str, Any]:
    return {
        "template": "none",
        "font": _FONT,
        "height": 480,
        "margin": {"l": 80, "r": 24, "t": 48, "b": 56},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "legend": {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        "hoverlabel": {"bgcolor": "white", "font": _FONT, "align": "left"},
    }

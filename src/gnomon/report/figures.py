"""Hull diagrams as Plotly figures: formation energy over composition, or a triangle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from gnomon.elements import parse_formula
from gnomon.report.build import Report
from gnomon.report.tables import PhaseRow, tie_lines

if TYPE_CHECKING:
    import plotly.graph_objects as go

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


def hull_figure(report: Report) -> go.Figure | None:
    """The hull diagram of a binary or ternary report; None for any other number of elements."""
    finds = {phase.id for phase in report.stable}
    # a find that repeats another or a known phase would only cover its mark
    phases = [p for p in report.phases if p.known or not p.stable or p.id in finds]
    phases = sorted(phases, key=lambda p: p.e_above_hull)[:MAX_POINTS]
    if len(report.system) == 2 and phases:
        return _binary(phases, report.system)
    if len(report.system) == 3 and phases:
        return _ternary(phases, report.system)
    return None


def formula_html(formula: str) -> str:
    """A formula with its numbers as subscripts: ``Fe3(PO4)2`` in HTML, other characters escaped."""
    return re.sub(r"(?<=[A-Za-z)])(\d+(?:\.\d+)?)", r"<sub>\1</sub>", escape(formula))


def _binary(phases: Sequence[PhaseRow], system: Sequence[str]) -> go.Figure:
    import plotly.graph_objects as go

    first, second = system
    on_hull = sorted(
        (p for p in phases if p.stable),
        key=lambda p: (_fraction(p, second), p.formation_energy_per_atom),
    )
    line = {_fraction(p, second): p for p in reversed(on_hull)}
    xs = sorted(line)
    figure = go.Figure()
    figure.add_scatter(
        x=xs,
        y=[line[x].formation_energy_per_atom for x in xs],
        mode="lines",
        line={"color": INK, "width": 1.5},
        hoverinfo="skip",
        name="hull",
    )
    for name, members, marker in _groups(phases):
        figure.add_scatter(
            x=[_fraction(p, second) for p in members],
            y=[p.formation_energy_per_atom for p in members],
            mode="markers+text",
            text=_labels(members),
            textposition="bottom center",
            hovertext=[_hover(p) for p in members],
            hoverinfo="text",
            marker=marker,
            name=name,
            cliponaxis=False,
        )
    figure.update_layout(_layout())
    figure.update_xaxes(
        title=f"fraction of {second} in {first}<sub>1−x</sub>{second}<sub>x</sub>",
        range=[-0.03, 1.03],
        zeroline=False,
        **_axis(),
    )
    figure.update_yaxes(
        title="formation energy (eV/atom)", range=_energy_range(phases), zeroline=False, **_axis()
    )
    return figure


def _ternary(phases: Sequence[PhaseRow], system: Sequence[str]) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    # None lifts the pen between two lines
    ends = [end for pair in tie_lines(phases) for end in (*pair, None)]
    figure.add_scatterternary(
        **{
            k: [None if end is None else _fraction(end, e) for end in ends]
            for k, e in zip("abc", system, strict=True)
        },
        mode="lines",
        line={"color": MUTED, "width": 1},
        hoverinfo="skip",
        name="tie lines",
    )
    for name, members, marker in reversed(_groups(phases)):
        figure.add_scatterternary(
            **{k: [_fraction(p, e) for p in members] for k, e in zip("abc", system, strict=True)},
            mode="markers+text",
            text=_labels(members),
            textposition="top center",
            hovertext=[_hover(p) for p in members],
            hoverinfo="text",
            marker=marker if members[0].stable else _coloured(members),
            name=name,
            cliponaxis=False,
        )
    top, left, right = system
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


def _coloured(phases: Sequence[PhaseRow]) -> dict[str, Any]:
    """Marks whose colour is the energy above the hull, with the scale below the diagram."""
    return {
        "size": 10,
        "line": {"width": 1, "color": "white"},
        "color": [1000 * p.e_above_hull for p in phases],
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


def _groups(phases: Sequence[PhaseRow]) -> list[tuple[str, list[PhaseRow], dict[str, Any]]]:
    """New stable, known stable and the rest, with the markers that tell them apart."""
    new = [p for p in phases if p.stable and not p.known]
    known = [p for p in phases if p.stable and p.known]
    above = [p for p in phases if not p.stable]
    hollow = {"symbol": "circle-open", "size": 9, "color": MUTED, "line": {"width": 1.5}}
    return [
        (name, members, marker)
        for name, members, marker in (
            ("on the hull, found here", new, {"symbol": "circle", "size": 12, "color": NEW}),
            ("on the hull, known", known, {"symbol": "square", "size": 10, "color": INK}),
            ("above the hull", above, hollow),
        )
        if members
    ]


def _fraction(phase: PhaseRow, element: str) -> float:
    counts = parse_formula(phase.reduced_formula)
    return counts.get(element, 0.0) / sum(counts.values())


def _labels(phases: Sequence[PhaseRow]) -> list[str]:
    named = [p.stable and len(p.elements) > 1 for p in phases]
    few = sum(named) <= MAX_LABELS
    return [
        formula_html(p.reduced_formula) if few and name else ""
        for p, name in zip(phases, named, strict=True)
    ]


def _hover(phase: PhaseRow) -> str:
    group = f"{phase.space_group_symbol} ({phase.space_group})" if phase.space_group else "unknown"
    return "<br>".join(
        [
            f"<b>{formula_html(phase.reduced_formula)}</b>",
            f"space group {group}",
            escape(phase.origin),
            f"formation energy {phase.formation_energy_per_atom:.4f} eV/atom",
            f"above the hull {1000 * phase.e_above_hull:.1f} meV/atom",
        ]
    )


def _energy_range(phases: Sequence[PhaseRow]) -> tuple[float, float]:
    """The hull and what lies near it; a phase far above it is reached by zooming out."""
    energies = [p.formation_energy_per_atom for p in phases]
    stable = [p.formation_energy_per_atom for p in phases if p.stable] or [0.0]
    above = min(HIGHEST_SHOWN, max(0.02, -DEPTHS_SHOWN * min(stable)))
    top = min(max(energies), max(stable) + above)
    span = max(top - min(energies), 0.01)
    return min(energies) - 0.12 * span, top + 0.08 * span


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

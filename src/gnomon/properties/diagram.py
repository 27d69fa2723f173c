"""Diagrams of two properties, each crystal a point by its kind: hardness against toughness, thermal
expansion against the bound on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Shaped

from gnomon.crystals import Crystals
from gnomon.io.tables import OK, read_table
from gnomon.properties.compute import compute, rows_of
from gnomon.properties.heat.debye import expansion_factor
from gnomon.properties.mechanics.moduli import Numbers, numbers
from gnomon.properties.registry import PropertySettings

if TYPE_CHECKING:
    import plotly.graph_objects as go

KINDS = {"oxides": 8, "nitrides": 7, "carbides": 6, "borides": 5}
"""Kinds of crystals by the atomic number that makes them one, the first that fits; else others."""

OTHERS = "others"
CHUNK = 2048
"""Crystals in a part: the networks take thousands a second."""


@dataclass(frozen=True)
class Diagram:
    """Two columns of the table of a property.

    Attributes:
        property: its name.
        x, y: columns, and what stands at their axes.
        hover: the point on hovering, in plotly's words.
        log: whether both axes are logarithms, which shows numbers above zero alone.
        curve: y of x along which a line is drawn, and its name.
        at: from where to where the curve goes.
    """

    property: str
    x: tuple[str, str]
    y: tuple[str, str]
    hover: str
    log: bool = True
    curve: tuple[str, Callable[[Numbers], Numbers]] | None = None
    at: tuple[float, float] = (0.0, 0.0)


DIAGRAMS: Mapping[str, Diagram] = {
    "ashby": Diagram(
        "hardness",
        ("toughness", "fracture toughness, MPa m<sup>1/2</sup>"),
        ("value", "Vickers hardness, GPa"),
        "%{text}: %{y} GPa, %{x} MPa m^1/2<extra></extra>",
    ),
    "bound": Diagram(
        "expansion_bound",
        ("poisson_ratio", "Poisson's ratio \N{GREEK SMALL LETTER NU}"),
        ("reduced_expansion", "\N{GREEK SMALL LETTER ALPHA}E / (c<sub>V</sub>ρ)"),
        "%{text}: %{y} at a Poisson's ratio of %{x}<extra></extra>",
        log=False,
        curve=("bound f(\N{GREEK SMALL LETTER NU})", expansion_factor),
        at=(-0.1, 0.5),
    ),
}
"""By name, which is also that of the page."""


def kinds(crystals: Crystals) -> Shaped[np.ndarray, " n"]:
    """What each crystal is called in the diagram.

    >>> from gnomon.io import as_crystals
    >>> from ase.build import bulk
    >>> kinds(as_crystals([bulk("MgO", "rocksalt", a=4.2), bulk("Si")])).tolist()
    ['oxides', 'others']
    """
    named = np.full(len(crystals), OTHERS, dtype=object)
    compound = (crystals.composition > 0).sum(axis=1) > 1
    for kind, number in reversed(KINDS.items()):
        named[compound & (crystals.composition[:, number] > 0)] = kind
    return named


@dataclass(frozen=True)
class Drawn:
    """What is in a diagram: points ``shown`` of ``given`` crystals, ``above`` of them above the
    curve (None without one), and the page."""

    shown: int
    given: int
    above: int | None
    out: Path


def draw(crystals: Crystals, name: str, settings: PropertySettings, out: Path) -> Drawn:
    """The tables of a diagram in a folder, and the diagram beside them.

    Args:
        crystals: those given twice are computed once.
        name: of the diagram.
        settings: of the properties; option ``moduli`` of the diagram's says where moduli come from.
        out: the folder; what is there is kept, as by ``gnomon.properties.compute``.
    """
    diagram = DIAGRAMS[name]
    compute(crystals, [diagram.property], settings, out, chunk=CHUNK)
    _, firsts = np.unique(crystals.ids.astype(str), return_index=True)
    given = crystals.take(np.sort(firsts))
    table = rows_of(read_table(out / f"{diagram.property}.parquet"), given)
    x, y = (_shown(table, column, diagram.log) for column, _ in (diagram.x, diagram.y))
    there = np.isfinite(x) & np.isfinite(y)
    shown, x, y = given[there], x[there], y[there]
    page = out / f"{name}.html"
    made = figure(diagram, x, y, shown.reduced_formulas, kinds(shown))
    made.write_html(page, include_plotlyjs=True, config={"displayModeBar": False})
    above = int((y > diagram.curve[1](x)).sum()) if diagram.curve else None
    return Drawn(len(shown), len(given), above, page)


def _shown(table: pa.Table, name: str, log: bool) -> Numbers:
    """A column where it can be drawn, else NaN."""
    values = numbers(table, name)
    good = np.array(table["status"].to_pylist()) == OK
    with np.errstate(invalid="ignore"):
        return np.where(good & ((values > 0) | (not log)), values, np.nan)


def figure(
    diagram: Diagram,
    x: Float64[np.ndarray, " n"],
    y: Float64[np.ndarray, " n"],
    formulas: Shaped[np.ndarray, " n"],
    named: Shaped[np.ndarray, " n"],
) -> go.Figure:
    """The diagram, formulas on hovering.

    Args:
        diagram: which.
        x, y: of each crystal.
        formulas: reduced ones.
        named: the kind of each.
    """
    import plotly.graph_objects as go

    made = go.Figure()
    present: Sequence[str] = [k for k in (OTHERS, *KINDS) if (named == k).any()]
    for kind in present:
        rows = np.flatnonzero(named == kind)
        made.add_trace(
            go.Scattergl(
                x=_rounded(x[rows]),
                y=_rounded(y[rows]),
                text=formulas[rows],
                name=f"{kind} ({len(rows):,})",
                mode="markers",
                marker={"size": 5, "opacity": 0.5},
                hovertemplate=diagram.hover,
            )
        )
    if diagram.curve:
        name, of = diagram.curve
        along = np.linspace(*diagram.at, 121)
        made.add_trace(go.Scattergl(x=along, y=of(along), name=name, line={"color": "black"}))
    scale = "log" if diagram.log else "linear"
    made.update_xaxes(title=diagram.x[1], type=scale)
    made.update_yaxes(title=diagram.y[1], type=scale)
    made.update_layout(font={"family": "system-ui, sans-serif"}, plot_bgcolor="white", height=640)
    return made


def _rounded(values: Numbers) -> Float64[np.ndarray, " n"]:
    """To four digits, so that a page of 10^5 points stays small."""
    return np.array([float(f"{value:.4g}") for value in values])

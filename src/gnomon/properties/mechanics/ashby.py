"""Ashby's diagram of hardness against fracture toughness: each crystal a point, by its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Shaped

from gnomon.crystals import Crystals
from gnomon.io.tables import read_table
from gnomon.properties.compute import compute, rows_of
from gnomon.properties.registry import PropertySettings

if TYPE_CHECKING:
    import plotly.graph_objects as go

KINDS = {"oxides": 8, "nitrides": 7, "carbides": 6, "borides": 5}
"""Kinds of crystals by the atomic number that makes them one, the first that fits; else others."""

OTHERS = "others"
CHUNK = 2048
"""Crystals in a part: the networks take thousands a second."""


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


def ashby(crystals: Crystals, settings: PropertySettings, out: Path) -> tuple[int, int]:
    """Hardness and toughness of crystals as tables in a folder, and the diagram beside them.

    Args:
        crystals: those given twice are computed once.
        settings: of the properties; option ``hardness.moduli`` says where the moduli come from.
        out: the folder; what is there is kept, as by ``gnomon.properties.compute``.

    Returns:
        How many crystals are in the diagram, and of how many.
    """
    compute(crystals, ["hardness"], settings, out, chunk=CHUNK)
    _, firsts = np.unique(crystals.ids.astype(str), return_index=True)
    given = crystals.take(np.sort(firsts))
    table = rows_of(read_table(out / "hardness.parquet"), given)
    hardness, toughness = (_numbers(table, name) for name in ("value", "toughness"))
    there = (hardness > 0) & (toughness > 0)
    shown = given[there]
    made = figure(hardness[there], toughness[there], shown.reduced_formulas, kinds(shown))
    made.write_html(out / "ashby.html", include_plotlyjs=True, config={"displayModeBar": False})
    return int(there.sum()), len(given)


def figure(
    hardness: Float64[np.ndarray, " n"],
    toughness: Float64[np.ndarray, " n"],
    formulas: Shaped[np.ndarray, " n"],
    named: Shaped[np.ndarray, " n"],
) -> go.Figure:
    """The diagram, in logarithms, formulas on hovering.

    Args:
        hardness: Vickers hardness, GPa.
        toughness: K_IC, MPa m^1/2.
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
                x=toughness[rows].round(3),
                y=hardness[rows].round(2),
                text=formulas[rows],
                name=f"{kind} ({len(rows):,})",
                mode="markers",
                marker={"size": 5, "opacity": 0.5},
                hovertemplate="%{text}: %{y} GPa, %{x} MPa m^1/2<extra></extra>",
            )
        )
    made.update_xaxes(title="fracture toughness, MPa m<sup>1/2</sup>", type="log")
    made.update_yaxes(title="Vickers hardness, GPa", type="log")
    made.update_layout(font={"family": "system-ui, sans-serif"}, plot_bgcolor="white", height=640)
    return made


def _numbers(table: pa.Table, name: str) -> Float64[np.ndarray, " n"]:
    """A column where the status is ok, else NaN."""
    ok = np.array(table["status"].to_pylist()) == "ok"
    values = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(ok, values, np.nan)

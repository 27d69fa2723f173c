"""The page: a report → one HTML file that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gnomon.discover.finds import NEAR_HULL
from gnomon.discover.flags import chance
from gnomon.discover.rates import CONFIDENCE
from gnomon.evaluate.measured import measured
from gnomon.evaluate.scheme import short_name
from gnomon.generate.prototypes.occurrence import BUNDLED
from gnomon.hull.phases import ON_HULL
from gnomon.hull.plot import MAX_POINTS, formula_html
from gnomon.report.build import Report
from gnomon.report.cifs import cif_names
from gnomon.report.novelty import REPRESENTATION

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAX_ROWS = 200
"""Rows of a table on the page; the files beside it hold all of them."""


def render_html(report: Report) -> str:
    """The page of a report, as HTML: all styles and scripts are in it, every text is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("gnomon.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["formula"] = lambda text: Markup(formula_html(text))
    environment.filters["mev"] = lambda energy: _signed(1000 * energy, 1)
    environment.filters["ev"] = lambda energy: _signed(energy, 4)
    environment.filters["percent"] = lambda rate: f"{100 * rate:.0f} %"
    environment.filters["chance"] = chance
    environment.filters["short"] = short_name
    environment.filters["error"] = measured
    figure = report.campaign.plot()
    return environment.get_template("page.html.j2").render(
        report=report,
        campaign=report.campaign,
        figure=None if figure is None else Markup(_figure_html(figure)),
        plotly=None if figure is None else Markup(get_plotlyjs()),
        cifs=cif_names(report),
        max_rows=MAX_ROWS,
        max_points=MAX_POINTS,
        near_hull=NEAR_HULL,
        on_hull=ON_HULL,
        confidence=CONFIDENCE,
        representation=REPRESENTATION,
        bundled=BUNDLED,
    )


def _figure_html(figure: go.Figure) -> str:
    return figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id="hull-diagram",  # a fixed id, so that the same report is the same bytes
        config={
            "displaylogo": False,
            "responsive": True,
            "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
            # plotly.js 4 shows an upload button unless told not to; results stay on this machine
            "showSendToCloud": False,
            "plotlyServerURL": "",
        },
    )


def _signed(value: float, digits: int) -> str:
    """A number with a true minus sign, and no minus before zero."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")

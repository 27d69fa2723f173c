"""The panels of a crystal's page: a title, and rows or lines that follow from a crystal.

A further panel is a function of a ``Subject`` and a line in ``PANELS``.  Tables of a campaign that
are not of one property need none: each of them becomes a panel as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from gnomon.explore.panels.atoms import composition, surroundings, wyckoff
from gnomon.explore.panels.further_tables import properties, tables
from gnomon.explore.panels.origin import citation
from gnomon.explore.panels.powder import diffractogram
from gnomon.explore.panels.relatives import lineage, similar
from gnomon.explore.panels.shape import Link, Panel, Subject
from gnomon.explore.panels.stability import competing, energies, failures

PANELS: tuple[Callable[[Subject], Iterator[Panel]], ...] = (
    *(energies, competing, properties, tables, diffractogram, surroundings, composition),
    *(wyckoff, lineage, similar, failures, citation),
)
"""In their order on the page."""


def panels(of: Subject) -> list[dict[str, Any]]:
    """All panels of a crystal that have something to show, as JSON."""
    return [_plain(panel) for make in PANELS for panel in make(of)]


def _plain(panel: Panel) -> dict[str, Any]:
    found = asdict(panel) | {
        "heads": [head._asdict() for head in panel.heads],
        "rows": [
            [one._asdict() if isinstance(one, Link) else one for one in row] for row in panel.rows
        ],
    }
    return {name: value for name, value in found.items() if value}

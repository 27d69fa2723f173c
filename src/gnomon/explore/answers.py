"""What the pages ask: each question once, for the server, its description and a static export."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gnomon import __version__
from gnomon.explore.columns import TEXT
from gnomon.explore.crystal import crystal_page
from gnomon.explore.explorer import Explorer
from gnomon.explore.hulls import MOST_ELEMENTS, hull_of
from gnomon.explore.index import Index
from gnomon.explore.map_page import map_colors, map_page
from gnomon.explore.pettifor import formulas, pettifor_page
from gnomon.explore.potentials import MOST_ELEMENTS as MOST_OF_POTENTIALS
from gnomon.explore.potentials import potentials_of
from gnomon.explore.query import QueryError, usual_columns
from gnomon.explore.substitutions import substitutions_page
from gnomon.structure.symmetry import space_group_symbol

MOST_CHOICES = 200
"""Texts of a column that are listed to choose from."""

MOST_HULLS = 5000
"""Systems whose hulls an export holds."""

Asked = Mapping[str, str]
"""Parameters of a question, all as texts."""


class MissingError(LookupError):
    """There is nothing of that name."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a question.

    Attributes:
        about: what it is.
        kind: its type in JSON.
    """

    about: str
    kind: str = "string"


@dataclass(frozen=True)
class Answer:
    """A question and what answers it, as JSON.

    Attributes:
        path: of the address; ``{name}`` stands for a parameter.
        about: what the answer is.
        of: answers, or raises ``QueryError`` or ``MissingError``.
        parameters: by name; the first is the subject, by which an export finds the answer.
        asked: what pages may ask, for an export; questions of one group have the same answer.
    """

    path: str
    about: str
    of: Callable[[Explorer, Asked], Any]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    asked: Callable[[Explorer], Iterable[tuple[Asked, ...]]] = lambda _: [({},)]

    @property
    def name(self) -> str:
        """The part of the path after ``/api/``: the folder of an export."""
        return self.path.split("/")[2]


def _about(explorer: Explorer, _: Asked) -> dict[str, Any]:
    index = explorer.index
    return {
        "version": __version__,
        "crystals": len(index),
        "collections": [
            {"name": one.name, "campaign": one.campaign} for one in explorer.collections
        ],
        "columns": [
            {
                "name": column.name,
                "description": column.description,
                "unit": column.unit,
                "kind": column.kind,
                "range": column.range,
                "words": None
                if column.kind != TEXT or len(column.words or ()) > MOST_CHOICES
                else column.words,
            }
            for column in index.columns.values()
        ],
        "space_groups": [space_group_symbol(number) for number in range(1, 231)],
        "elements": [int(n) for n in index.present.sum(axis=1)],
        "shown": usual_columns(index),
        "trouble": explorer.trouble,
    }


def row_of(index: Index, key: str) -> int:
    """The row of an id.

    Raises:
        MissingError: if there is none.
    """
    row = index.row_of.get(key)
    if row is None:
        raise MissingError("no such crystal")
    return row


def _crystal(explorer: Explorer, asked: Asked) -> dict[str, Any]:
    index = explorer.index
    return crystal_page(index, row_of(index, asked["id"]))


def _crystals(explorer: Explorer) -> Iterator[tuple[Asked, ...]]:
    return (({"id": key},) for key in explorer.index.row_of)


def _of_system(answer: Callable[..., dict[str, Any]]) -> Callable[[Explorer, Asked], Any]:
    def of(explorer: Explorer, asked: Asked) -> dict[str, Any]:
        level = asked.get("level", "")
        if level and not (level.isascii() and level.isdecimal() and len(level) < 4):
            raise QueryError(f"level: {level!r} is no level")
        chosen = int(level) if level else None
        return answer(explorer.index, asked.get("system", ""), asked.get("source", ""), chosen)

    return of


def _hulls(explorer: Explorer) -> Iterator[tuple[Asked, ...]]:
    """Systems that occur, those with the most crystals first, each source and level of them."""
    index = explorer.index
    column, sizes = index.columns["chemical_system"], index.columns["n_elements"].values
    counts: dict[str, int] = {}
    energies = index.columns["formation_energy_per_atom"].known
    for row in range(len(index)):
        if energies[row] and 2 <= sizes[row] <= MOST_ELEMENTS:
            system = str(column.at(row))
            counts[system] = counts.get(system, 0) + 1
    for system in sorted(counts, key=lambda one: -counts[one])[:MOST_HULLS]:
        usual = hull_of(index, system)
        for source in usual["sources"]:
            own = usual if source == usual["source"] else hull_of(index, system, source)
            for level in own["levels"]:
                asked: list[Asked] = [{"system": system, "source": source, "level": str(level)}]
                asked += [{"system": system, "source": source}] if level == own["level"] else []
                if own is usual:
                    asked += [{"system": system, "level": str(level)}]
                    asked += [{"system": system}] if level == own["level"] else []
                yield tuple(asked)


def _potentials(explorer: Explorer) -> Iterator[tuple[Asked, ...]]:
    """The hulls of few enough elements."""
    most = MOST_OF_POTENTIALS
    return (group for group in _hulls(explorer) if group[0]["system"].count("-") < most)


def _pettifor(explorer: Explorer) -> Iterator[tuple[Asked, ...]]:
    """Each formula; the first of them is that of the usual page too."""
    choices = formulas(explorer.index)
    for number, (formula, _) in enumerate(choices):
        yield ({"formula": formula}, {}) if not number else ({"formula": formula},)


def _campaign(explorer: Explorer, asked: Asked) -> dict[str, Any]:
    page = explorer.campaign(asked["name"])
    if page is None:
        raise MissingError("no such campaign")
    return page


def _campaigns(explorer: Explorer) -> Iterator[tuple[Asked, ...]]:
    return (({"name": one.name},) for one in explorer.collections if one.campaign)


def _colors(explorer: Explorer) -> Iterator[tuple[Asked, ...]]:
    columns = map_page(explorer.index)["columns"] if explorer.index.places is not None else ()
    return (({"column": name},) for name in columns)


OF_PHASES = {
    "source": Parameter("campaign or file"),
    "level": Parameter("of the campaign", "integer"),
}

ABOUT = Answer("/api/about", "what is explored: collections, columns, elements", _about)

ANSWERS = (
    ABOUT,
    Answer(
        "/api/crystals/{id}",
        "all of one crystal",
        _crystal,
        {"id": Parameter("of the row")},
        _crystals,
    ),
    Answer(
        "/api/hull",
        "phases of a system on their hull",
        _of_system(hull_of),
        {"system": Parameter("2 to 4 elements: Ti-O"), **OF_PHASES},
        _hulls,
    ),
    Answer(
        "/api/potentials",
        "chemical potentials at which the phases of a system are stable",
        _of_system(potentials_of),
        {"system": Parameter("2 or 3 elements: Ti-O"), **OF_PHASES},
        _potentials,
    ),
    Answer(
        "/api/pettifor",
        "structure types of a formula over two elements",
        lambda e, asked: pettifor_page(e.index, asked.get("formula", "")),
        {"formula": Parameter("with two elements open: **2, **O3")},
        _pettifor,
    ),
    Answer(
        "/api/substitutions",
        "the table by which ions are replaced",
        lambda *_: substitutions_page(),
    ),
    Answer("/api/map", "places of the crystals, and regions", lambda e, _: map_page(e.index)),
    Answer(
        "/api/map-colors",
        "a column of the crystals on the map",
        lambda e, asked: map_colors(e.index, asked.get("column", "")),
        {"column": Parameter("to colour by")},
        _colors,
    ),
    Answer(
        "/api/campaigns/{name}",
        "what the report says",
        _campaign,
        {"name": Parameter("of the campaign")},
        _campaigns,
    ),
)
"""All questions but searches, of which there are too many to keep the answers."""

"""An OPTIMADE provider over the index: optimade-python-tools with our columns behind it."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import numpy as np
from optimade.exceptions import BadRequest
from optimade.models import StructureResource
from optimade.server.config import ServerConfig
from optimade.server.entry_collections import EntryCollection
from optimade.server.mappers import StructureMapper
from starlette.routing import Mount

from gnomon import __version__
from gnomon.elements import SYMBOLS
from gnomon.explore.explorer import Explorer
from gnomon.explore.fields import PREFIX, Fields, own_fields
from gnomon.explore.grammar import Grammar

PATH = "/optimade"
"""Where it is mounted."""

MOST = 1000
"""Structures of a page."""

METHOD = {
    "id": "merchant2023",
    "title": "Scaling deep learning for materials discovery",
    "authors": [
        {"name": name}
        for name in (
            *("Amil Merchant", "Simon Batzner", "Samuel S. Schoenholz", "Muratahan Aykol"),
            *("Gowoon Cheon", "Ekin Dogus Cubuk"),
        )
    ],
    "journal": "Nature",
    "volume": "624",
    "pages": "80-85",
    "year": "2023",
    "doi": "10.1038/s41586-023-06735-9",
    "bib_type": "article",
    "note": "the method that gnomon follows",
}
"""The one reference."""

_BASE: ContextVar[str | None] = ContextVar("base", default=None)


class Config(ServerConfig):
    """Settings of which the base URL is that by which the request came."""

    def __getattribute__(self, name: str) -> Any:
        return _BASE.get() if name == "base_url" else super().__getattribute__(name)


class Structures(EntryCollection):
    """The crystals of an explorer, as it has them at the moment."""

    def __init__(self, explorer: Explorer, config: ServerConfig) -> None:
        """Take the explorer and the settings of the provider."""
        mapper = StructureMapper(config)
        super().__init__(StructureResource, mapper, Grammar(mapper, lambda: self.fields), config)
        self._explorer = explorer
        self._fields = Fields(explorer.index)

    @property
    def fields(self) -> Fields:
        """Of the present index; of one request they are the same."""
        if self._fields.index is not self._explorer.index:
            self._fields = Fields(self._explorer.index)
        return self._fields

    def __len__(self) -> int:
        return len(self.fields.index)

    def insert(self, data: list[Any]) -> None:
        """Refuse: what is explored is only read."""
        raise NotImplementedError("structures are only read")

    def count(self, **kwargs: Any) -> int | None:
        """How many structures fulfil a filter."""
        return len(self._rows(self.fields, kwargs))

    def _rows(self, fields: Fields, criteria: dict[str, Any]) -> np.ndarray:
        truth = criteria.get("filter") or None
        rows = np.arange(len(fields.index)) if truth is None else np.flatnonzero(truth.yes)
        for name, direction in reversed(list(criteria.get("sort", ()))):
            column = fields.columns.get(self.resource_mapper.get_optimade_field(name))
            if column is None:
                raise BadRequest(detail=f"structures cannot be sorted by {name}")
            place = np.empty(len(fields.index), np.int64)
            place[column.order if direction > 0 else column.falling] = np.arange(len(place))
            rows = rows[np.argsort(_ties(column.values, place)[rows], kind="stable")]
        return rows

    def _run_db_query(
        self, criteria: dict[str, Any], single_entry: bool = False
    ) -> tuple[list[dict[str, Any]], int | None, bool]:
        if "page_above" in criteria:
            raise NotImplementedError("pages are asked for by page_offset or page_number")
        fields = self.fields
        rows = self._rows(fields, criteria)
        skip = criteria.get("skip", 0)
        page = rows[skip : skip + criteria["limit"]].tolist()
        more = not single_entry and skip + len(page) < len(rows)
        return [document(fields, row) for row in page], len(rows), more


def _ties(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Places in an order, the same for equal values."""
    _, kind = np.unique(values, return_inverse=True)
    first = np.full(int(kind.max(initial=-1)) + 1, len(place), np.int64)
    np.minimum.at(first, kind, place)
    return np.asarray(first[kind])


def document(fields: Fields, row: int) -> dict[str, Any]:
    """One structure as OPTIMADE has it, our own properties under their own names."""
    index = fields.index
    crystal = index.crystals[row].wrap()
    symbols = [SYMBOLS[z] for z in crystal.atomic_numbers.tolist()]
    fractions = sorted((SYMBOLS[z], float(crystal.fractions[0, z])) for z in _elements(crystal))
    elements = [symbol for symbol, _ in fractions]
    return {
        **{f["name"]: index.columns[f["name"]].at(row) for f in own_fields(index)},
        **{
            name: column.at(row)
            for name, column in fields.columns.items()
            if not name.startswith("_")
        },
        "elements": elements,
        "elements_ratios": [fraction for _, fraction in fractions],
        "dimension_types": [1, 1, 1],
        "lattice_vectors": crystal.lattice[0].tolist(),
        "cartesian_site_positions": crystal.cart_coords.tolist(),
        "species_at_sites": symbols,
        "species": [
            {"name": symbol, "chemical_symbols": [symbol], "concentration": [1.0]}
            for symbol in elements
        ],
        "structure_features": [],
    }


def _elements(crystal: Any) -> list[int]:
    return [int(z) for z in np.unique(crystal.atomic_numbers)]


def mounted(explorer: Explorer) -> Mount:
    """The provider's routes."""
    return Mount(PATH, app=Provider(explorer))


class Provider:
    """The provider as an ASGI application to mount at ``PATH``."""

    def __init__(self, explorer: Explorer) -> None:
        """Make it over an explorer."""
        for name in ("optimade", "optimade.gnomon"):
            logging.getLogger(name).addHandler(logging.NullHandler())  # or it writes to the disk
        from optimade.server.create_app import create_app

        said = {
            "prefix": PREFIX,
            "name": "gnomon explore",
            "description": "Crystals of campaigns and files on somebody's machine",
            "homepage": None,
        }
        made = Config(
            insert_test_data=False,
            page_limit=100,
            page_limit_max=MOST,
            provider=said,
            provider_fields={"structures": own_fields(explorer.index)},
            implementation={"name": "gnomon explore", "version": __version__},
        )
        app = create_app(made, logger_tag="gnomon")
        collections = app.state.entry_collections
        collections["structures"] = Structures(explorer, made)
        collections["references"].insert([{**METHOD, "last_modified": EPOCH}])
        collections["links"].insert([_root(said)])
        app.router.routes[:] = [r for r in app.router.routes if not _of_elsewhere(r)]
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request, whose address is the base of all addresses in its answer."""
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1")
            _BASE.set(f"{scope.get('scheme', 'http')}://{host}{PATH}")
        await self._app(scope, receive, send)


EPOCH = datetime(2023, 11, 29, tzinfo=UTC)
"""When the reference was published."""


def _root(said: dict[str, Any]) -> dict[str, Any]:
    link = {k: said[k] for k in ("name", "description", "homepage")}
    return {**link, "id": PREFIX, "type": "links", "base_url": None, "link_type": "root"}


def _of_elsewhere(route: Any) -> bool:
    """Pages whose scripts come from another server."""
    return getattr(route, "path", "").endswith(("/docs", "/redoc", "/docs/oauth2-redirect"))

"""The server: routes over an ``Explorer``, all of them only read."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from gnomon.explore.answers import ANSWERS, Answer, MissingError, row_of
from gnomon.explore.description import description
from gnomon.explore.explorer import PAUSE, Explorer
from gnomon.explore.files import WRITERS, as_csv
from gnomon.explore.index import Index
from gnomon.explore.page_routes import page_routes
from gnomon.explore.query import Query, QueryError, column_of, found, matching, usual_columns
from gnomon.explore.security import Guard
from gnomon.hull.phases import MissingElementError
from gnomon.run.writing import StoreError

SMALLEST_ZIPPED = 1000
"""Bytes from which on answers are compressed."""

Handler = Callable[[Explorer, Request], Awaitable[Response] | Response]


class Json(JSONResponse):
    """JSON in which a number that is none is null."""

    def render(self, content: Any) -> bytes:
        """As bytes."""
        return orjson.dumps(content)


def app_of(explorer: Explorer, token: str = "", others: tuple[BaseRoute, ...] = ()) -> Guard:
    """The application (ASGI) over an explorer.

    Args:
        explorer: what it answers from.
        token: without it only requests to names of this machine are answered.
        others: further routes, such as a provider's.
    """
    routes = [
        _route("/api/search", _search, explorer),
        _route("/api/export.{format}", _export, explorer),
        _route("/api/crystals/{id}.cif", _cif, explorer),
        *(_route(one.path, _answered(one), explorer) for one in ANSWERS),
        _route("/api/openapi.json", lambda _, __: Json(description()), explorer),
        *others,
        *page_routes(),
    ]
    zipped = Middleware(GZipMiddleware, minimum_size=SMALLEST_ZIPPED, compresslevel=5)
    app = Starlette(
        routes=routes,
        middleware=[zipped],
        exception_handlers={HTTPException: _failed, Exception: _broken},
        lifespan=lambda _: _looking(explorer),
    )
    return Guard(app, token)


def _route(path: str, handler: Handler, explorer: Explorer) -> Route:
    async def endpoint(request: Request) -> Response:
        try:
            if inspect.iscoroutinefunction(handler):
                return await handler(explorer, request)
            return await run_in_threadpool(handler, explorer, request)  # type: ignore[arg-type]
        except MissingError as error:
            return Json({"error": str(error)}, 404)
        except QueryError as error:
            return Json({"error": str(error)}, 422)
        except (StoreError, MissingElementError) as error:
            return Json({"error": str(error)}, 409)

    return Route(path, endpoint, methods=["GET"])


def _answered(answer: Answer) -> Handler:
    return lambda explorer, request: Json(
        answer.of(explorer, {**request.query_params, **request.path_params})
    )


@asynccontextmanager
async def _looking(explorer: Explorer) -> AsyncIterator[None]:
    """Look for changed files as long as the server runs."""

    async def look() -> None:
        while True:
            await asyncio.sleep(PAUSE)
            await run_in_threadpool(explorer.look)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Json({"error": error.detail}, error.status_code, error.headers)


def _broken(_: Request, error: Exception) -> Response:
    return Json({"error": "the server failed: its terminal says how"}, 500)


async def _search(explorer: Explorer, request: Request) -> Response:
    index = explorer.index
    query = Query.of(request.query_params.multi_items())
    names = _columns(index, query)
    page = found(index, query)
    rows = [index.row(row, ["id", *names]) for row in page.rows]
    return Json({"total": page.total, "offset": query.offset, "columns": names, "rows": rows})


def _columns(index: Index, query: Query) -> list[str]:
    for name in query.columns:
        column_of(index, name)
    return list(dict.fromkeys(query.columns)) or usual_columns(index)


def _export(explorer: Explorer, request: Request) -> Response:
    index, format = explorer.index, request.path_params["format"]
    query = Query.of(request.query_params.multi_items())
    rows = matching(index, query).tolist()
    if format == "csv":
        names = list(dict.fromkeys(["id", *(query.columns or index.columns)]))
        for name in names:
            column_of(index, name)
        return _file(as_csv(index, rows, names), "text/csv; charset=utf-8", "crystals.csv")
    if format not in WRITERS:
        raise HTTPException(404, f"no format {format!r}: csv, {', '.join(WRITERS)}")
    writer, kind, most = WRITERS[format]
    if not 0 < len(rows) <= most:
        raise QueryError(f"{len(rows)} crystals: a file of {format} holds 1 to {most}")
    return _file(writer(index, rows), kind, f"crystals.{format}")


def _file(lines: Any, kind: str, name: str) -> Response:
    said = {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type=kind, headers=said)


def _cif(explorer: Explorer, request: Request) -> Response:
    index = explorer.index
    writer, kind, _ = WRITERS["cif"]
    row = row_of(index, request.path_params["id"])
    name = f"{index.columns['reduced_formula'].at(row)}.cif"
    return _file(writer(index, [row]), kind, name)

"""The description of the routes in OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

from gnomon import __version__
from gnomon.explore.answers import ANSWERS, Answer
from gnomon.explore.files import WRITERS
from gnomon.explore.query import LISTS, Query

ERROR = {
    "description": "what is wrong",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"error": {"type": "string"}},
                "required": ["error"],
            }
        }
    },
}


def description() -> dict[str, Any]:
    """All routes that answer with data."""
    query = _parameters()
    key = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    formats = {**key, "name": "format", "schema": {"enum": ["csv", *WRITERS]}}
    files = ["text/csv; charset=utf-8", *(f"{kind}" for _, kind, _ in WRITERS.values())]
    return {
        "openapi": "3.1.0",
        "info": {"title": "gnomon explore", "version": __version__},
        "paths": {
            **{one.path: _answer(one) for one in ANSWERS},
            "/api/search": _get("a page of rows", query, wrong=True),
            "/api/export.{format}": _get("all rows as a file", [formats, *query], files, True),
            "/api/crystals/{id}.cif": _get("its CIF", [key], [WRITERS["cif"][1]], none=True),
            "/api/openapi.json": _get("this description", []),
        },
    }


def _get(
    summary: str,
    parameters: list[dict[str, Any]],
    kinds: list[str] | None = None,
    wrong: bool = False,
    none: bool = False,
) -> dict[str, Any]:
    ok: dict[str, Any] = {kind: {} for kind in kinds or ["application/json"]}
    answers: dict[str, Any] = {"200": {"description": summary, "content": ok}}
    if wrong:
        answers |= {"422": ERROR, "409": ERROR}
    if none or any(one["in"] == "path" for one in parameters):
        answers |= {"404": ERROR, "409": ERROR}
    return {"get": {"summary": summary, "parameters": parameters, "responses": answers}}


def _answer(answer: Answer) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = []
    for name, one in answer.parameters.items():
        number = {"minimum": 0} if one.kind == "integer" else {}
        said = {"name": name, "description": one.about, "schema": {"type": one.kind, **number}}
        where = (
            {"in": "path", "required": True} if f"{{{name}}}" in answer.path else {"in": "query"}
        )
        parameters.append(said | where)
    return _get(answer.about, parameters, wrong=bool(parameters))


def _parameters() -> list[dict[str, Any]]:
    """Those of a search."""
    fields = Query.model_json_schema()["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "description": schema["description"],
            "schema": {k: v for k, v in schema.items() if k not in ("description", "title")},
            **({"style": "form", "explode": True} if name in LISTS else {}),
        }
        for name, schema in fields.items()
    ]

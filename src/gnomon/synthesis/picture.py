"""A picture of routes, as SVG: phases in boxes from the precursors to the target, step by step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

from gnomon.synthesis.routes import Route

WIDTH, HEIGHT, GAP, ROW = 118, 30, 96, 46
"""Boxes, the space between columns, and the distance of rows, in pixels."""

COLOURS = {"precursor": "#dbe9f6", "target": "#c8e6c9", "phase": "#ffffff", "side": "#f0f0f0"}


def draw(routes: Sequence[Route], precursors: Collection[str]) -> str:
    """SVG of several routes, one below the other.

    Args:
        routes: of one target.
        precursors: formulas that they start from.
    """
    parts, top, widest = list[str](), 10, 0
    for number, route in enumerate(routes, 1):
        body, width, height = _one(route, precursors, top + 22)
        parts.append(
            f'<text x="10" y="{top + 12}" font-weight="bold">Route {number}, '
            f"cost {route.cost:.3f}</text>"
        )
        parts += body
        top, widest = top + height + 40, max(widest, width)
    style = "font-family:sans-serif;font-size:12px"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{widest + 20}" height="{top}" '
        f'style="{style}"><rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _one(route: Route, precursors: Collection[str], top: int) -> tuple[list[str], int, int]:
    """Shapes of one route, its width and its height."""
    column = {name: 0 for step in route.steps for name in step.reactants if name in precursors}
    for step in route.steps:
        after = 1 + max(column.get(name, 0) for name in step.reactants)
        for name in step.products:
            column.setdefault(name, after)
    filled: dict[int, int] = {}
    place: dict[str, tuple[int, int]] = {}
    for name, at in column.items():
        place[name] = (10 + at * (WIDTH + GAP), top + ROW * filled.get(at, 0))
        filled[at] = filled.get(at, 0) + 1
    parts = []
    for number, step in enumerate(route.steps, 1):
        ends = [place[name] for name in step.products if name in place]
        x = min(x for x, _ in ends) - GAP // 2
        y = sum(y for _, y in ends) // len(ends) + HEIGHT // 2
        for name in step.reactants:
            a, b = place[name]
            parts.append(_line(a + WIDTH, b + HEIGHT // 2, x, y))
        parts += [_line(x, y, a, b + HEIGHT // 2) for a, b in ends]
        parts.append(
            f'<circle cx="{x}" cy="{y}" r="9" fill="#ffe0b2" stroke="#555"/>'
            f'<text x="{x}" y="{y + 4}" text-anchor="middle">{number}</text>'
            f'<text x="{x}" y="{y - 13}" text-anchor="middle" font-size="9">'
            f"{1000 * step.energy:+.0f}</text>"
        )
    for name, (x, y) in place.items():
        kind = "precursor" if name in precursors else "phase"
        kind = "target" if name == route.target else kind
        kind = "side" if name in route.side_products else kind
        parts.append(
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" '
            f'fill="{COLOURS[kind]}" stroke="#555"/>'
            f'<text x="{x + WIDTH // 2}" y="{y + 19}" text-anchor="middle">{escape(name)}</text>'
        )
    return parts, 10 + (1 + max(filled)) * (WIDTH + GAP), ROW * max(filled.values())


def _line(x: int, y: int, to_x: int, to_y: int) -> str:
    return f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" stroke="#888"/>'

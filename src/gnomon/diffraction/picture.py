"""A picture of an identification, as SVG: observed, calculated, difference, and lines of phases."""

from __future__ import annotations

from html import escape

import numpy as np
from jaxtyping import Float

from gnomon.diffraction.identify import Identification

WIDTH, HEIGHT, LEFT, TOP = 900, 320, 60, 30
"""Of the frame of the pattern, and the margins, in pixels."""

BELOW = 70
"""Pixels of the difference below."""

COLOURS = ("#1b6ca8", "#c0392b", "#2e7d32", "#8e44ad", "#b9770e", "#00796b")
"""Of phases, in turn."""


def draw(found: Identification, name: str) -> str:
    """SVG of an identification; square roots of counts, so that weak peaks are seen.

    Args:
        found: what was found.
        name: of the scan, for the title.
    """
    angle = found.two_theta
    x = LEFT + WIDTH * (angle - angle[0]) / (angle[-1] - angle[0])
    top = float(np.sqrt(max(found.observed.max(), found.calculated.max(), 1e-9)))
    rest = found.observed - found.calculated
    scale = max(float(np.abs(rest).max()), 1e-9)
    middle = TOP + HEIGHT + 16 * len(found.phases) + BELOW // 2 + 10

    def up(counts: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        return TOP + HEIGHT * (1 - np.sqrt(np.maximum(counts, 0)) / top)

    parts = [
        f'<text x="{LEFT}" y="18" font-weight="bold">{escape(name)}: '
        f"{escape(found.message)}</text>",
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#888"/>',
        _line(x, up(found.background), "#bbbbbb"),
        _line(x, up(found.observed), "#333333"),
        _line(x, up(found.calculated), "#e74c3c"),
        _line(x, middle - BELOW / 2 * rest / scale, "#1b6ca8"),
        f'<text x="{LEFT - 6}" y="{middle + 4}" text-anchor="end">difference</text>',
    ]
    for row, phase in enumerate(found.phases):
        y, colour = TOP + HEIGHT + 6 + 16 * row, COLOURS[row % len(COLOURS)]
        places = np.array([line for line in phase.positions if angle[0] < line < angle[-1]])
        at = LEFT + WIDTH * (places - angle[0]) / (angle[-1] - angle[0])
        ticks = "".join(f"M{p:.1f} {y}v10" for p in at)
        parts.append(f'<path d="{ticks}" stroke="{colour}" fill="none"/>')
        parts.append(
            f'<text x="{LEFT + WIDTH + 6}" y="{y + 9}" fill="{colour}">{escape(phase.formula)} '
            f"{100 * phase.weight_fraction:.1f} %</text>"
        )
    for peak in found.unexplained:
        at = LEFT + WIDTH * (peak.two_theta - angle[0]) / (angle[-1] - angle[0])
        parts.append(
            f'<text x="{at:.1f}" y="{TOP + 12}" text-anchor="middle" fill="#c0392b">?</text>'
        )
    bottom = middle + BELOW // 2 + 10
    for tick in range(int(np.ceil(angle[0] / 10)) * 10, int(angle[-1]) + 1, 10):
        at = LEFT + WIDTH * (tick - angle[0]) / (angle[-1] - angle[0])
        parts.append(f'<text x="{at:.1f}" y="{bottom + 12}" text-anchor="middle">{tick}</text>')
    parts.append(
        f'<text x="{LEFT + WIDTH / 2}" y="{bottom + 28}" text-anchor="middle">'
        "2θ, degrees (heights: square root of counts)</text>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 150}" '
        f'height="{bottom + 40}" style="font-family:sans-serif;font-size:12px">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _line(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"], colour: str) -> str:
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="0.8"/>'

"""What a powder of a crystal diffracts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gnomon.diffraction.reflections import Reflections, lorentz, reflections
from gnomon.diffraction.scans import COPPER
from gnomon.explore.panels.shape import Head, Panel, Subject

LOWEST, HIGHEST, WIDTH = 10.0, 90.0, 0.12
"""Angles 2θ of a diffractogram, and the width of its peaks, degrees."""

FAINTEST, STRONGEST = 0.2, 12
"""Percent of the strongest peak below which none is drawn, and how many are listed."""

MOST_VOLUME = 3000.0
"""Å³ of a cell of which a diffractogram is made: reflections grow with the volume."""


def diffractogram(of: Subject) -> Iterator[Panel]:
    """What an X-ray diffractometer would show of its powder."""
    if of.symmetric.volume > MOST_VOLUME:
        return
    wavelength = COPPER[0][0]
    source = reflections(of.crystal, LOWEST, HIGHEST, wavelength)
    angle = source.positions(np.zeros(len(source.modes)), wavelength)
    inside = np.flatnonzero((angle > LOWEST) & (angle < HIGHEST))
    if not len(inside):
        return
    height = source.strength[inside] * lorentz(angle[inside])
    height *= 100 / height.max()
    order = np.argsort(-height)
    spacing = 1 / np.linalg.norm(source.q[inside], axis=1)
    yield Panel(
        "Powder diffraction",
        f"Simulated: Cu Kα1 ({wavelength:.4f} Å), peaks {WIDTH} degrees wide, no texture. "
        "The strongest lines:",
        (Head("h k l"), Head("2θ", "degrees", 3), Head("d", "Å", 4), Head("Intensity", "%", 1)),
        [
            [
                _named(source, int(inside[i])),
                float(angle[inside[i]]),
                float(spacing[i]),
                float(height[i]),
            ]
            for i in order[:STRONGEST]
        ],
        peaks=[
            (round(float(angle[inside[i]]), 3), round(float(height[i]), 2))
            for i in sorted(order[height[order] >= FAINTEST], key=lambda i: angle[inside[i]])
        ],
        further={"lowest": LOWEST, "highest": HIGHEST, "width": WIDTH},
    )


def _named(source: Reflections, family: int) -> str:
    """Indices of the member of a family that is named by custom: few minus signs, falling."""
    members = np.rint(source.members[source.family == family] @ source.lattice.T).astype(int)
    both = [tuple(sign * one) for one in members for sign in (1, -1)]
    best = max(both, key=lambda hkl: (sum(n >= 0 for n in hkl), hkl))
    return " ".join(map(str, best))

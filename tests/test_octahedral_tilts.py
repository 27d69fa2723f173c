"""The worked example of octahedral tilts: angles that were put in are read again."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from octahedral_tilts import alike, perovskite, tilts, turned


@pytest.mark.parametrize("along", [1, -1])
@pytest.mark.parametrize("degrees", [-9.0, 4.0])
def test_angles_come_back_with_their_pattern(degrees, along):
    cubic = perovskite("CsPbI3", 6.3)
    moved = turned(cubic, degrees, along).positions[None] + 2.5
    found = tilts(moved, 6.3, 2)
    assert np.abs(found[..., :2]).max() < 1e-6
    i, j, k = np.indices((2, 2, 2))
    assert found[0, ..., 2] == pytest.approx(degrees * (-1.0) ** (i + j) * float(along) ** k)


def test_neighbours_correlate_along_the_axis_and_not_across_it():
    i, j, k = np.indices((4, 4, 4))
    angles = np.stack([(-1.0) ** (j + k), (-1.0) ** (i + k), (-1.0) ** (i + j)], axis=-1)
    assert alike(angles[None]) == (1.0, -1.0)
    assert alike((angles * (-1.0) ** np.stack([i, j, k], axis=-1))[None]) == (-1.0, -1.0)


def test_a_cubic_crystal_that_drifts_has_no_tilts():
    cubic = perovskite("CsPbI3", 6.3)
    cells = cubic.repeat(3).positions[None] + [0.3, -0.2, 4.0]
    assert np.abs(tilts(cells, 6.3, 3)).max() < 1e-6

"""The liquid of Kob and Andersen: two kinds of particles, molecular dynamics, shear, rest.

Lennard-Jones pairs, cut at 2.5 sigma (Kob and Andersen, Phys. Rev. E 51, 4626 (1995)), 80 A to 20
B, 1.2 particles a unit of volume.  Lengths in sigma of AA, energies in epsilon of AA, masses 1.
Steps are compiled by Numba, as 1e9 moves of particles are needed.
"""

from typing import NamedTuple

import numba
import numpy as np

SIGMA = np.array([[1.0, 0.8], [0.8, 0.88]])
EPSILON = np.array([[1.0, 1.5], [1.5, 0.5]])
CUTOFF = 2.5
"""In sigma of the pair."""

DENSITY = 1.2
SHARE_OF_A = 0.8
STEP = 0.01
"""Time of a step; without a thermostat the energy of a particle then wanders by 1e-3 in 100,000."""

SKINS = (1.4, 0.4)
"""How much further than forces lists of pairs reach: rarely made ones, and those made from them."""

ROOM = 320
"""Neighbours of one kind, at most."""

compiled = numba.njit(cache=True, fastmath=True, error_model="numpy")  # else no vectors of numbers


class Liquid(NamedTuple):
    """Particles, those of A first.

    Attributes:
        places: (3, n), not wrapped into the box.
        n_a: how many are A.
        box: edge.
        tilt: of the box, in edges: what is a box higher lies so much further along x.
    """

    places: np.ndarray
    n_a: int
    box: float
    tilt: float = 0.0

    @property
    def kinds(self) -> np.ndarray:
        """0 for A, 1 for B."""
        return (np.arange(self.places.shape[1]) >= self.n_a).astype(np.int64)


@compiled
def _image(d, inverse):
    """Boxes to take off."""
    return np.rint(d * inverse)


@compiled
def _pairs(r, n_a, box, tilt, reach2, lists, counts):
    """Neighbours of each particle by kind."""
    n = r.shape[1]
    inverse = np.float32(1) / box
    shear = box * tilt
    counts[:] = 0
    d2 = np.empty(n, np.float32)
    for i in range(n):
        for j in range(i + 1, n):
            x, y, z = r[0, i] - r[0, j], r[1, i] - r[1, j], r[2, i] - r[2, j]
            high = _image(y, inverse)
            y -= box * high
            x -= shear * high
            x -= box * _image(x, inverse)
            z -= box * _image(z, inverse)
            d2[j] = x * x + y * y + z * z
        a = 0 if i < n_a else 1
        for j in range(i + 1, n):
            b = 0 if j < n_a else 1
            if d2[j] < reach2[a, b]:
                if counts[b, i] == ROOM or counts[a, j] == ROOM:
                    raise ValueError("too dense: a particle has more neighbours than ROOM")
                lists[b, i, counts[b, i]] = j
                lists[a, j, counts[a, j]] = i
                counts[b, i] += 1
                counts[a, j] += 1


@compiled
def _narrowed(r, box, wide, wide_counts, n_a, reach2, lists, counts):
    """Of the neighbours in wider lists those in reach; the box is upright."""
    inverse = np.float32(1) / box
    for i in range(r.shape[1]):
        a = 0 if i < n_a else 1
        for b in range(2):
            row, out, m = wide[b, i], lists[b, i], 0
            for k in range(wide_counts[b, i]):
                j = row[k]
                x, y, z = r[0, i] - r[0, j], r[1, i] - r[1, j], r[2, i] - r[2, j]
                x -= box * _image(x, inverse)
                y -= box * _image(y, inverse)
                z -= box * _image(z, inverse)
                out[m] = j  # the next one is written over it unless it is in reach
                m += x * x + y * y + z * z < reach2[a, b]
            counts[b, i] = m


@compiled
def _forces(r, n_a, box, tilt, lists, counts, s2, e24, c2, out):
    """Forces; what is beyond the cutoff gives none."""
    inverse = np.float32(1) / box
    shear = box * tilt
    for i in range(r.shape[1]):
        a = 0 if i < n_a else 1
        xi, yi, zi = r[0, i], r[1, i], r[2, i]
        fx, fy, fz = np.float32(0), np.float32(0), np.float32(0)
        for b in range(2):
            s, e, c, row = s2[a, b], e24[a, b], c2[a, b], lists[b, i]
            for k in range(counts[b, i]):
                j = row[k]
                x, y, z = xi - r[0, j], yi - r[1, j], zi - r[2, j]
                high = _image(y, inverse)
                y -= box * high
                x -= shear * high
                x -= box * _image(x, inverse)
                z -= box * _image(z, inverse)
                d2 = x * x + y * y + z * z
                q = s / d2
                q3 = q * q * q
                g = e * q * q3 * (np.float32(2) * q3 - np.float32(1))
                g = g if d2 < c else np.float32(0)
                fx += g * x
                fy += g * y
                fz += g * z
        out[0, i], out[1, i], out[2, i] = fx, fy, fz


@compiled
def _moved(r, at, limit):
    """Whether a particle went further than the lists allow."""
    d2 = np.float32(0)
    for i in range(r.shape[1]):
        x, y, z = r[0, i] - at[0, i], r[1, i] - at[1, i], r[2, i] - at[2, i]
        d2 = max(d2, x * x + y * y + z * z)
    return d2 > limit * limit


@compiled
def _advance(r, v, n_a, box, steps, dt, skins, reaches, s2, e24, c2):
    """Velocity Verlet, masses 1, box upright."""
    tilt = np.float32(0)
    n = r.shape[1]
    wide, lists = np.empty((2, n, ROOM), np.uint32), np.empty((2, n, ROOM), np.uint32)
    wide_counts, counts = np.empty((2, n), np.int64), np.empty((2, n), np.int64)
    f, at, at_wide = np.empty_like(r), r.copy(), r.copy()
    _pairs(r, n_a, box, tilt, reaches[0], wide, wide_counts)
    _narrowed(r, box, wide, wide_counts, n_a, reaches[1], lists, counts)
    _forces(r, n_a, box, tilt, lists, counts, s2, e24, c2, f)
    half, two = dt / np.float32(2), np.float32(2)
    for _ in range(steps):
        v += half * f
        r += dt * v
        if _moved(r, at, skins[1] / two):
            if _moved(r, at_wide, (skins[0] - skins[1]) / two):
                _pairs(r, n_a, box, tilt, reaches[0], wide, wide_counts)
                at_wide[:] = r
            _narrowed(r, box, wide, wide_counts, n_a, reaches[1], lists, counts)
            at[:] = r
        _forces(r, n_a, box, tilt, lists, counts, s2, e24, c2, f)
        v += half * f


@compiled
def _rest(r, n_a, box, tilt, steps, enough, skin, reach2, s2, e24, c2):
    """Downhill by FIRE (Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006)); the largest force."""
    n = r.shape[1]
    lists, counts = np.empty((2, n, ROOM), np.uint32), np.empty((2, n), np.int64)
    f, v, at = np.empty_like(r), np.zeros_like(r), r.copy()
    _pairs(r, n_a, box, tilt, reach2, lists, counts)
    dt, alpha, good, largest = np.float32(0.01), np.float32(0.1), 0, np.float32(0)
    for _ in range(steps):
        if _moved(r, at, skin / np.float32(2)):
            _pairs(r, n_a, box, tilt, reach2, lists, counts)
            at[:] = r
        _forces(r, n_a, box, tilt, lists, counts, s2, e24, c2, f)
        largest = np.sqrt((f * f).sum(axis=0).max())
        if largest < enough:
            break
        if (f * v).sum() > 0:
            v += alpha * (f * np.sqrt((v * v).sum() / (f * f).sum()) - v)
            good += 1
            if good > 5:
                dt = min(dt * np.float32(1.1), np.float32(0.03))
                alpha *= np.float32(0.99)
        else:
            v[:] = 0
            dt, alpha, good = dt * np.float32(0.5), np.float32(0.1), 0
        v += dt * f
        r += dt * v
    return largest


TABLES = tuple(
    np.asarray(table, np.float32)
    for table in (SIGMA**2, 24 * EPSILON / SIGMA**2, (CUTOFF * SIGMA) ** 2)
)


def _reach2(skin: float) -> np.ndarray:
    return np.asarray((CUTOFF * SIGMA + skin) ** 2, np.float32)


def velocities(liquid: Liquid, temperature: float, rng: np.random.Generator) -> np.ndarray:
    """(3, n), drawn from Maxwell's distribution, their sum zero."""
    v = rng.normal(0, np.sqrt(temperature), liquid.places.shape)
    return np.ascontiguousarray(v - v.mean(axis=1, keepdims=True), np.float32)


def run(liquid: Liquid, v: np.ndarray, time: float) -> Liquid:
    """The liquid so much later, without a thermostat; ``v`` changes with it."""
    r = np.array(liquid.places, np.float32)
    settings = (liquid.n_a, np.float32(liquid.box), round(time / STEP), np.float32(STEP))
    reaches = np.stack([_reach2(skin) for skin in SKINS])
    _advance(r, v, *settings, np.asarray(SKINS, np.float32), reaches, *TABLES)
    return liquid._replace(places=r)


def settle(
    liquid: Liquid, temperature: float, time: float, rng: np.random.Generator, every: float = 2.0
) -> Liquid:
    """The liquid after a time at a temperature: velocities are drawn anew every so often."""
    for _ in range(max(1, round(time / every))):
        liquid = run(liquid, velocities(liquid, temperature, rng), min(every, time))
    return liquid


def forces(liquid: Liquid) -> np.ndarray:
    """(3, n)."""
    r, n = np.array(liquid.places, np.float32), liquid.places.shape[1]
    lists, counts = np.empty((2, n, ROOM), np.uint32), np.empty((2, n), np.int64)
    where = (liquid.n_a, np.float32(liquid.box), np.float32(liquid.tilt))
    out = np.empty_like(r)
    _pairs(r, *where, _reach2(0.0), lists, counts)
    _forces(r, *where, lists, counts, *TABLES, out)
    return out


def at_rest(liquid: Liquid, steps: int = 3000, enough: float = 0.01) -> tuple[Liquid, float]:
    """Where the particles come to rest, and the largest force that is left (below ``enough``)."""
    r = np.array(liquid.places, np.float32)
    where = (liquid.n_a, np.float32(liquid.box), np.float32(liquid.tilt))
    settings = (steps, np.float32(enough), np.float32(SKINS[1]), _reach2(SKINS[1]))
    largest = _rest(r, *where, *settings, *TABLES)
    return liquid._replace(places=r), float(largest)


def sheared(liquid: Liquid, by: float) -> Liquid:
    """The liquid with box and particles sheared further: x + by * y."""
    places = np.array(liquid.places, np.float32)
    places[0] += by * places[1]
    return liquid._replace(places=places, tilt=liquid.tilt + by)


def molten(n: int, rng: np.random.Generator) -> Liquid:
    """A liquid at temperature 1 that remembers nothing of the lattice it began on."""
    box = (n / DENSITY) ** (1 / 3)
    side = int(np.ceil(n ** (1 / 3) - 1e-9))
    grid = np.stack(np.meshgrid(*3 * [np.arange(side)], indexing="ij")).reshape(3, -1)
    places = rng.permutation(grid, axis=1)[:, :n] * box / side
    return settle(Liquid(places, round(SHARE_OF_A * n), box), 1.0, 20.0, rng, every=0.5)

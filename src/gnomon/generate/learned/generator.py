"""Candidates from a transformer that learned how known crystals are written.

A crystal is drawn orbit by orbit (``gnomon.models.wyckoff``), symmetric by construction, under
conditions: elements or a formula, a space group, how far above the hull, the range of a property.
Draws with atoms too close, or of a volume that no crystal has, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int64

from gnomon.crystals import Crystals
from gnomon.elements import COVALENT_RADII, MAX_Z, SYMBOLS, atomic_number, excluded
from gnomon.generate import CHUNK, Candidates
from gnomon.generate.chunks import rechunk
from gnomon.generate.random.generator import VOLUME_PER_RADIUS_CUBED, whole_amounts
from gnomon.generate.registry import GeneratorSettings
from gnomon.models.bundled import GENERATOR
from gnomon.models.wyckoff.properties import Property, asked_of, parse_ask
from gnomon.models.wyckoff.rules import Orbits
from gnomon.models.wyckoff.sequences import Conditions, size_of
from gnomon.structure.asymmetric_unit import AsymmetricUnit, expand
from gnomon.structure.neighbors import neighbors

if TYPE_CHECKING:
    from gnomon.models.wyckoff.model import WyckoffModel

SEPARATION = 0.6
"""Smallest distances, in sums of covalent radii: of 24,440 relaxed crystals of the Materials
Project none has a shorter one, 92 have one below 0.7."""

VOLUMES = (0.4, 4.0)
"""Bounds of the volume, in units of ``VOLUME_PER_RADIUS_CUBED``: of those crystals none is denser,
582 are emptier."""

BATCH = 256
"""Crystals drawn together, at most."""

STEP = 64
"""Where few candidates are asked for, so many are drawn together, or a multiple: twice as many as
candidates, as about half of the draws come to one."""

TRIES = 20
"""Draws for each candidate that is asked for, at most."""

OF_SYSTEM = 400
"""Candidates of a campaign's round."""


@dataclass(frozen=True)
class LearnedGenerator:
    """Crystals drawn from a trained transformer.

    Attributes:
        elements: candidates hold no others; None asks for two or more of those not excluded.
        every: each candidate holds all of ``elements``, not some of them.
        formula: candidates are of this reduced formula.
        space_group: international number that is asked for; 0 for any.
        stable: ask for crystals on the hull, as the training data has them.
        ask: properties that are asked for, such as ``band_gap>2``, in the unit of the weights.
            Each draw is for one of the ranges that the weights know and this touches.
        count: candidates.
        max_atoms: of a primitive cell.
        temperature: of elements and positions; below 1 prefers what is likely.
        top_p: the likeliest choices of this probability altogether are drawn from.
        number_temperature: of the widths of cells and coordinates.
        tries: cells and coordinates drawn for the same orbits; the likeliest sensible one is kept.
        exclude: elements that no candidate may hold.
        known: reduced formulas that are not new.
        model: name or file of the weights.

    Raises:
        ValueError: for an element, formula or space group that is none, both elements and a
            formula, sizes below 1, or a temperature or share that is none; and before the first
            draw for a property that the weights do not know.
    """

    elements: tuple[str, ...] | None = None
    every: bool = False
    formula: str | None = None
    space_group: int = 0
    stable: bool = False
    ask: tuple[str, ...] = ()
    count: int = 100
    max_atoms: int = 24
    temperature: float = 0.5
    top_p: float = 0.98
    number_temperature: float = 0.7
    tries: int = 8
    exclude: tuple[str, ...] | None = None
    known: frozenset[str] = frozenset()
    model: str = GENERATOR
    name: ClassVar[str] = "learned"

    def __post_init__(self) -> None:
        for symbol in self.elements or ():
            atomic_number(symbol)
        if self.elements is not None and self.formula is not None:
            raise ValueError("a formula names its elements: give one of the two")
        if self.formula is not None:
            whole_amounts(self.formula)
        if not 0 <= self.space_group <= 230:
            raise ValueError(f"space groups have numbers from 1 to 230, not {self.space_group}")
        if min(self.count, self.max_atoms, self.tries) < 1:
            raise ValueError("count, max_atoms and tries must be at least 1")
        for text in self.ask:
            parse_ask(text)
        if not min(self.temperature, self.number_temperature) > 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperatures must be positive, and top_p lie in 0 to 1")

    def generate(self, parents: Crystals, *, seed: int = 0) -> Iterator[Candidates]:
        """Yield candidates, each once; parents have no influence.

        There are fewer than ``count`` where ``TRIES`` draws for each did not give so many.
        """
        yield from rechunk(self._parts(seed), CHUNK)

    def _parts(self, seed: int) -> Iterator[Candidates]:
        left, seen = self.count, set[bytes]()
        size = min(BATCH, STEP * -(-2 * self.count // STEP))
        for number in range(-(-self.count * TRIES // size)):
            part = self.drawn(seed, number, seen, size)
            part = part.take(np.arange(len(part.crystals)) < left)
            left -= len(part.crystals)
            if len(part.crystals):
                yield part
            if not left:
                break

    def drawn(self, seed: int, number: int, seen: set[bytes], size: int = BATCH) -> Candidates:
        """What is new and sensible in one batch of draws; ``seen`` takes what they are known by."""
        units, scores, _ = self.draws(seed, number, size)
        crystals, changes, kept = [], [], []
        for unit, score in zip(units, scores.tolist(), strict=True):
            key = b"" if unit is None else _key(unit)
            if unit is None or key in seen:
                continue
            seen.add(key)
            crystals.append(expand(unit))
            changes.append(f"space group {unit.space_group}, {len(unit.elements)} orbits")
            kept.append(score)
        made = Candidates.of(
            Crystals.concatenate(crystals), self.name, changes, score=np.array(kept, np.float64)
        )
        good = sensible(made.crystals) if crystals else np.zeros(0, bool)
        if self.known:
            good &= ~np.isin(made.crystals.reduced_formulas.astype(str), list(self.known))
        return made.take(good)

    def draws(
        self, seed: int, number: int = 0, size: int = BATCH
    ) -> tuple[list[AsymmetricUnit | None], Float64[np.ndarray, " n"], Orbits]:
        """All draws of a batch, None where one came to nothing, and their log probabilities."""
        from gnomon.models.wyckoff.sampling import Sharpness, sample

        rng = np.random.default_rng([seed, number])
        told, rules = self._asked(rng, size)
        groups = np.full(size, self.space_group, np.int64)
        sharp = Sharpness(self.temperature, self.top_p, self.number_temperature, self.tries)
        found = sample(self._model.network, told, rules, groups, rng, sharp)
        return _likeliest(found.units, found.log_density), found.log_probability, rules

    @cached_property
    def _model(self) -> WyckoffModel:
        from gnomon.models.wyckoff.model import WyckoffModel

        return WyckoffModel.load(self.model)

    def _asked(self, rng: np.random.Generator, n: int) -> tuple[Conditions, Orbits]:
        """What the network is told of each draw, and what its orbits must obey."""
        needed = np.zeros((n, MAX_Z + 1), bool)
        formula = np.zeros((n, MAX_Z + 1), np.int64)
        if self.formula is not None:
            for z, amount in whole_amounts(self.formula).items():
                formula[:, z] = amount
            needed = formula > 0
        elif self.elements is not None:
            needed = self._subsets(rng, n)
        allowed = needed if needed.any() else np.tile(self._any(), (n, 1))
        shares = np.where(formula.any(), formula, needed).astype(np.float32)
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
        given = 2 if self.formula is not None else int(self.elements is not None)
        told = Conditions(
            shares,
            np.full(n, given, np.int8),
            np.full(n, int(self.stable), np.int8),
            self._values(rng, n),
            np.full(n, size_of(self.max_atoms), np.int8),
        )
        kinds = 1 if given else 2
        return told, Orbits(self._model.tables, allowed, needed, formula, self.max_atoms, kinds)

    @cached_property
    def ranges(self) -> dict[str, tuple[int, ...]]:
        """Which ranges of each property that is asked for, from 1 on."""
        return asked_of(self.ask, self._known)

    @cached_property
    def _known(self) -> tuple[Property, ...]:
        card = self._model.card
        return card.properties if card else ()

    def _values(self, rng: np.random.Generator, n: int) -> Int8[np.ndarray, "n p"]:
        """The range of each property for each draw; of several all alike."""
        found = np.zeros((n, len(self._known)), np.int8)
        for k, one in enumerate(self._known):
            ranges = self.ranges.get(one.name, (0,))
            found[:, k] = ranges[0] if len(ranges) == 1 else rng.choice(ranges, n)
        return found

    def _any(self) -> Bool[np.ndarray, " 119"]:
        """Elements that the model knows and that are not excluded."""
        may = self._model.seen.copy()
        may[[SYMBOLS.index(symbol) for symbol in excluded(None, self.exclude)]] = False
        return may

    def _subsets(self, rng: np.random.Generator, n: int) -> Bool[np.ndarray, "n 119"]:
        """Elements of each draw: all that are asked for, or two or more of them."""
        own = [atomic_number(symbol) for symbol in self.elements or ()]
        least = len(own) if self.every else min(2, len(own))
        sets = [s for k in range(least, min(len(own), 4) + 1) for s in combinations(own, k)]
        found = np.zeros((n, MAX_Z + 1), bool)
        for row, chosen in enumerate(rng.integers(len(sets), size=n).tolist()):
            found[row, list(sets[chosen])] = True
        return found


def make(settings: GeneratorSettings) -> LearnedGenerator:
    """The generator of a campaign: crystals on the hull of two or more of its elements."""
    elements = tuple(s for s in settings.system if s not in settings.exclude)
    return LearnedGenerator(
        elements,
        stable=True,
        ask=settings.ask,
        count=OF_SYSTEM,
        max_atoms=settings.max_atoms,
        exclude=settings.exclude,
        known=settings.known,
    )


def _likeliest(
    tries: list[list[AsymmetricUnit | None]], log_density: Float64[np.ndarray, "tries n"]
) -> list[AsymmetricUnit | None]:
    """Of all tries of a draw the likeliest sensible one, or the likeliest where none is."""
    order = np.argsort(-log_density, axis=0, kind="stable")
    chosen: list[AsymmetricUnit | None] = [None] * log_density.shape[1]
    settled = np.zeros(len(chosen), bool)
    for t in range(len(tries)):
        rows = [r for r in np.flatnonzero(~settled).tolist() if tries[order[t, r]][r] is not None]
        if not rows:
            continue
        units = [tries[order[t, r]][r] for r in rows]
        good = sensible(Crystals.concatenate([expand(u) for u in units if u is not None]))
        for row, unit, fits in zip(rows, units, good.tolist(), strict=True):
            settled[row] = fits
            if fits or chosen[row] is None:
                chosen[row] = unit
    return chosen


def sensible(crystals: Crystals) -> Bool[np.ndarray, " n"]:
    """Which crystals have atoms apart and a volume such as crystals have."""
    cubes = np.add.reduceat(COVALENT_RADII[crystals.atomic_numbers] ** 3, crystals.offsets[:-1])
    ratio = crystals.volumes / (VOLUME_PER_RADIUS_CUBED * cubes)
    good = (ratio >= VOLUMES[0]) & (ratio <= VOLUMES[1])
    rows = np.flatnonzero(good)
    if not len(rows):
        return good
    some = crystals.take(rows)
    radii = SEPARATION * COVALENT_RADII[some.atomic_numbers]
    found = neighbors(some, float(2 * radii.max()))
    close = found.distances < radii[found.receivers] + radii[found.senders]
    good[rows[some.crystal_index[found.receivers[close]]]] = False
    return good


def _key(unit: AsymmetricUnit) -> bytes:
    """The same for draws that differ by less than a relaxation undoes."""
    steps = np.rint(unit.coordinates * 20).astype(np.int64) % 20
    whole: list[Int64[np.ndarray, ...]] = [unit.elements, unit.positions, steps]
    return b"".join([bytes([unit.space_group]), *(part.tobytes() for part in whole)])

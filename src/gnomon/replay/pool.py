"""The pool: crystals whose energies are known but hidden, and what is known before the replay.

A replay needs three sets in at most two energy schemes: crystals to learn from, the phases of the
known hull, and the pool.  Strategies see ``Pool``, which holds no energy of the pool's crystals;
the energies lie in ``Answers``, which hands them out index by index.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gnomon.crystals import Crystals
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, missing_elements
from gnomon.learn.card import sha256_of_arrays
from gnomon.models.card import Labelled

MIN_POOL = 2
"""A choice among fewer crystals than this is none."""


@dataclass(frozen=True, eq=False)
class Pool:
    """What a strategy may see of the pool: no energy of its crystals is in here.

    Attributes:
        crystals: n crystals to choose from.
        hull_energy: of the known phases at each composition, eV/atom.
        known: labelled crystals to learn from; none of them is in the pool.
        scheme: energy scheme of the answers, which may differ from that of ``known``.
    """

    crystals: Crystals
    hull_energy: Float64[np.ndarray, " n"]
    known: Labelled
    scheme: str

    def __len__(self) -> int:
        """Number of crystals."""
        return len(self.crystals)


class Answers:
    """The hidden energies of a pool; asking for some of them is what a strategy pays for."""

    def __init__(self, formation_energy_per_atom: Float64[np.ndarray, " n"]) -> None:
        """Hide the energies (eV/atom)."""
        self._energies = np.array(formation_energy_per_atom, np.float64)

    def reveal(self, index: Int64[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
        """The energies of these rows, eV/atom."""
        return self._energies[index]


@dataclass(frozen=True, eq=False)
class Truth:
    """Who is stable; to be looked at only when the choices are made.

    Attributes:
        e_above_known: above the hull of the known phases alone, eV/atom; below 0 breaks that hull.
        e_above_final: above the hull of the known phases and the whole pool, eV/atom.
        threshold: eV/atom at or below which a crystal counts as stable.
    """

    e_above_known: Float64[np.ndarray, " n"]
    e_above_final: Float64[np.ndarray, " n"]
    threshold: float

    @property
    def stable_known(self) -> Bool[np.ndarray, " n"]:
        """Stable against what was known before."""
        return self.e_above_known <= self.threshold

    @property
    def stable_final(self) -> Bool[np.ndarray, " n"]:
        """Stable against the pool's other crystals as well."""
        return self.e_above_final <= self.threshold

    def stable_if_shifted(self, shift: float) -> int:
        """Crystals stable against the known hull if all the pool lay so many eV/atom higher."""
        return int((self.e_above_known + shift <= self.threshold).sum())


@dataclass(frozen=True, eq=False)
class Replay:
    """A pool with its answers and the truth about it, and what was left out to make it."""

    pool: Pool
    answers: Answers
    truth: Truth
    left_out: dict[str, int]
    elements_at_zero: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Of everything that a run depends on: crystals, energies, hull."""
        pool, known = self.pool, self.pool.known
        ids = [np.array(crystals.ids.tolist()) for crystals in (pool.crystals, known.crystals)]
        energies = self.answers.reveal(np.arange(len(pool))), known.values, pool.hull_energy
        return sha256_of_arrays([*ids, *energies, np.array([known.scheme, pool.scheme])])


def make_replay(
    pool: Labelled, known: Labelled, phases: Phases | None = None, *, threshold: float = 0.0
) -> Replay:
    """A replay: pool crystals hidden, known ones to learn from, the hull of the known phases.

    Repeated crystals of the pool count once, and known crystals that are in the pool are left out
    of what is learned from: they would give answers away.  An element without a phase of its own
    gets one at 0 eV/atom, which is what the formation energy of a ground state is.

    Args:
        pool: crystals whose energies are to be hidden.
        known: crystals to learn from.
        phases: of the known hull; the known crystals themselves if None.
        threshold: e_above_hull up to which a crystal counts as stable, eV/atom.

    Raises:
        ValueError: if fewer than two crystals are left to choose from, nothing is known, or the
            threshold is not finite.
    """
    if not np.isfinite(threshold):
        raise ValueError(f"the threshold is {threshold}: give eV/atom, as in 0 or 0.05")
    first = np.unique(pool.crystals.ids.astype(str), return_index=True)[1]
    hidden = pool.take(np.sort(first))
    learned = known.take(~np.isin(known.crystals.ids, hidden.crystals.ids))
    if len(hidden) < MIN_POOL:
        raise ValueError(f"a pool of {len(hidden)} crystals leaves nothing to choose: give more")
    if not len(learned):
        raise ValueError(
            "no known crystal is outside of the pool: give labelled crystals to learn from"
        )
    reference = phases or Phases(
        learned.crystals.ids, learned.crystals.composition, learned.values, learned.scheme
    )
    composition = hidden.crystals.composition.astype(np.float64)
    at_zero = missing_elements(reference, composition)
    hull = Hull(Phases.concatenate([reference, at_zero]))
    energies = hidden.values
    own = Phases(hidden.crystals.ids, composition, energies, reference.scheme)
    truth = Truth(
        hull.e_above_hull(composition, energies),
        hull.with_phases(own).e_above_hull(composition, energies),
        threshold,
    )
    left_out = {
        "repeated in the pool": len(pool) - len(hidden),
        "known crystals that are in the pool": len(known) - len(learned),
    }
    seen = Pool(hidden.crystals, hull.energy(composition), learned, pool.scheme)
    return Replay(seen, Answers(energies), truth, left_out, tuple(at_zero.ids.tolist()))


def split_by_year(
    crystals: Labelled, year: Float64[np.ndarray, " n"], learn_until: int
) -> tuple[Labelled, Labelled]:
    """(pool, known): crystals reported after a year, and those reported up to it.

    Crystals without a year (NaN) are in neither.

    Raises:
        ValueError: if either side is empty.
    """
    before, after = year <= learn_until, year > learn_until
    if not before.any() or not after.any():
        dated = year[np.isfinite(year)]
        span = f"{dated.min():.0f} to {dated.max():.0f}" if len(dated) else "missing throughout"
        raise ValueError(
            f"learning until {learn_until} leaves {int(before.sum())} crystals to learn from and "
            f"{int(after.sum())} to find; years are {span}: choose a year within"
        )
    return crystals.take(after), crystals.take(before)

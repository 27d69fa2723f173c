"""Candidates: the phases that a scan is held against, and how well their cells are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.crystals import Crystals
from gnomon.diffraction.reflections import Reflections, reflections
from gnomon.diffraction.scans import Scan
from gnomon.elements import SYMBOLS

COMPUTED = (0.012, 0.012)
"""One sigma of the lengths of computed cells: all alike, and each mode of its own.  Cells by PBE
are 0 to 3 % too long (Zhang et al., New J. Phys. 20, 063020 (2018))."""

MEASURED = (0.003, 0.002)
"""The same of measured cells: temperature and solid solution."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Crystals that may be in a powder.

    Attributes:
        crystals: n of them.
        measured: (n,), whether the cell is a measured one and not a computed one.
        e_above_hull: (n,), eV/atom; nan where it is not known.
        labels: (n,), where each comes from, for people.
    """

    crystals: Crystals
    measured: Bool[np.ndarray, " n"]
    e_above_hull: Float[np.ndarray, " n"]
    labels: tuple[str, ...]
    _known: dict[tuple[float, float, float], tuple[Reflections, ...]] = field(
        default_factory=dict, repr=False
    )

    @classmethod
    def of(
        cls,
        crystals: Crystals,
        *,
        measured: bool | Sequence[bool] = False,
        e_above_hull: Sequence[float] | None = None,
        labels: Sequence[str] | None = None,
    ) -> Candidates:
        """Candidates of crystals.

        Args:
            crystals: n of them.
            measured: whether cells are measured.
            e_above_hull: eV/atom.
            labels: ids of the crystals if not given.
        """
        n = len(crystals)
        above = np.full(n, np.nan) if e_above_hull is None else np.asarray(e_above_hull, float)
        names = crystals.ids.tolist() if labels is None else [str(label) for label in labels]
        return cls(crystals, np.broadcast_to(np.asarray(measured, bool), (n,)), above, tuple(names))

    def __len__(self) -> int:
        """Candidates."""
        return len(self.crystals)

    def take(self, index: Sequence[int] | Int[np.ndarray, " k"]) -> Candidates:
        """Some of them."""
        at = np.asarray(index, int)
        return Candidates(
            self.crystals.take(at),
            self.measured[at],
            self.e_above_hull[at],
            tuple(self.labels[i] for i in at),
        )

    def __add__(self, other: Candidates) -> Candidates:
        """Both, these first."""
        return Candidates(
            Crystals.concatenate([self.crystals, other.crystals]),
            np.concatenate([self.measured, other.measured]),
            np.concatenate([self.e_above_hull, other.e_above_hull]),
            self.labels + other.labels,
        )

    def within(self, elements: Sequence[str]) -> Candidates:
        """Those that hold no other elements."""
        allowed = np.zeros(self.crystals.composition.shape[1], bool)
        allowed[[SYMBOLS.index(symbol) for symbol in elements]] = True
        return self.take(np.flatnonzero(~(self.crystals.composition[:, ~allowed] > 0).any(1)))

    def reflections(self, scan: Scan) -> tuple[Reflections, ...]:
        """Reflections of all in the range of a scan; kept, as many scans are of one instrument."""
        lowest, highest = round(scan.two_theta[0] - 0.5), round(scan.two_theta[-1] + 0.5)
        key = (float(max(lowest, 1)), float(highest), scan.lines[0][0])
        if key not in self._known:
            self._known[key] = tuple(reflections(one, *key) for one in self.crystals)
        return self._known[key]

    def prior(self, i: int, modes: int) -> Float[np.ndarray, " modes"]:
        """One sigma of each strain of a candidate."""
        uniform, own = MEASURED if self.measured[i] else COMPUTED
        return np.array([uniform] + [own] * (modes - 1))

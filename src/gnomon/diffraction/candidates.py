"""Candidates: the phases that a scan is held against, and how well their cells are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.chemistry.gases import GASES
from gnomon.crystals import Crystals
from gnomon.diffraction.reflections import Reflections, reflections
from gnomon.diffraction.scans import Scan
from gnomon.elements import SYMBOLS

COMPUTED = (0.01, 0.012)
"""One sigma of the lengths of computed cells: all alike, and each mode of its own."""

PBE = 0.01
"""Part by which lengths of cells by PBE, and by potentials that learned them, are too long
(Haas, Tran, Blaha, Phys. Rev. B 79, 085104 (2009), 60 solids)."""

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
        too_long: (n,), part by which the lengths of its cell are expected to be too long.
    """

    crystals: Crystals
    measured: Bool[np.ndarray, " n"]
    e_above_hull: Float[np.ndarray, " n"]
    labels: tuple[str, ...]
    too_long: Float[np.ndarray, " n"]
    _known: dict[tuple[float, float, float], tuple[Reflections, ...]] = field(
        default_factory=dict, repr=False
    )

    @classmethod
    def of(
        cls,
        crystals: Crystals,
        *,
        measured: bool | Sequence[bool] = False,
        e_above_hull: Sequence[float] | Float[np.ndarray, " n"] | None = None,
        labels: Sequence[str] | None = None,
        too_long: float = 0.0,
    ) -> Candidates:
        """Candidates of crystals.

        Args:
            crystals: n of them.
            measured: whether cells are measured.
            e_above_hull: eV/atom.
            labels: ids of the crystals if not given.
            too_long: part by which lengths are too long: ``PBE`` for cells by that functional.
        """
        n = len(crystals)
        above = np.full(n, np.nan) if e_above_hull is None else np.asarray(e_above_hull, float)
        names = crystals.ids.tolist() if labels is None else [str(label) for label in labels]
        known = np.broadcast_to(np.asarray(measured, bool), (n,))
        return cls(crystals, known, above, tuple(names), np.full(n, float(too_long)))

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
            self.too_long[at],
        )

    def __add__(self, other: Candidates) -> Candidates:
        """Both, these first."""
        return Candidates(
            Crystals.concatenate([self.crystals, other.crystals]),
            np.concatenate([self.measured, other.measured]),
            np.concatenate([self.e_above_hull, other.e_above_hull]),
            self.labels + other.labels,
            np.concatenate([self.too_long, other.too_long]),
        )

    def within(self, elements: Sequence[str]) -> Candidates:
        """Those that hold no other elements."""
        allowed = np.zeros(self.crystals.composition.shape[1], bool)
        allowed[[SYMBOLS.index(symbol) for symbol in elements]] = True
        return self.take(np.flatnonzero(~(self.crystals.composition[:, ~allowed] > 0).any(1)))

    def solid(self) -> Candidates:
        """Those that are no gas or water at room temperature."""
        formulas = self.crystals.reduced_formulas
        return self.take([i for i, formula in enumerate(formulas) if formula not in GASES])

    def reflections(self, scan: Scan) -> tuple[Reflections, ...]:
        """Reflections of all in the range of a scan; kept, as many scans are of one instrument."""
        lowest, highest = round(scan.two_theta[0] - 0.5), round(scan.two_theta[-1] + 0.5)
        key = (float(max(lowest, 1)), float(highest), scan.lines[0][0])
        if key not in self._known:
            shrunk = self.crystals.lattice * (1 - self.too_long)[:, None, None]
            cells = self.crystals.with_lattice(shrunk)
            self._known[key] = tuple(reflections(one, *key) for one in cells)
        return self._known[key]

    def prior(self, i: int, modes: int) -> Float[np.ndarray, " modes"]:
        """One sigma of each strain of a candidate."""
        uniform, own = MEASURED if self.measured[i] else COMPUTED
        return np.array([uniform] + [own] * (modes - 1))

"""The distinct polymorphs of each composition, from its best crystals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from gnomon.crystals import Crystals
from gnomon.run.listener import Listener
from gnomon.structure.match_graph import components
from gnomon.structure.matching import Matcher

BEST = 100
"""Crystals of a composition that are compared (Merchant et al., Nature 624, 80 (2023), Methods)."""


@dataclass(frozen=True)
class Polymorph:
    """One polymorph: crystals of a composition that are connected by matches.

    Attributes:
        representative: index of its crystal of lowest energy.
        members: indices of all its crystals that were compared, by rising energy.
        energy_per_atom: eV/atom of the representative; NaN where no member has an energy.
        energy_above_lowest: eV/atom above the lowest crystal of the composition; NaN likewise.
    """

    representative: int
    members: tuple[int, ...]
    energy_per_atom: float
    energy_above_lowest: float


def polymorphs(
    crystals: Crystals,
    energy_per_atom: Float[np.ndarray, " n"],
    *,
    best: int = BEST,
    window: float = np.inf,
    matcher: Matcher | None = None,
    listener: Listener | None = None,
) -> list[Polymorph]:
    """The polymorphs of each reduced formula, formulas in order of appearance, lowest first.

    Args:
        crystals: of any compositions.
        energy_per_atom: (n,), eV/atom, of one energy scheme, total or of formation; NaN where it
            is not known, which counts as higher than any.
        best: crystals of a composition that are compared, those of lowest energy.
        window: eV/atom above the lowest crystal of the composition beyond which crystals are not
            compared; those without an energy are.
        matcher: tolerances.
        listener: hears of progress.

    Raises:
        ValueError: if the energies are not one a crystal, or ``best`` or ``window`` is negative.
    """
    if len(energy_per_atom) != len(crystals):
        raise ValueError(f"{len(energy_per_atom)} energies for {len(crystals)} crystals")
    if best < 1 or not window >= 0:
        raise ValueError(f"best={best} must be at least 1, and window={window} at least 0 eV/atom")
    groups: dict[str, list[int]] = {}
    for i, formula in enumerate(crystals.reduced_formulas.tolist()):
        groups.setdefault(formula, []).append(i)
    chosen = [_best(np.array(rows), energy_per_atom, best, window) for rows in groups.values()]
    considered = np.concatenate([np.zeros(0, np.int64), *chosen])
    same = components(crystals.take(considered), matcher, listener)
    members: dict[int, list[int]] = {}
    for i, component in zip(considered.tolist(), same.tolist(), strict=True):
        members.setdefault(component, []).append(i)
    lowest = {
        formula: float(energy_per_atom[rows[0]])
        for formula, rows in zip(groups, chosen, strict=True)
    }
    return [
        Polymorph(
            representative=rows[0],
            members=tuple(rows),
            energy_per_atom=float(energy_per_atom[rows[0]]),
            energy_above_lowest=float(energy_per_atom[rows[0]])
            - lowest[crystals.reduced_formulas[rows[0]]],
        )
        for rows in members.values()
    ]


def _best(
    rows: Int64[np.ndarray, " k"],
    energy_per_atom: Float[np.ndarray, " n"],
    best: int,
    window: float,
) -> Int64[np.ndarray, " b"]:
    """The crystals of a composition that are compared, by rising energy, NaN last."""
    rising = rows[np.argsort(energy_per_atom[rows], kind="stable")]
    above = energy_per_atom[rising] - energy_per_atom[rising[0]]
    return rising[~(above > window)][:best]

"""Open systems: crystals in contact with a gas or a metal that gives and takes elements freely.

Where a reservoir fixes the chemical potential mu_i of some elements, not the energy but the grand
potential of the other atoms is lowest in equilibrium,

    Phi_p = (N_p E_p - sum_open n_pi mu_i) / N_p,closed

in eV per atom of the closed elements (Ong et al., Chem. Mater. 20, 1798 (2008), equation 5).  It is
linear in the mixture, so its hull is the ordinary hull of phases without their open elements:
``open_to`` makes these phases, and every question of a ``Hull`` can be asked of them.  A metal
anode is a reservoir too, at the potential of the metal (Zhu, He, Mo, ACS Appl. Mater. Interfaces 7,
23685 (2015)).

    >>> import numpy as np
    >>> from gnomon.hull.phases import compositions
    >>> formulas = ["Li", "P", "S", "Li3P", "Li2S", "Li3PS4"]
    >>> energies = np.array([0, 0, 0, -0.90, -1.50, -0.98])
    >>> phases = Phases(np.array(formulas, object), compositions(formulas), energies, "demo")
    >>> (reaction,) = reactions(Hull(phases), ["Li3PS4"], metal_potential(Hull(phases), "Li"))
    >>> reaction.products, reaction.taken_up
    ((('Li2S', 4.0), ('Li3P', 1.0)), (('Li', 8.0),))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gnomon.elements import MAX_Z, atomic_number, parse_system
from gnomon.hull.convex import ROUND_OFF, Hull
from gnomon.hull.phases import ON_HULL, Phases, compositions, reduced_formulas

DIGITS = 9
"""Decimals to which amounts of a reaction are given."""


def open_to(phases: Phases, chemical_potentials: Mapping[str, float]) -> Phases:
    """Phases of the closed elements alone, with grand potentials for energies.

    Phases that hold open elements only are left out.  The scheme's name says what is open, so that
    such phases never meet others on one hull.

    Args:
        phases: of the closed system.
        chemical_potentials: eV/atom of each open element, relative to its reference.

    Raises:
        ValueError: if nothing is open, a name is no element or a potential is not finite.
    """
    if not chemical_potentials:
        raise ValueError("no open element: give the chemical potential of at least one")
    mu = np.zeros(MAX_Z + 1)
    for symbol, potential in chemical_potentials.items():
        if not np.isfinite(potential):
            raise ValueError(f"the chemical potential of {symbol} is {potential}: give a number")
        mu[atomic_number(symbol)] = potential
    closed = _without(phases.composition, chemical_potentials)
    left = closed.any(axis=1)
    energy = phases.formation_energy_per_atom * phases.composition.sum(axis=1)
    grand = (energy - phases.composition @ mu)[left] / closed[left].sum(axis=1)
    reservoirs = ", ".join(f"{s} at {e:+.4f} eV" for s, e in sorted(chemical_potentials.items()))
    return Phases(phases.ids[left], closed[left], grand, f"{phases.scheme}, open to {reservoirs}")


def metal_potential(hull: Hull, metal: str) -> dict[str, float]:
    """The chemical potential (eV/atom) of an element that is there in excess, as an anode is.

    Raises:
        MissingElementError: if the element has no phase of its own.
    """
    return {metal: float(hull.energy(compositions([metal]))[0])}


@dataclass(frozen=True)
class OpenStability:
    """What a reservoir does to one composition.

    Attributes:
        reduced_formula: the composition.
        id: its lowest phase; None where the hull holds no phase of this composition.
        e_above_hull: of that phase, eV per atom of the closed elements; None where there is none.
        reaction_energy: of that phase to the products, eV per atom of the formula, at most 0; None
            where there is none.
        products: (reduced formula, formula units per formula unit) in equilibrium, largest first.
        taken_up: (element, atoms per formula unit) from the reservoir; negative if given off.
    """

    reduced_formula: str
    id: str | None
    e_above_hull: float | None
    reaction_energy: float | None
    products: tuple[tuple[str, float], ...]
    taken_up: tuple[tuple[str, float], ...]

    @property
    def stable(self) -> bool:
        """Whether the phase stays as it is in contact with the reservoir."""
        return self.e_above_hull is not None and self.e_above_hull <= ON_HULL


def reactions(
    hull: Hull, formulas: Sequence[str], chemical_potentials: Mapping[str, float]
) -> tuple[OpenStability, ...]:
    """What becomes of each formula in contact with the reservoirs.

    Args:
        hull: of the closed system.
        formulas: such as Li7La3Zr2O12.
        chemical_potentials: eV/atom of each open element, relative to its reference.

    Raises:
        MissingElementError: if a closed element has no phase of its own.
        ValueError: if a formula holds open elements only, and as ``open_to``.
    """
    composition = compositions(formulas)
    closed = _without(composition, chemical_potentials)
    for formula, row in zip(formulas, closed, strict=True):
        if not row.any():
            names = ", ".join(chemical_potentials)
            raise ValueError(f"{formula} holds no other element than {names}, which are open")
    of_grand = np.flatnonzero(_without(hull.phases.composition, chemical_potentials).any(axis=1))
    grand = Hull(open_to(hull.phases, chemical_potentials))
    rows, shares = grand.mixtures(closed)
    lowest = hull.find(composition)
    there = np.flatnonzero(lowest >= 0)
    itself = open_to(hull.phases.take(lowest[there]), chemical_potentials)
    above = np.full(len(formulas), np.nan)
    above[there] = grand.e_above_hull(itself.composition, itself.formation_energy_per_atom)
    return tuple(
        _answer(
            hull.phases.take(of_grand[rows[i]]),
            shares[i],
            composition[i],
            None if lowest[i] < 0 else (hull.phases.ids[lowest[i]], float(above[i])),
            chemical_potentials,
        )
        for i in range(len(formulas))
    )


def _without(
    composition: Float64[np.ndarray, "n 119"], elements: Iterable[str]
) -> Float64[np.ndarray, "n 119"]:
    rest = composition.copy()
    rest[:, [atomic_number(symbol) for symbol in elements]] = 0.0
    return rest


def _answer(
    products: Phases,
    shares: Float64[np.ndarray, " w"],
    composition: Float64[np.ndarray, " 119"],
    phase: tuple[str, float] | None,
    open_: Iterable[str],
) -> OpenStability:
    """The answer for one composition: its products by their shares of the closed atoms.

    ``phase`` is the id and the distance to the hull of its lowest phase.
    """
    formula, *names = reduced_formulas(
        np.concatenate([composition[None], products.composition])
    ).tolist()
    unit, *units = compositions([formula, *names])
    (n_closed,) = _without(unit[None], open_).sum(axis=1)
    amounts = {
        name: share * n_closed / _without(part[None], open_).sum()
        for name, share, part in zip(names, shares.tolist(), units, strict=True)
        if share > ROUND_OFF
    }
    formed = sum(amount * compositions([name])[0] for name, amount in amounts.items())
    taken = {symbol: (formed - unit)[atomic_number(symbol)] for symbol in open_}
    return OpenStability(
        reduced_formula=formula,
        id=None if phase is None else phase[0],
        e_above_hull=None if phase is None else phase[1],
        reaction_energy=None if phase is None else 0.0 - phase[1] * n_closed / unit.sum(),
        products=tuple(
            (name, round(float(amount), DIGITS))
            for name, amount in sorted(amounts.items(), key=lambda item: -item[1])
        ),
        taken_up=tuple((symbol, round(float(n), DIGITS) + 0.0) for symbol, n in taken.items()),
    )


def open_answers(
    hull: Hull,
    queries: Sequence[str],
    chemical_potentials: Mapping[str, float],
    *,
    window: float = 0.0,
) -> tuple[OpenStability, ...]:
    """``reactions`` of formulas and of chemical systems.

    A system stands for its compositions within ``window`` (eV per atom of the closed elements) of
    the open hull, by rising distance.

    Raises:
        MissingElementError: if a closed element has no phase of its own.
        ValueError: as ``reactions``, or if a text is neither a formula nor a system.
    """
    answers: list[OpenStability] = []
    for text in queries:
        if "-" not in text:
            answers += reactions(hull, [text], chemical_potentials)
            continue
        phases = hull.phases.take(hull.members(parse_system(text)))
        closed = _without(phases.composition, chemical_potentials).any(axis=1)
        formulas = sorted(set(phases.reduced_formulas[closed].tolist()))
        found = reactions(hull, formulas, chemical_potentials)
        limit = max(window, ON_HULL)
        near = [row for row in found if row.e_above_hull is not None and row.e_above_hull <= limit]
        answers += sorted(near, key=lambda row: (row.e_above_hull or 0.0, row.reduced_formula))
    return tuple(answers)

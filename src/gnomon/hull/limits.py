"""Chemical potentials between which a phase is stable."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from gnomon.elements import SYMBOLS
from gnomon.hull.convex import Hull
from gnomon.hull.phases import ON_HULL, atom_fractions, compositions
from gnomon.hull.simplex import HIGHS_TOLERANCE


def chemical_potential_limits(
    hull: Hull, formula: str, of: Collection[str] | None = None
) -> dict[str, tuple[float, float]]:
    """Lowest and highest chemical potential of each element at which a phase is stable.

    The potentials that keep the phase p in equilibrium, with no phase q of its chemical system
    below it,

        sum_i x_pi mu_i = E_p,    sum_i x_qi mu_i <= E_q,

    are a polytope (Zhang, Northrup, Phys. Rev. Lett. 67, 2339 (1991)); the limits are its extent
    along each axis, found by linear programs.

    Args:
        hull: of the competing phases.
        formula: its lowest phase must lie on the hull.
        of: elements that are asked about; all of the formula by default.

    Returns:
        {element: (lowest, highest)}, eV/atom relative to the element's reference.

    Raises:
        MissingElementError: if an element has no phase of its own.
        ValueError: if no phase of the formula lies on the hull.
    """
    # a tenth of a second that the command line need not pay
    from scipy.optimize import linprog

    composition = compositions([formula])
    hull_energy = float(hull.energy(composition)[0])
    row = int(hull.find(composition)[0])
    above = np.inf if row < 0 else hull.phases.formation_energy_per_atom[row] - hull_energy
    if above > ON_HULL:
        state = "is not among the phases" if row < 0 else f"lies {above:.4f} eV/atom above the hull"
        raise ValueError(f"{formula} {state}: only stable phases have chemical potential limits")
    elements = np.flatnonzero(composition[0])
    symbols = [SYMBOLS[z] for z in elements]
    rows = hull.members(symbols)
    shares = atom_fractions(hull.phases.composition[rows])[:, elements]
    limits = {}
    for i, symbol in enumerate(symbols):
        if of is not None and symbol not in of:
            continue
        ends = []
        for sign in (1.0, -1.0):
            tolerances = ("primal_feasibility_tolerance", "dual_feasibility_tolerance")
            solution = linprog(
                sign * np.eye(len(elements))[i],
                A_ub=shares,
                b_ub=hull.phases.formation_energy_per_atom[rows],
                A_eq=atom_fractions(composition)[:, elements],
                b_eq=[hull_energy],
                bounds=(None, None),
                method="highs",
                options=dict.fromkeys(tolerances, HIGHS_TOLERANCE),
            )
            if solution.status != 0:
                raise RuntimeError(f"HiGHS could not find the limits of {symbol} in {formula}")
            ends.append(sign * float(solution.fun) + 0.0)
        limits[symbol] = (ends[0], ends[1])
    return limits

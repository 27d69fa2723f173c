"""The convex hull of formation energies over many chemical systems at once.

The hull energy of a composition x is the lowest energy that any mixture of phases reaches there,

    E_hull(x) = min_w  sum_p w_p E_p    with    sum_p w_p x_p = x,  w_p >= 0,

x_p being the atom fractions of phase p, E_p its formation energy in eV/atom and w_p its share of
the atoms (Ong et al., Chem. Mater. 20, 1798 (2008)).  Each query is a linear program over the
phases of its own chemical system, solved by the thousand (``gnomon.hull.simplex``); unlike facet
enumeration this does not slow down sharply with the number of elements.

Around it: ``chemical_potential_limits``, hulls that grow (``Hull.with_phases``), and crystals in
contact with gases and metals (``reactions``, ``open_to``, ``element_potentials``).

    >>> import numpy as np
    >>> from gnomon.hull.convex import Hull
    >>> from gnomon.hull.phases import Phases, compositions
    >>> formulas = ["Au", "Cu", "AuCu", "AuCu3"]
    >>> energies = np.array([0.0, 0.0, -0.05, -0.02])
    >>> phases = Phases(np.array(formulas, object), compositions(formulas), energies, "demo")
    >>> hull = Hull(phases)
    >>> hull.e_above_hull(phases.composition, phases.formation_energy_per_atom).round(6).tolist()
    [0.0, 0.0, 0.0, 0.005]
    >>> hull.decomposition(compositions(["AuCu3"]))
    [{'Cu': 0.5, 'AuCu': 0.5}]
"""

"""How to make a crystal: Gibbs energies, reactions, routes and recipes.

Gibbs energies of solids come from formation energies of one scheme and a descriptor
(``gnomon.synthesis.thermo``), those of gases from tables; reactions are balanced in whole numbers
(``balance``) and found on the hull at a temperature (``reactions``); a network of them gives routes
from precursors to a target (``routes``); published syntheses give recipes (``recipe``).
"""

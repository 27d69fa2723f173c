"""A laboratory that learns: what to mix and how hot, from the outcomes of what was tried.

The crucible (``crucible``) is what solids are in open air: their atoms without those that the gas
gives and takes.  Precursor sets are all ways to weigh a target in (``sets``).  A furnace that is
simulated (``furnace``, its laws in ``kinetics``) or a real one gives outcomes.
"""

"""Verification: the best finds of a campaign, evaluated anew at a higher level of theory.

A find holds at that level if it is on the hull of all its competing phases, every one evaluated in
the same energy scheme.  Finds whose calculation failed stay in the denominator.
"""

"""Verification: the best finds of a campaign, evaluated anew at a higher level of theory.

A find holds at that level if it is on the hull of all its competing phases, every one evaluated in
the same energy scheme.  Finds whose calculation failed stay in the denominator.
"""

from gnomon.verify.plan import MARGIN, Plan, Target, plan
from gnomon.verify.run import evaluate_plan, folder_of
from gnomon.verify.verdicts import Outcome, Verdict, Verification, assess

__all__ = [
    "MARGIN",
    "Outcome",
    "Plan",
    "Target",
    "Verdict",
    "Verification",
    "assess",
    "evaluate_plan",
    "folder_of",
    "plan",
]

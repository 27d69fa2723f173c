"""The active-learning loop: generate, predict, keep, evaluate, hull, learn, round by round.

Round 0 evaluates the reference phases: the elements in measured and common structures, and the
known crystals of the system.  Every stage reads the campaign's folder and adds to it; a stage that
had not finished when a process died is done again, evaluations go on after the last shard.
"""

from gnomon.discover.campaign import Campaign
from gnomon.discover.loop import discover

__all__ = ["Campaign", "discover"]

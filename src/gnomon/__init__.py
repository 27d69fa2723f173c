"""gnomon finds stable inorganic crystals: it proposes, ranks, verifies, learns and repeats.

What a person in a notebook needs is here.  The rooms of the house, such as ``gnomon.structure``,
have more.

>>> import gnomon
>>> cell = [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]]  # Å
>>> salt = gnomon.Crystals.single(cell, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
>>> [chunk] = gnomon.generator("substitution", "K-Cl").generate(salt)
>>> chunk.crystals[0]
<Crystals, 1: KCl (2 atoms)>
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.crystals import Crystals
    from gnomon.discover.campaign import Campaign
    from gnomon.discover.loop import run_campaign
    from gnomon.discover.settings import CampaignConfig
    from gnomon.dynamics.result import Status
    from gnomon.evaluate import Evaluations, Evaluator
    from gnomon.generate import Candidates, Generator
    from gnomon.generate.registry import generator
    from gnomon.hull.convex import Hull
    from gnomon.hull.phases import Phases
    from gnomon.io.frames import Frames
    from gnomon.io.reading import read
    from gnomon.io.writing import write
    from gnomon.models import EnergyModel, Predictions
    from gnomon.models.by_name import train
    from gnomon.models.ensemble import load_model
    from gnomon.potential.calculator import Calculator
    from gnomon.potential.predict import load_potential

__all__ = [
    "Calculator",
    "Campaign",
    "CampaignConfig",
    "Candidates",
    "Crystals",
    "EnergyModel",
    "Evaluations",
    "Evaluator",
    "Frames",
    "Generator",
    "Hull",
    "Phases",
    "Predictions",
    "Status",
    "__version__",
    "evaluator",
    "generator",
    "load_model",
    "load_potential",
    "read",
    "relax",
    "run_campaign",
    "train",
    "write",
]

__version__ = "0.1.0"

HOMES = {
    "Crystals": "gnomon.crystals",
    "read": "gnomon.io.reading",
    "write": "gnomon.io.writing",
    "Frames": "gnomon.io.frames",
    "generator": "gnomon.generate.registry",
    "Generator": "gnomon.generate",
    "Candidates": "gnomon.generate",
    "EnergyModel": "gnomon.models",
    "Predictions": "gnomon.models",
    "load_model": "gnomon.models.ensemble",
    "train": "gnomon.models.by_name",
    "load_potential": "gnomon.potential.predict",
    "Calculator": "gnomon.potential.calculator",
    "relax": "gnomon.evaluate.by_name",
    "evaluator": "gnomon.evaluate.by_name",
    "Evaluator": "gnomon.evaluate",
    "Evaluations": "gnomon.evaluate",
    "Status": "gnomon.dynamics.result",
    "Phases": "gnomon.hull.phases",
    "Hull": "gnomon.hull.convex",
    "run_campaign": "gnomon.discover.loop",
    "CampaignConfig": "gnomon.discover.settings",
    "Campaign": "gnomon.discover.campaign",
}
"""The module of each public name, in the order in which one meets them."""


def __getattr__(name: str) -> Any:
    """A public name, imported when asked for: ``gnomon --help`` can do without NumPy."""
    if name not in HOMES:
        raise AttributeError(f"module 'gnomon' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """The public names, for completion."""
    return __all__

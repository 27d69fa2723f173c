"""gnomon finds stable inorganic crystals: it proposes, ranks, verifies, learns and repeats."""

from gnomon.crystals import Crystals

__all__ = ["Crystals", "__version__"]

__version__ = "0.1.0"

"""gnomon finds stable inorganic crystals: it proposes, ranks, verifies, learns and repeats."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.crystals import Crystals
    from gnomon.potential.calculator import Calculator

__all__ = ["Calculator", "Crystals", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Public classes, imported when asked for: ``gnomon --help`` can do without NumPy."""
    if name == "Crystals":
        from gnomon.crystals import Crystals

        return Crystals
    if name == "Calculator":
        from gnomon.potential.calculator import Calculator

        return Calculator
    raise AttributeError(f"module 'gnomon' has no attribute {name!r}")

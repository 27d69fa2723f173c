"""gnomon finds stable inorganic crystals: it proposes, ranks, verifies, learns and repeats."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.crystals import Crystals

__all__ = ["Crystals", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``gnomon.Crystals``, imported when asked for: ``gnomon --help`` can do without NumPy."""
    if name == "Crystals":
        from gnomon.crystals import Crystals  # noqa: PLC0415

        return Crystals
    raise AttributeError(f"module 'gnomon' has no attribute {name!r}")

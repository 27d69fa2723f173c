"""Ensembles that come with gnomon, by name: a campaign ranks with them before it has labels.

Their weights are stored in half precision, which moves no energy that matters
(``tests/test_models_bundled.py``); their cards say what they were trained on.
"""

from importlib import resources
from pathlib import Path

STRUCTURAL = "structural-2"
COMPOSITION = "composition-1"

BUNDLED = (STRUCTURAL, COMPOSITION)
"""Names that stand for files; a file of such a name is given with its folder, as ``./NAME``."""


def model_path(name_or_path: str | Path) -> Path:
    """The file of a bundled model, or the path as it is."""
    if str(name_or_path) in BUNDLED:
        return Path(str(resources.files("gnomon.models") / "data" / f"{name_or_path}.gnomon"))
    return Path(name_or_path)

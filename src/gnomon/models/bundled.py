"""Ensembles that come with gnomon, by name: a campaign ranks with them before it has labels.

Their weights are stored in half precision, which moves no energy that matters
(``tests/test_models_bundled.py``); their cards say what they were trained on.
"""

from importlib import resources
from pathlib import Path

STRUCTURAL = "structural-2"
COMPOSITION = "composition-1"

BUNDLED = (STRUCTURAL, COMPOSITION)
"""Of energies."""

PROPERTIES = (
    *("bulk-modulus-1", "shear-modulus-1", "debye-temperature-1", "thermal-expansion-1"),
    *("last-phonon-peak-1", "band-gap-1", "is-metal-1", "synthesizability-1"),
    "superconducting-tc-2",
)
"""Of properties: structural-2's networks with other readouts (``examples/train_properties.py``),
heads on what it and composition-1 see (``examples/train_heads.py``), and composition-1's networks
with other readouts (``examples/train_superconductors.py``)."""

GENERATOR = "generator-3"
"""The transformer that writes crystals (``generate/learned``; ``examples/train_generator.py``)."""

NAMES = (*BUNDLED, *PROPERTIES, GENERATOR)
"""All that stand for files; a file of such a name is given with its folder, as ``./NAME``."""


def model_path(name_or_path: str | Path) -> Path:
    """The file of a bundled model, or the path as it is."""
    if str(name_or_path) in NAMES:
        return Path(str(resources.files("gnomon.models") / "data" / f"{name_or_path}.gnomon"))
    return Path(name_or_path)

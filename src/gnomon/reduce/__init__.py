"""Reduction: of many crystals of a family, the distinct polymorphs, and what they are.

The best crystals of each composition are matched pair by pair; matching is not transitive, so
polymorphs are the connected components of the graph of matches, and each is represented by its
crystal of lowest energy (Merchant et al., Nature 624, 80 (2023), Methods).  ``describe`` then says
of each its dimensionality, space group and prototype.
"""

from gnomon.duplicates.matching import Matcher
from gnomon.reduce.describe import Dimensionality, describe, dimensionalities
from gnomon.reduce.matching import components
from gnomon.reduce.polymorphs import BEST, Polymorph, polymorphs

__all__ = [
    "BEST",
    "Dimensionality",
    "Matcher",
    "Polymorph",
    "components",
    "describe",
    "dimensionalities",
    "polymorphs",
]

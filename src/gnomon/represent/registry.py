"""Representations by name: the built-in ones and those of installed plug-ins.

Under a name stands a function ``make(options) -> Representation``; a plug-in's is an entry point of
the group ``gnomon.representations``.  Names joined by ``+`` are one representation with the columns
of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from jaxtyping import Float64

from gnomon.represent import Card, Given, Representation
from gnomon.run.registry import Registry

REPRESENTATIONS = Registry(
    "representation",
    "gnomon.representations",
    {
        "ace": "gnomon.represent.ace:make",
        "composition-elements": "gnomon.models.representations:make_composition_elements",
        "coulomb": "gnomon.represent.matrices:make_coulomb",
        "magpie": "gnomon.represent.elements:make_magpie",
        "mat2vec": "gnomon.represent.elements:make_mat2vec",
        "mbtr": "gnomon.represent.mbtr:make",
        "megnet16": "gnomon.represent.elements:make_megnet16",
        "oliynyk": "gnomon.represent.elements:make_oliynyk",
        "one-hot": "gnomon.represent.elements:make_one_hot",
        "potential": "gnomon.potential.embed:make",
        "sine": "gnomon.represent.matrices:make_sine",
        "skipatom": "gnomon.represent.elements:make_skipatom",
        "soap": "gnomon.represent.soap:make",
        "symmetry": "gnomon.represent.symmetry:make",
        "voxels": "gnomon.models.voxels.model:make",
        "structural": "gnomon.models.representations:make_structural",
        "structural-elements": "gnomon.models.representations:make_structural_elements",
    },
)


@dataclass(frozen=True)
class Joined:
    """The columns of several representations side by side."""

    parts: Mapping[str, Representation]

    @property
    def card(self) -> Card:
        """What the parts say."""
        cards = [part.card for part in self.parts.values()]
        return Card(
            "; ".join(card.about for card in cards),
            "; ".join(card.source for card in cards),
            any(card.structure for card in cards),
            reduce(lambda one, other: {**one, **other}, [dict(card.differs) for card in cards]),
            max(card.rounding for card in cards),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the parts after the part's name."""
        return tuple(f"{name}_{one}" for name, part in self.parts.items() for one in part.columns)

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Rows of the parts side by side."""
        return np.concatenate([part.represent(given) for part in self.parts.values()], axis=1)


def representation(name: str, **options: Any) -> Representation:
    """The representation of this name.

    >>> from gnomon.represent.formulas import read_formulas
    >>> formulas, _ = read_formulas(["NaCl", "Fe2O3"])
    >>> rows = representation("one-hot")
    >>> rows.represent(formulas)[1, [7, 25]].tolist(), rows.columns[7]
    ([0.6, 0.4], 'weighted_O')

    Args:
        name: one of ``REPRESENTATIONS.names()``, or several joined by ``+``.
        options: of the representation, such as ``pool=("mean", "range")``; of joined ones each
            takes all of them.

    Raises:
        ValueError: if there is none of this name, an option does not exist, or what it needs is
            not installed.
    """
    parts = {one: REPRESENTATIONS.get(one)(options) for one in name.split("+")}
    [first, *others] = parts.values()
    return Joined(parts) if others else first

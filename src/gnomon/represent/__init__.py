"""Crystals and formulas as numbers that networks and other learners take.

A representation turns n crystals, or n formulas where it needs no more, into an array of n rows and
named columns, and says on its card what it is and when equal crystals get unequal numbers.  Graphs
for networks are made by ``gnomon.represent.graphs``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.represent.formulas import Formulas

__all__ = ["Card", "Given", "Representation", "fractions_of", "places_of"]

Given = Crystals | Formulas
"""What is represented: crystals, or formulas where no places of atoms are looked at."""


@dataclass(frozen=True)
class Card:
    """What a representation is.

    Attributes:
        about: in one line.
        source: where it is published, by DOI or page.
        structure: whether it looks at places of atoms, so that a formula does not do.
        differs: ways of writing the same crystal (``gnomon.represent.laws.WAYS``) in which its
            numbers differ, each with why; in all other ways they are the same.
        rounding: by how much they may differ in the others, in units of the distance of two
            crystals: what is computed in single precision comes to 1e-3.
    """

    about: str
    source: str
    structure: bool
    differs: Mapping[str, str] = field(default_factory=dict)
    rounding: float = 1e-6


@runtime_checkable
class Representation(Protocol):
    """Anything that turns crystals or formulas into rows of numbers."""

    @property
    def card(self) -> Card:
        """What it is."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its d columns."""

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """One row each, in order; NaN where it has nothing to say.

        Raises:
            ValueError: for formulas, if it looks at places of atoms.
        """


def fractions_of(given: Given) -> Float64[np.ndarray, "n 119"]:
    """Atomic fractions by atomic number; zeros for a text that is no formula."""
    return given.fractions if isinstance(given, Crystals) else given.by_element


def places_of(given: Given, name: str) -> Crystals:
    """The crystals that are given to a representation that looks at places of atoms.

    Raises:
        ValueError: for formulas.
    """
    if not isinstance(given, Crystals):
        raise ValueError(f"{name} looks at places of atoms: give crystals, not formulas")
    return given

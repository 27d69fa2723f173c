"""Smooth overlap of atomic positions (Bartók et al., Phys. Rev. B 87, 184115 (2013)), by dscribe.

The power spectrum p_nn'l of the smeared neighbours of an atom, kind by kind of element
(``gnomon.represent.kinds``), averaged over the atoms of the crystal.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.elements import SYMBOLS
from gnomon.io.objects import to_ase
from gnomon.represent import Card, Given, places_of
from gnomon.represent.kinds import KINDS, kinds
from gnomon.run.registry import options_of

SPECIES = SYMBOLS[1 : len(KINDS) + 1]
"""Elements that stand for the kinds in what dscribe is given."""


class SoapConfig(BaseModel):
    """How far and how finely neighbours are seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoff: float = Field(default=5.0, gt=1, description="reach, Å")
    radial: int = Field(default=4, ge=1, description="radial functions")
    angular: int = Field(default=4, ge=0, description="largest degree of the harmonics")
    width: float = Field(default=0.5, gt=0, description="of the Gaussian at a neighbour, Å")


@dataclass(frozen=True)
class Soap:
    """The averaged power spectrum."""

    config: SoapConfig = field(default_factory=SoapConfig)

    @property
    def card(self) -> Card:
        """What it is."""
        return Card(
            "power spectrum of neighbours by kind of element, averaged over atoms (SOAP)",
            "Bartók et al., Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115",
            structure=True,
        )

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Counted, in dscribe's order."""
        return tuple(f"soap_{i}" for i in range(self._descriptor.get_number_of_features()))

    def represent(self, given: Given) -> Float64[np.ndarray, "n d"]:
        """Power spectra of crystals."""
        crystals = places_of(given, "soap").wrap()  # dscribe sees no images of atoms outside
        stand_ins = to_ase(crystals.with_atomic_numbers(kinds()[crystals.atomic_numbers] + 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # dscribe asks ASE in its old words
            rows = [np.asarray(self._descriptor.create(one)) for one in stand_ins]
        return np.stack(rows) if rows else np.zeros((0, len(self.columns)))

    @cached_property
    def _descriptor(self) -> Any:
        from dscribe.descriptors import SOAP

        return SOAP(
            species=SPECIES,
            periodic=True,
            r_cut=self.config.cutoff,
            n_max=self.config.radial,
            l_max=self.config.angular,
            sigma=self.config.width,
            average="outer",
        )


def make(options: Mapping[str, Any]) -> Soap:
    """SOAP with these options.

    Raises:
        ValueError: for an option that does not exist, or where dscribe is not installed.
    """
    config = options_of("soap", SoapConfig, options)
    if find_spec("dscribe") is None:
        raise ValueError("soap needs dscribe: pip install 'gnomon[representations]'")
    return Soap(config)

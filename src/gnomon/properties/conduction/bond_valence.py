"""Barriers for ions by bond valences, in seconds a crystal: a rank, no classifier.

Where an ion stands, its bond valences say how far it is from its charge; as an energy (Morse
potentials and a screened Coulomb repulsion; Adams, Solid State Ionics 177, 1625 (2006); Chen, Wong
and Adams, Acta Cryst. B 75, 18 (2019)) this gives a landscape on a grid, and the barrier is the
energy at which the regions below it percolate.  bvlain does the work.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import Annotated, Any

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.io import to_pymatgen
from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answered
from gnomon.properties.conduction.ions import Ion, known_ion, mobile
from gnomon.properties.registry import PropertySettings

SCHEMA = value_schema(
    "barrier of the ion through the crystal in three dimensions",
    "eV",
    column("barrier_1d", pa.float64(), "barrier along one direction", unit="eV"),
    column("barrier_2d", pa.float64(), "barrier through a plane", unit="eV"),
    column("ion", pa.string(), "that is looked at"),
)

NONE = "bond valences of {}: no path for the ion below {:g} eV"
"""Status where nothing percolates."""


class BondValenceConfig(BaseModel):
    """The landscape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolution: float = Field(default=0.2, gt=0, description="of the grid, Å")
    cutoff: float = Field(default=10.0, gt=0, description="of interactions, Å")
    highest: float = Field(default=5.0, gt=0, description="barrier that is looked for, eV")
    ion: Annotated[str | None, AfterValidator(known_ion)] = Field(
        default=None,
        description="that is looked at, such as Na, Ag+ or O2-; the first of Li, Na, K, Mg, Ca by "
        "default",
    )
    max_atoms: int = Field(default=200, ge=1, description="in a crystal; more take minutes")


class BondValence:
    """Barriers of ions by bond valences; a ``Property``."""

    needs: tuple[str, ...] = ()
    schema = SCHEMA

    def __init__(self, config: BondValenceConfig) -> None:
        """With the settings of the landscape.

        Raises:
            ValueError: if bvlain is not installed.
        """
        if find_spec("bvlain") is None:
            raise ValueError("bond_valence needs bvlain: pip install 'gnomon[properties]'")
        self.config = config

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Of crystals with one of the ions, whose charges balance."""
        rows = [self._row(crystal) for crystal in crystals]
        level = f"bond valence site energies, {self.config.resolution:g} Å"
        return answered(SCHEMA, crystals.ids, level, rows)

    def _row(self, crystal: Crystals) -> dict[str, Any]:
        ion, why = mobile(crystal, self.config.ion)
        if not why and len(crystal.atomic_numbers) > self.config.max_atoms:
            why = f"more than {self.config.max_atoms} atoms (bond_valence.max_atoms)"
        if why:
            return {"status": why}
        try:
            found = self._barriers(crystal, Ion.named(ion))
        except KeyError:  # of bvlain's table
            why = "no bond valences: no parameters for an ion of this charge"
            return {"status": why, "ion": ion}
        except Exception as error:  # of charges that do not balance
            return {"status": f"no bond valences: {error or type(error).__name__}", "ion": ion}
        low = {n: float(found[f"E_{n}D"]) for n in (1, 2, 3)}
        formula, highest = crystal.reduced_formulas[0], self.config.highest
        return {
            "status": OK if low[3] <= highest else NONE.format(formula, highest),
            "value": low[3],
            "ion": ion,
            **{f"barrier_{n}d": low[n] if low[n] <= highest else None for n in (1, 2)},
        }

    def _barriers(self, crystal: Crystals, ion: Ion) -> Mapping[str, float]:
        from bvlain import Lain

        (structure,) = to_pymatgen(crystal)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            landscape = Lain(verbose=False)
            landscape.read_structure(structure)
            landscape.bvse_distribution(
                mobile_ion=f"{ion.symbol}{abs(ion.charge)}{'+' if ion.charge > 0 else '-'}",
                r_cut=self.config.cutoff,
                resolution=self.config.resolution,
            )
            return landscape.percolation_barriers(encut=self.config.highest)


def make(settings: PropertySettings) -> BondValence:
    """The property."""
    return BondValence(settings.of("bond_valence", BondValenceConfig))

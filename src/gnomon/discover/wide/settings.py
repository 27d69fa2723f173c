"""Settings of campaigns without a system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gnomon.discover.wide.database import MATERIALS_PROJECT
from gnomon.discover.wide.filters import parse_within
from gnomon.elements import symbols
from gnomon.run.checks import read_by


class WideConfig(BaseModel):
    """A campaign over all known crystals: what is asked for, and how the work is divided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    within: Annotated[tuple[str, ...], read_by(parse_within)] = Field(
        default=(),
        description="chemical systems with wildcards that candidates fit, as in 'Li-*-O'",
    )
    elements: Annotated[tuple[str, ...], AfterValidator(symbols)] = Field(
        default=(), description="elements that candidates may hold; those of the parents"
    )
    min_elements: int = Field(default=2, ge=1, description="elements in a candidate, at least")
    max_elements: int = Field(default=5, ge=1, description="elements in a candidate, at most")
    phases: tuple[Path, ...] = Field(
        default=(),
        description="tables of further phases of the hull, of which there are no crystals: "
        "reduced_formula and formation_energy_per_atom (eV/atom) of the parents' energy scheme",
    )
    scheme: str = Field(
        default=MATERIALS_PROJECT,
        min_length=1,
        description="energy scheme of the parents' energies, where their table does not say",
    )
    shortlist: int = Field(
        default=20, ge=1, description="candidates kept in the folder for each evaluation"
    )
    systems: int = Field(
        default=5000,
        ge=1,
        description="chemical systems of each number of elements, or of each of `within`, whose "
        "compositions the network of formulas looks at in a round, for generators that begin with "
        "a composition; of more so many are drawn",
    )
    compositions: int = Field(
        default=50, ge=1, description="of them, the likeliest get crystals in a round"
    )
    cells: int = Field(
        default=10, ge=1, description="crystals of each composition by random and by learned"
    )
    cell_steps: int = Field(
        default=50,
        ge=0,
        description="steps by which a potential that screens moves random cells before they are "
        "looked at; 0: none",
    )
    draws: int = Field(
        default=1024, ge=1, description="crystals that learned writes in a round without `within`"
    )
    shard: int = Field(default=64, ge=1, description="parents in a shard of work")
    buckets: int = Field(default=64, ge=1, description="groups of compositions, each one task")

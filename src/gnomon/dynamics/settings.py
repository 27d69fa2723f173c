"""Settings that every evaluator which relaxes crystals keeps to."""

from pydantic import BaseModel, ConfigDict, Field


class RelaxConfig(BaseModel):
    """How crystals are relaxed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fmax: float = Field(default=0.02, gt=0, description="force that counts as converged, eV/Å")
    max_steps: int = Field(default=300, ge=0, description="relaxation steps; 0 takes single points")
    max_seconds: float = Field(default=120.0, gt=0, description="wall time for one crystal")
    relax_cell: bool = Field(default=True, description="let the cell relax with the positions")
    symmetry: bool = Field(default=False, description="keep the space group that a crystal has")

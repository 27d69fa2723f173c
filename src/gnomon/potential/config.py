"""What shapes the network of a potential: what is chosen, and what comes from the data."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, Field, field_validator


class NetworkConfig(BaseModel):
    """What is chosen of a network; elements, neighbours and scale come from the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden_irreps: str = Field(default="64x0e + 32x1o + 16x2e", description="irreps between layers")
    n_layers: int = Field(default=2, ge=1, description="convolutions; the last keeps scalars only")
    cutoff: float = Field(default=5.0, gt=0, allow_inf_nan=False, description="Å")
    lmax: int = Field(default=2, ge=0, description="largest degree of the harmonics")
    coupled_lmax: int | None = Field(
        default=None,
        ge=0,
        description="largest degree that takes part in all products; larger ones meet scalars only",
    )
    radial_basis_size: int = Field(default=8, ge=1, description="Bessel functions")
    radial_mlp_size: int = Field(default=64, ge=1, description="width of the radial perceptron")
    radial_mlp_layers: int = Field(default=2, ge=1, description="its hidden layers")
    radial_polynomial_p: float = Field(default=6.0, gt=0, description="power of the envelope")
    index_weights: bool = Field(default=False, description="self-connection by element")
    layer_norm: bool = Field(default=True, description="normalise the features of each layer")
    embedding: int | None = Field(
        default=48, ge=1, description="size of the elements' embedding; None for one-hot elements"
    )
    repulsion: bool = Field(default=True, description="screened nuclear repulsion is added")


class PotentialConfig(NetworkConfig):
    """Everything that shapes the network; weights apart.

    Attributes:
        elements: atomic numbers that it knows, in the order of its encoding.
        mlp_init_scale: variance of the first weights of the radial perceptron.
        avg_n_neighbors: of the training set; sums over neighbours are divided by its square root.
        shift, scale: eV, eV; of the energy of an atom.

    Raises:
        ValueError: for no, repeated or impossible elements, or a size that is not positive.
    """

    elements: tuple[int, ...]
    mlp_init_scale: float = 4.0
    avg_n_neighbors: float = Field(default=40.0, gt=0, allow_inf_nan=False)
    shift: float = 0.0
    scale: float = 1.0

    @field_validator("elements")
    @classmethod
    def _are_a_set(cls, elements: tuple[int, ...]) -> tuple[int, ...]:
        known = set(elements)
        if not known or len(known) != len(elements) or not known <= set(range(1, 119)):
            raise ValueError(
                "a potential needs elements, each of them once, by atomic numbers from 1 to 118; "
                f"got {list(elements)}"
            )
        return elements

    @property
    def species(self) -> Int[np.ndarray, " z"]:
        """Place of each atomic number in the encoding; 0 for those that are not known."""
        table = np.zeros(119, dtype=np.int32)
        table[list(self.elements)] = np.arange(len(self.elements))
        return table

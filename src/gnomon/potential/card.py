"""The card of a potential that gnomon trained: what it is, of what, and how well it does."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from gnomon.learn.card import Card

EV_PER_A3 = 160.21766208
"""GPa (CODATA 2018)."""


class Errors(BaseModel):
    """Mean absolute errors; None where nothing has that label."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int
    energy: float | None
    """eV/atom."""
    forces: float | None
    """eV/Å, of components."""
    stress: float | None
    """eV/Å3, of components."""

    def __str__(self) -> str:
        """In one line, in the units that people compare."""
        parts = [(self.energy, 1e3, "meV/atom", 1), (self.forces, 1, "eV/Å", 4)]
        parts.append((self.stress, EV_PER_A3, "GPa", 3))
        found = [f"{v * by:.{d}f} {unit}" for v, by, unit, d in parts if v is not None]
        return ", ".join(found) or "no labels"


class Validation(BaseModel):
    """Errors on frames that did not train: on all, and on the gentle ones among them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    all: Errors
    gentle: Errors


class PotentialCard(Card[Validation]):
    """What a trained potential is, what it was trained on, what it was measured to do.

    Its scheme is that of the labels, total energies (eV) as their source gives them; its rows are
    the frames that train and those that may validate.
    """

    kind: str = "potential"
    train_first_frames: int
    """Unrelaxed starts of relaxations among those that train."""
    train_atoms: int
    train_formulas: int
    validation_unknown: int
    """Frames that could validate but hold an element that never trained; they are in no error."""
    elements: int
    parameters: int
    finished: bool
    epochs: float
    steps: int
    command: str | None

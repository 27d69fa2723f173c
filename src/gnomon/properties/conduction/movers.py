"""Who moves atoms: a potential many crystals at once, an ASE calculator one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import ase.io
import numpy as np
from jaxtyping import Float64

from gnomon.crystals import Crystals
from gnomon.dynamics.md import ExplodedError, MDConfig, run
from gnomon.evaluate.ase import calculator_of
from gnomon.evaluate.registry import NAMES, EvaluatorConfig
from gnomon.io import to_ase
from gnomon.run.listener import Listener

if TYPE_CHECKING:
    from gnomon.potential.predict import LoadedPotential

Motion = tuple[Float64[np.ndarray, "frames atoms 3"], str]
"""Positions (Å, not wrapped) of all frames, and why they ended before their time, or empty."""


@runtime_checkable
class Mover(Protocol):
    """Whatever moves the atoms of crystals."""

    @property
    def scheme(self) -> str:
        """Of the energies."""

    def move(self, cells: Crystals, folder: Path) -> Iterator[Motion]:
        """The motion of each, in order; what was begun in the folder goes on."""


@dataclass(frozen=True)
class Batched:
    """A potential, by ``dynamics.simulate``."""

    potential: LoadedPotential
    config: MDConfig
    listener: Listener

    @property
    def scheme(self) -> str:
        """Of the weights."""
        return self.potential.scheme

    def move(self, cells: Crystals, folder: Path) -> Iterator[Motion]:
        """The motion of each."""
        from gnomon.dynamics.simulate import simulate

        for one in simulate(cells, self.potential, self.config, folder, listener=self.listener):
            yield one.positions, one.message


@dataclass(frozen=True)
class OneByOne:
    """An ASE calculator, by ASE's integrators."""

    calculator: Any
    scheme: str
    config: MDConfig
    listener: Listener

    def move(self, cells: Crystals, folder: Path) -> Iterator[Motion]:
        """The motion of each."""
        folder.mkdir(parents=True, exist_ok=True)
        for cell, name in zip(cells, cells.ids, strict=True):
            (atoms,) = to_ase(cell)
            atoms.calc = self.calculator
            out, message = folder / f"{name}.extxyz", ""
            try:
                if not (out.exists() and _last(out) >= self.config.steps):
                    run(atoms, self.config, out, listener=self.listener)
            except ExplodedError as error:
                message = str(error)
            except Exception as error:  # of the calculator, at the first step
                message = f"the calculator has no forces for it: {error or type(error).__name__}"
            frames = ase.io.read(out, index=":", format="extxyz") if not message else [atoms]
            yield np.array([frame.positions for frame in frames]), message


def _last(out: Path) -> int:
    return int(ase.io.read(out).info.get("step", 0))


def mover(evaluator: EvaluatorConfig, config: MDConfig, listener: Listener) -> Mover:
    """Who moves atoms by the energies of an evaluator, without corrections.

    Raises:
        ValueError: if it has none, or molecular dynamics with it would take years.
    """
    if evaluator.kind in ("", *NAMES):
        from gnomon.potential.predict import load_potential

        return Batched(load_potential(evaluator.name, listener=listener), config, listener)
    return OneByOne(*calculator_of(evaluator), config, listener)

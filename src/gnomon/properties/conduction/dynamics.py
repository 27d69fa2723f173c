"""Whether ions conduct: molecular dynamics of a supercell, and what its trajectory says.

As Merchant et al., Nature 624, 80 (2023) do it: 1000 K, Nosé-Hoover with a time constant of 40
steps of 2 fs, 50 ps of which the first 10 are dropped; superionic above 10^1.18 mS/cm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import BaseModel, ConfigDict, Field

from gnomon.chemistry.cautions import of_metals
from gnomon.crystals import Crystals
from gnomon.dynamics.md import Ensemble, ExplodedError, MDConfig, run
from gnomon.elements import SYMBOLS
from gnomon.evaluate.ase import calculator_of
from gnomon.io import to_ase
from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answered
from gnomon.properties.conduction.diffusion import FEWEST, conductivity, diffusion
from gnomon.properties.registry import PropertySettings
from gnomon.run.files import cache_folder
from gnomon.structure.cells import repeats

CHARGES = {"Li": 1.0, "Na": 1.0, "K": 1.0, "Mg": 2.0, "Ca": 2.0}
"""Ions that are looked at, the first that a crystal holds; with their charges."""

SUPERIONIC = 15.1
"""mS/cm at 1000 K (Merchant et al. 2023)."""

MELTED = 1e-6
"""cm²/s; a framework that diffuses faster has melted: liquids have 1e-5, cages that turn none."""

SURE = 0.95
"""Probability from which on there is an answer."""

SCHEMA = value_schema(
    "ionic conductivity, Haven ratio 1",
    "mS/cm",
    column("conductivity_low", pa.float64(), "lower end of the 95 % interval", unit="mS/cm"),
    column("conductivity_high", pa.float64(), "upper end of the 95 % interval", unit="mS/cm"),
    column("probability_superionic", pa.float64(), "of more than the threshold", unit="1"),
    column("answer", pa.string(), "superionic, not superionic, or not decided"),
    column("ion", pa.string(), "that is looked at"),
    column("diffusion", pa.float64(), "diffusion coefficient of the ion", unit="cm²/s"),
    column("framework_diffusion", pa.float64(), "of all other atoms", unit="cm²/s"),
    column("temperature", pa.float64(), "of the simulation", unit="K"),
    column("time", pa.float64(), "that counted", unit="ps"),
    column("dispersion", pa.float64(), "how many times fewer displacements there are", unit="1"),
)


class ConductionConfig(BaseModel):
    """The simulation, and where superionic begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=1000.0, gt=0, description="K")
    time: float = Field(default=50.0, gt=0, description="ps in all")
    dropped: float = Field(default=10.0, ge=0, description="ps at the beginning that do not count")
    timestep: float = Field(default=2.0, gt=0, description="fs")
    interval: float = Field(
        default=1.0, gt=0, description="ps between two frames: vibrations are forgotten meanwhile"
    )
    min_length: float = Field(default=8.0, gt=0, description="least height of the supercell, Å")
    threshold: float = Field(default=SUPERIONIC, gt=0, description="mS/cm, superionic above it")
    seed: int = Field(default=0, ge=0, description="of the first velocities")

    @property
    def frames(self) -> tuple[int, int]:
        """Frames that do not count, and those that do."""
        dropped = round(self.dropped / self.interval)
        return dropped, round(self.time / self.interval) + 1 - dropped

    def dynamics(self) -> MDConfig:
        """Settings of the simulation."""
        return MDConfig(
            ensemble=Ensemble.NVT_NOSE_HOOVER,
            temperature=self.temperature,
            timestep=self.timestep,
            steps=round(1000 * self.time / self.timestep),
            interval=max(1, round(1000 * self.interval / self.timestep)),
            thermostat_time=40 * self.timestep,
            seed=self.seed,
        )


class Conduction:
    """Ionic conductivity by molecular dynamics, one crystal after the other; a ``Property``."""

    needs: tuple[str, ...] = ()
    schema = SCHEMA

    def __init__(self, config: ConductionConfig, settings: PropertySettings, folder: Path) -> None:
        """Trajectories are kept in a folder: a simulation that was killed goes on there.

        Raises:
            ValueError: if too few frames count.
        """
        if config.frames[1] <= FEWEST:
            raise ValueError(
                f"conduction: {max(config.frames[1], 0)} frames count, give a longer time or a "
                f"shorter interval, for more than {FEWEST}"
            )
        self.config, self.listener = config, settings.listener
        self.calculator, scheme = calculator_of(settings.evaluator)
        self.level = f"{scheme}, {config.time:g} ps at {config.temperature:g} K"
        told = f"{self.level} {config.model_dump_json()}".encode()
        self.folder = folder / hashlib.sha256(told).hexdigest()[:16]

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Of crystals with one of the ions, and a framework."""
        rows = [self._row(crystal) for crystal in crystals]
        return answered(SCHEMA, crystals.ids, self.level, rows)

    def _row(self, crystal: Crystals) -> dict[str, Any]:
        ion, why = mobile(crystal)
        if why:
            return {"status": why}
        (atoms,) = to_ase(crystal.supercell(repeats(crystal.lattice[0], self.config.min_length)))
        try:
            positions = self._positions(atoms, str(crystal.ids[0]))
        except ExplodedError as error:
            return {"status": str(error), "ion": ion}
        moves = np.array(atoms.symbols) == ion
        return judged(positions, moves, ion, float(atoms.get_volume()), self.config)

    def _positions(self, atoms: ase.Atoms, name: str) -> Float64[np.ndarray, "frames atoms 3"]:
        """Å, not wrapped, of the frames that count."""
        out, wanted = self.folder / f"{name}.extxyz", self.config.dynamics()
        atoms.calc = self.calculator
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (out.exists() and ase.io.read(out).info.get("step", 0) >= wanted.steps):
            run(atoms, wanted, out, listener=self.listener)
        frames = ase.io.read(out, index=":", format="extxyz")
        return np.array([frame.positions for frame in frames])[self.config.frames[0] :]


def mobile(crystal: Crystals) -> tuple[str, str]:
    """The ion of a crystal that may move, or why there is none."""
    held = [SYMBOLS[z] for z in np.unique(crystal.atomic_numbers)]
    ions = [symbol for symbol in CHARGES if symbol in held]
    if not ions:
        return "", f"none of the ions {', '.join(CHARGES)} in it"
    if of_metals(crystal)[0]:
        return "", "metals only: electrons conduct, not ions"
    return ions[0], ""


def judged(
    positions: Float64[np.ndarray, "frames atoms 3"],
    moves: Any,
    ion: str,
    volume: float,
    config: ConductionConfig,
) -> dict[str, Any]:
    """What a trajectory says: a row of the table, without id and level.

    Args:
        positions: Å, not wrapped.
        moves: (atoms,), which ones are the ions.
        ion: their symbol.
        volume: Å3, of the cell.
        config: of the simulation.
    """
    framework = positions[:, ~moves]
    positions = positions - framework.mean(axis=1, keepdims=True)  # drift
    found = diffusion(positions[:, moves], config.interval)
    rest = diffusion(positions[:, ~moves], config.interval)
    per_diffusion = 1000 * conductivity(
        1.0, int(moves.sum()) / volume, CHARGES[ion], config.temperature
    )
    low, high = found.interval()
    above = found.above(config.threshold / per_diffusion)
    molten = rest.above(MELTED) > 0.5
    return {
        "status": f"melted: the framework diffuses by {rest.mean:.1e} cm²/s" if molten else OK,
        "value": per_diffusion * found.mean,
        "uncertainty": per_diffusion * found.deviation,
        "conductivity_low": per_diffusion * low,
        "conductivity_high": per_diffusion * high,
        "probability_superionic": above,
        "answer": None if molten else answer(above),
        "ion": ion,
        "diffusion": found.mean,
        "framework_diffusion": rest.mean,
        "temperature": config.temperature,
        "time": config.time - config.dropped,
        "dispersion": found.dispersion,
    }


def answer(probability: float) -> str:
    """What a probability of being superionic amounts to.

    >>> answer(0.99), answer(0.5), answer(0.01)
    ('superionic', 'not decided', 'not superionic')
    """
    if probability > SURE:
        return "superionic"
    return "not superionic" if probability < 1 - SURE else "not decided"


def make(settings: PropertySettings) -> Conduction:
    """The property."""
    return Conduction(settings.of("conduction", ConductionConfig), settings, cache_folder() / "md")

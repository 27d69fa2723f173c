"""Whether ions conduct: molecular dynamics of a supercell, and what its trajectory says.

As Merchant et al., Nature 624, 80 (2023) do it: 1000 K, Nosé-Hoover with a time constant of 40
steps of 2 fs, 50 ps of which the first 10 are dropped; superionic above 10^1.18 mS/cm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.dynamics.md import Ensemble, MDConfig
from gnomon.elements import SYMBOLS
from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answered
from gnomon.properties.conduction.diffusion import FEWEST, conductivity, diffusion
from gnomon.properties.conduction.ions import Ion, known_ion, mobile
from gnomon.properties.conduction.movers import mover
from gnomon.properties.registry import PropertySettings
from gnomon.run.files import cache_folder
from gnomon.structure.supercells import smallest
from gnomon.structure.symmetry import SymmetryError, primitive

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
    min_length: float = Field(
        default=8.0, gt=0, description="least distance of an atom from an image of itself, Å"
    )
    ion: Annotated[str | None, AfterValidator(known_ion)] = Field(
        default=None,
        description="that is looked at, such as Na, Ag+ or O2-; the first of Li, Na, K, Mg, Ca by "
        "default",
    )
    threshold: float = Field(default=SUPERIONIC, gt=0, description="mS/cm, superionic above it")
    seed: int = Field(default=0, ge=0, description="of the first velocities")

    @property
    def frames(self) -> tuple[int, int]:
        """Frames that do not count, and those that do."""
        dropped = round(self.dropped / self.interval)
        return dropped, round(self.time / self.interval) + 1 - dropped

    @property
    def every(self) -> int:
        """Steps from one frame to the next."""
        return max(1, round(1000 * self.interval / self.timestep))

    @property
    def spacing(self) -> float:
        """ps between two frames, a whole number of steps."""
        return self.every * self.timestep / 1000

    def dynamics(self) -> MDConfig:
        """Settings of the simulation; frames are equally far apart up to the last one."""
        return MDConfig(
            ensemble=Ensemble.NVT_NOSE_HOOVER,
            temperature=self.temperature,
            timestep=self.timestep,
            steps=self.every * max(1, round(self.time / self.interval)),
            interval=self.every,
            thermostat_time=40 * self.timestep,
            seed=self.seed,
        )


class Conduction:
    """Ionic conductivity by molecular dynamics; a ``Property``."""

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
        self.config = config
        self.mover = mover(settings.evaluator, config.dynamics(), settings.listener)
        self.level = f"{self.mover.scheme}, {config.time:g} ps at {config.temperature:g} K"
        told = f"{self.level} {config.dynamics().model_dump_json()}".encode()
        self.folder = folder / hashlib.sha256(told).hexdigest()[:16]

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Of crystals with one of the ions, and a framework."""
        ions = [mobile(crystal, self.config.ion) for crystal in crystals]
        moving = [i for i, (_, why) in enumerate(ions) if not why]
        cells = [supercell(crystals[i], self.config.min_length) for i in moving]
        rows: list[dict[str, Any]] = [{"status": why} for _, why in ions]
        if cells:
            motions = self.mover.move(Crystals.concatenate(cells), self.folder)
            for i, cell, (positions, message) in zip(moving, cells, motions, strict=True):
                rows[i] = self._row(cell, ions[i][0], positions, message)
        return answered(SCHEMA, crystals.ids, self.level, rows)

    def _row(
        self,
        cell: Crystals,
        ion: str,
        positions: Float64[np.ndarray, "frames atoms 3"],
        message: str,
    ) -> dict[str, Any]:
        if message:
            return {"status": message, "ion": ion}
        counted = positions[self.config.frames[0] :]
        return judged(counted, cell, ion, self.config)


def supercell(crystal: Crystals, distance: float) -> Crystals:
    """The smallest one in which no atom is closer to an image of itself than this (Å)."""
    with suppress(SymmetryError):  # as given: dynamics will say what is wrong with it
        crystal = primitive(crystal)
    return crystal.supercell(smallest(crystal.lattice[0], distance))


def judged(
    positions: Float64[np.ndarray, "frames atoms 3"],
    cell: Crystals,
    ion: str,
    config: ConductionConfig,
) -> dict[str, Any]:
    """What a trajectory says: a row of the table, without id and level.

    The framework is looked at in every second frame, where these are enough: a heavy one vibrates
    so slowly that it seems to diffuse from one frame to the next.

    Args:
        positions: Å, not wrapped.
        cell: whose atoms move.
        ion: the name of those that are looked at.
        config: of the simulation.
    """
    named = Ion.named(ion)
    moves = cell.atomic_numbers == SYMBOLS.index(named.symbol)
    density, charge = float(moves.sum() / cell.volumes[0]), float(named.charge)
    framework = positions[:, ~moves]
    positions = positions - framework.mean(axis=1, keepdims=True)  # drift
    found = diffusion(positions[:, moves], config.spacing)
    stride = 2 if len(positions) > 2 * FEWEST else 1  # soft frameworks remember for an interval
    rest = diffusion(positions[::stride, ~moves], stride * config.spacing)
    per_diffusion = 1000 * conductivity(1.0, density, charge, config.temperature)
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

"""The trajectory of one crystal in a Parquet file, with all that its motion needs to go on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Float64, Int64

from gnomon.crystals import Crystals
from gnomon.dynamics.motion import LINKS
from gnomon.io.tables import column, read_table, write_table

FLOATS, SINGLE = pa.list_(pa.float64()), pa.list_(pa.float32())

SCHEMA = pa.schema(
    [
        column("step", pa.int64(), "of the simulation"),
        column("energy", pa.float64(), "potential energy", unit="eV"),
        column("temperature", pa.float64(), "of the 3 N degrees of freedom", unit="K"),
        column("positions", FLOATS, "x, y, z of each atom, not wrapped", unit="Å"),
        column("velocities", SINGLE, "of the last frame, in ASE's units"),
        column("forces", SINGLE, "of the last frame", unit="eV/Å"),
        column("rates", SINGLE, "of the thermostat in the last frame, in ASE's units"),
    ]
)


@dataclass(eq=False)
class Trajectory:
    """Frames of one crystal, and where it stands.

    Attributes:
        crystal: as given.
        steps: of the frames.
        energies: potential energies, eV.
        temperatures: K, counting 3 N degrees of freedom.
        frames: positions, Å, not wrapped.
        velocities, forces, rates: of the last frame, in ASE's units and eV/Å; without forces it
            has not begun.
        message: why it ended before its time, or empty.
    """

    crystal: Crystals
    velocities: Float32[np.ndarray, "atoms 3"]
    steps: list[int] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)
    frames: list[Float64[np.ndarray, "atoms 3"]] = field(default_factory=list)
    forces: Float32[np.ndarray, "atoms 3"] | None = None
    rates: Float32[np.ndarray, " links"] = field(
        default_factory=lambda: np.zeros(LINKS, np.float32)
    )
    message: str = ""

    @property
    def positions(self) -> Float64[np.ndarray, "frames atoms 3"]:
        """Of all frames, Å, not wrapped."""
        return np.array(self.frames)

    @property
    def times(self) -> Int64[np.ndarray, " frames"]:
        """Steps of the frames."""
        return np.array(self.steps, dtype=np.int64)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        last = [None] * (len(self.steps) - 1)
        assert self.forces is not None
        columns: dict[str, Any] = {
            "step": self.steps,
            "energy": self.energies,
            "temperature": self.temperatures,
            "positions": [frame.ravel() for frame in self.frames],
            "velocities": [*last, self.velocities.ravel()],
            "forces": [*last, self.forces.ravel()],
            "rates": [*last, self.rates],
        }
        write_table(path, pa.table(columns, SCHEMA), facts={"message": self.message})

    @classmethod
    def load(cls, path: Path, crystal: Crystals) -> Trajectory:
        """One that was saved, of this crystal.

        Raises:
            ValueError: if the file cannot be read.
        """
        table = read_table(path)
        facts = json.loads(pq.read_schema(path).metadata[b"gnomon"])
        velocities, forces, rates = (
            np.array(table[name][-1].as_py(), np.float32)
            for name in ("velocities", "forces", "rates")
        )
        frames = [np.array(row.as_py()).reshape(-1, 3) for row in table["positions"]]
        return cls(
            crystal,
            velocities.reshape(-1, 3),
            table["step"].to_pylist(),
            table["energy"].to_pylist(),
            table["temperature"].to_pylist(),
            frames,
            forces.reshape(-1, 3),
            rates,
            facts["message"],
        )

"""Molecular dynamics by ASE's integrators, with a trajectory that a killed run goes on from."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import ase
import ase.io
import numpy as np
from ase import units
from ase.calculators.calculator import CalculationFailed
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gnomon.io.labels import SCHEME_KEY
from gnomon.run.listener import SILENT, Listener

HOT = 1e6
"""K; a simulation that is hotter has exploded."""


class Ensemble(StrEnum):
    """What is kept constant beside the number of atoms, and by which method."""

    NVE = "nve"
    NVT_NOSE_HOOVER = "nvt-nose-hoover"
    NVT_LANGEVIN = "nvt-langevin"
    NPT = "npt"


class MDConfig(BaseModel):
    """A molecular dynamics run.

    Attributes:
        ensemble: what is kept constant beside the number of atoms, and how.
        temperature: K; of the first velocities, and of the thermostat.
        pressure: GPa, for ``npt``.
        timestep: fs.
        steps: in all, the ones of earlier starts of the same run included.
        interval: steps from a frame of the trajectory to the next.
        thermostat_time: fs; time scale of the Nosé-Hoover chain, or inverse Langevin friction.
        barostat_time: fs.
        seed: of the first velocities and of Langevin's noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ensemble: Ensemble = Ensemble.NVE
    temperature: float = Field(default=300.0, ge=0, allow_inf_nan=False)
    pressure: float = Field(default=0.0, allow_inf_nan=False)
    timestep: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    steps: int = Field(default=1000, ge=1)
    interval: int = Field(default=10, ge=1)
    thermostat_time: float = Field(default=100.0, gt=0, allow_inf_nan=False)
    barostat_time: float = Field(default=1000.0, gt=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _sensible(self) -> MDConfig:
        if self.ensemble is not Ensemble.NVE and self.temperature == 0:
            raise ValueError("a thermostat needs a temperature above 0 K")
        if self.pressure and self.ensemble is not Ensemble.NPT:
            raise ValueError(f"{self.ensemble} takes no pressure: choose npt")
        return self


@dataclass(frozen=True)
class Moment:
    """What is remembered of a frame: time in fs, energy in eV/atom, K, Å3."""

    time: float
    total_energy: float
    temperature: float
    volume: float | None

    @classmethod
    def of(cls, atoms: ase.Atoms, elapsed: float) -> Moment:
        """Atoms with a calculator, after so many fs."""
        return cls(
            elapsed,
            float(atoms.get_total_energy()) / len(atoms),
            float(atoms.get_temperature()),
            float(atoms.get_volume()) if atoms.cell.rank == 3 else None,
        )


@dataclass(frozen=True)
class MDSummary:
    """What a run came to, from the frames of its whole trajectory.

    Attributes:
        frames: in the trajectory.
        temperature: mean over the second half of the frames, K, counting 3 N degrees of freedom.
        volume: mean over the second half, Å3; None without a cell.
        energy_drift: slope of the total energy, meV/atom/ps, of ``nve``, which alone conserves it.
        ms_per_step: of the steps that were taken now.
    """

    frames: int
    temperature: float
    volume: float | None
    energy_drift: float | None
    ms_per_step: float


class ExplodedError(ValueError):
    """A simulation whose numbers make no sense any more."""


def integrator(atoms: ase.Atoms, config: MDConfig, rng: np.random.Generator) -> Any:
    """ASE's integrator for the ensemble.

    Velocity Verlet; Nosé-Hoover chains (Martyna, Klein and Tuckerman, J. Chem. Phys. 97, 2635
    (1992)); Langevin (Vanden-Eijnden and Ciccotti, Chem. Phys. Lett. 429, 310 (2006)); Martyna,
    Tobias and Klein's barostat with a flexible cell (J. Chem. Phys. 101, 4177 (1994)).

    Raises:
        ValueError: if the cell is not periodic where its volume is to change.
    """
    from ase.md.langevin import Langevin
    from ase.md.nose_hoover_chain import MTKNPT, NoseHooverChainNVT
    from ase.md.verlet import VelocityVerlet

    dt, tau = config.timestep * units.fs, config.thermostat_time * units.fs
    if config.ensemble is Ensemble.NVE:
        return VelocityVerlet(atoms, dt)
    if config.ensemble is Ensemble.NVT_LANGEVIN:
        return Langevin(
            atoms, dt, temperature_K=config.temperature, friction=1 / tau, fixcm=False, rng=rng
        )
    if config.ensemble is Ensemble.NVT_NOSE_HOOVER:
        return NoseHooverChainNVT(atoms, dt, temperature_K=config.temperature, tdamp=tau)
    if not atoms.pbc.all():
        raise ValueError(f"npt needs a crystal, periodic along a, b and c, not pbc {atoms.pbc}")
    return MTKNPT(
        atoms,
        dt,
        temperature_K=config.temperature,
        pressure_au=config.pressure * units.GPa,
        tdamp=tau,
        pdamp=config.barostat_time * units.fs,
    )


def run(
    atoms: ase.Atoms,
    config: MDConfig,
    out: Path,
    *,
    origin: dict[str, str] | None = None,
    listener: Listener = SILENT,
) -> MDSummary:
    """Run molecular dynamics and append frames to an extended XYZ file as they come.

    A trajectory of the same run that was cut short, or is to become longer, is gone on with from
    its last whole frame; thermostats begin anew there, Langevin's noise with another stream.

    Args:
        atoms: with a calculator; velocities are kept where there are any, and drawn where not.
        config: the run.
        out: the trajectory: positions, momenta, forces, energy, and the stress where it is known.
        origin: what the calculator is; written into every frame with the settings.  Its
            ``energy_scheme`` lets the trajectory be read as frames of that scheme.
        listener: hears of progress.

    Raises:
        FileExistsError: if there is another file, or a trajectory that is complete.
        ExplodedError: if the simulation explodes; frames up to there are kept.
        ValueError: if the ensemble does not suit the atoms.
    """
    about = _about(atoms, config, origin or {})
    calculator = atoms.calc
    if out.exists():
        atoms, done, moments = _continued(out, about, config)
        listener.say(f"going on with {out} from step {done}")
    else:
        atoms, done, moments = atoms.copy(), 0, []
    atoms.calc = calculator
    rng = np.random.default_rng([config.seed, done])
    if not atoms.get_momenta().any():
        thermalize_momenta(atoms, config.temperature, rng=rng)
        if len(atoms) > 1:
            Stationary(atoms, preserve_temperature=False)
    dynamics = integrator(atoms, config, rng)
    began = time.monotonic()
    atoms.get_forces()  # an element that the calculator lacks leaves no empty file
    with out.open("ab") as file:
        if not moments:
            moments.append(_write(file, atoms, about, 0))
        for step in range(done + 1, config.steps + 1):
            _step(dynamics, atoms, step)
            if step % config.interval == 0 or step == config.steps:
                moments.append(_write(file, atoms, about, step))
                listener.tick("molecular dynamics", step, config.steps)
    ms_per_step = 1000 * (time.monotonic() - began) / (config.steps - done)
    return _summary(moments, config.ensemble, ms_per_step)


def drift(times: Float[np.ndarray, " n"], energies: Float[np.ndarray, " n"]) -> float:
    """Slope in meV/atom/ps of a straight line through energies (eV/atom) at times (fs)."""
    away = times - times.mean()
    if not away.any():
        return 0.0
    return float(away @ (energies - energies.mean()) / (away @ away)) * 1e6


def _summary(moments: list[Moment], ensemble: Ensemble, ms_per_step: float) -> MDSummary:
    late = moments[len(moments) // 2 :]
    volumes = [moment.volume for moment in late if moment.volume is not None]
    energies = np.array([moment.total_energy for moment in moments])
    slope = drift(np.array([moment.time for moment in moments]), energies)
    return MDSummary(
        frames=len(moments),
        temperature=float(np.mean([moment.temperature for moment in late])),
        volume=float(np.mean(volumes)) if volumes else None,
        energy_drift=slope if ensemble is Ensemble.NVE else None,
        ms_per_step=ms_per_step,
    )


def _step(dynamics: Any, atoms: ase.Atoms, step: int) -> None:
    hint = "take a smaller timestep, or relax the structure first"
    try:
        dynamics.run(1)
    except (CalculationFailed, ValueError, np.linalg.LinAlgError) as error:
        # the first step has shown that the calculator takes these atoms
        raise ExplodedError(f"exploded in step {step} ({error}): {hint}") from error
    temperature = atoms.get_temperature()
    if not temperature < HOT:
        raise ExplodedError(f"exploded in step {step} ({temperature:.3g} K): {hint}")


def _about(atoms: ase.Atoms, config: MDConfig, origin: dict[str, str]) -> dict[str, Any]:
    """What makes two runs the same: start, settings (but for the number of steps), calculator."""
    start = hashlib.sha256()
    for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_momenta()):
        start.update(np.ascontiguousarray(array).tobytes())
    settings = config.model_dump(mode="json", exclude={"steps"})
    return {**settings, **origin, "start": start.hexdigest()[:16]}


def _write(file: BinaryIO, atoms: ase.Atoms, about: dict[str, Any], step: int) -> Moment:
    """Append one frame at once."""
    frame = atoms.copy()
    atoms.get_forces()
    found = atoms.calc.results
    known = {name: found[name] for name in ("energy", "forces", "stress") if name in found}
    frame.calc = SinglePointCalculator(frame, **known)
    moment = Moment.of(frame, step * about["timestep"])
    frame.info = {"step": step, "time": moment.time, "md": about}
    if SCHEME_KEY in about:  # so that the trajectory can be read as frames of that scheme
        frame.info[SCHEME_KEY] = about[SCHEME_KEY]
    text = io.StringIO()
    ase.io.write(text, frame, format="extxyz")
    file.write(text.getvalue().encode())
    file.flush()
    return moment


def _continued(
    out: Path, about: dict[str, Any], config: MDConfig
) -> tuple[ase.Atoms, int, list[Moment]]:
    """The last whole frame of this very run, its step, and all its moments; what a kill left of
    another frame is cut off."""
    moments, last, end = [], None, 0
    for frame, stop in _frames(out):
        if frame.info.get("md") != about:
            raise FileExistsError(
                f"{out} is no trajectory of this run (other settings, weights or structure): "
                "choose another file, or delete it first"
            )
        moments.append(Moment.of(frame, float(frame.info["time"])))
        last, end = frame, stop
    if last is None:
        raise FileExistsError(f"{out} exists and holds no frame: delete it first")
    done = int(last.info["step"])
    if done >= config.steps:
        raise FileExistsError(
            f"{out} is complete with {done} steps: choose another file, or more steps"
        )
    with out.open("r+b") as file:
        file.truncate(end)
    last.info = {}
    return last, done, moments


def _frames(path: Path) -> Iterator[tuple[ase.Atoms, int]]:
    """Whole frames of an extended XYZ file, each with the byte where it ends."""
    with path.open("rb") as file:
        while (first := file.readline()).strip().isdigit():
            lines = [first, *(file.readline() for _ in range(int(first) + 1))]
            if not lines[-1].endswith(b"\n"):
                return
            text = io.StringIO(b"".join(lines).decode())
            yield ase.io.read(text, format="extxyz"), file.tell()

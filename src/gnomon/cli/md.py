"""`gnomon md`: molecular dynamics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.options import CommandError
from gnomon.cli.shared import Json, read_crystals

if TYPE_CHECKING:
    from gnomon.crystals import Crystals


def md(
    structure: Annotated[str, typer.Argument(help="File of one crystal: CIF, POSCAR, extxyz, ...")],
    out: Annotated[Path, typer.Option(help="Trajectory, extended XYZ.")],
    weights: Annotated[str, typer.Option(help="Potential: a name, or a file.")] = "gnomon-1",
    ensemble: Annotated[
        str, typer.Option(help="nve, nvt-nose-hoover, nvt-langevin or npt.")
    ] = "nvt-langevin",
    temperature: Annotated[float, typer.Option(help="K.")] = 300.0,
    pressure: Annotated[float, typer.Option(help="GPa, for npt.")] = 0.0,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Steps in all.")] = 1000,
    interval: Annotated[int, typer.Option(help="Steps from frame to frame.")] = 10,
    supercell: Annotated[str, typer.Option(help="Repeats, as in 2 or 2,2,3.")] = "1",
    dtype: Annotated[str, typer.Option(help="Arithmetic: float32 or float64.")] = "float32",
    seed: Annotated[int, typer.Option(help="Seed of velocities and noise.")] = 0,
    json: Json = False,
) -> None:
    """Run molecular dynamics of a crystal.

    The same command goes on where it was stopped, and with more --steps it goes on further.

    Example: gnomon md NaCl.cif --supercell 2 --temperature 600 --steps 5000 --out nacl.extxyz
    """
    from pydantic import ValidationError

    from gnomon.dynamics.md import MDConfig, run

    try:
        config = MDConfig.model_validate(
            {
                "ensemble": ensemble,
                "temperature": temperature,
                "pressure": pressure,
                "timestep": timestep,
                "steps": steps,
                "interval": interval,
                "seed": seed,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = f"--{first['loc'][0]}: " if first["loc"] else ""
        raise CommandError(f"{name}{first['msg'].removeprefix('Value error, ')}") from error
    if not out.parent.is_dir():
        raise FileNotFoundError(
            f"{out.parent} is no folder: make it first, or choose another --out"
        )
    crystal = _crystal(structure, supercell)

    from dataclasses import asdict

    from gnomon.cli.terminal import listening, put_json, put_table, say
    from gnomon.dynamics.nonsense import alone
    from gnomon.dynamics.result import Status
    from gnomon.io import to_ase
    from gnomon.potential.calculator import Calculator

    if dtype not in ("float32", "float64"):
        raise CommandError(f"--dtype: float32 or float64, not {dtype!r}")
    calculator = Calculator(weights, dtype="float64" if dtype == "float64" else "float32")
    scheme = calculator.scheme
    if apart := alone(crystal, calculator.loaded.cutoff):
        say(f"{Status.ISOLATED}: {apart}")
    [atoms] = to_ase(crystal)
    atoms.calc = calculator
    with listening() as listener:
        found = run(
            atoms, config, out, origin={"energy_scheme": scheme, "dtype": dtype}, listener=listener
        )
    if json:
        put_json({**asdict(found), "scheme": scheme, "out": str(out)})
        return
    row: dict[str, float | None] = {
        "frames": found.frames,
        "temperature (K)": found.temperature,
        "volume (Å3)": found.volume,
    }
    if found.energy_drift is not None:
        row["energy drift (meV/atom/ps)"] = found.energy_drift
    put_table([{**row, "ms/step": found.ms_per_step}])
    say(f"scheme: {scheme}; trajectory: {out}")


def _crystal(structure: str, supercell: str) -> Crystals:
    """The one crystal of the file, repeated."""
    try:
        repeats = [int(number) for number in supercell.split(",")]
    except ValueError as error:
        raise CommandError(f"--supercell {supercell!r}: give 2 or 2,2,3") from error
    if len(repeats) not in (1, 3) or min(repeats) < 1:
        raise CommandError(f"--supercell {supercell!r}: give one or three numbers from 1 on")
    crystals = read_crystals([structure], strict=True).crystals
    if len(crystals) != 1:
        raise ValueError(f"{structure} holds {len(crystals)} crystals: give a file of one")
    return crystals.supercell(repeats if len(repeats) == 3 else repeats[0])

"""`gnomon md`: molecular dynamics."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from gnomon.cli.options import CommandError, Output, Section
from gnomon.cli.shared import place, read_crystals
from gnomon.crystals import Crystals
from gnomon.dynamics.md import Ensemble, MDConfig, run
from gnomon.dynamics.nonsense import alone
from gnomon.dynamics.result import Status
from gnomon.io import to_ase
from gnomon.potential.calculator import Calculator
from gnomon.potential.weights import DEFAULT_WEIGHTS
from gnomon.run.listener import Listener

SECTION = Section(
    without=("thermostat_time", "barostat_time"), defaults={"ensemble": Ensemble.NVT_LANGEVIN}
)


def md(
    structure: str,
    config: Annotated[MDConfig, SECTION],
    listener: Listener,
    *,
    out: Annotated[Path, place(".extxyz", ".xyz", goes_on=True)],
    weights: str = DEFAULT_WEIGHTS,
    supercell: str = "1",
    dtype: Literal["float32", "float64"] = "float32",
) -> Output:
    """Run molecular dynamics of a crystal.

    The same command goes on where it was stopped, and with more --steps it goes on further.

    Args:
        structure: file of one crystal: CIF, POSCAR, extxyz, .
        out: trajectory, extended XYZ.
        weights: potential: a name, or a file.
        supercell: repeats, as in 2 or 2,2,3.
        dtype: arithmetic.

    Example: gnomon md NaCl.cif --supercell 2 --temperature 600 --steps 5000 --out nacl.extxyz
    """
    crystal = _crystal(structure, supercell)
    calculator = Calculator(weights, dtype=dtype)
    scheme = calculator.scheme
    if apart := alone(crystal, calculator.loaded.cutoff):
        listener.say(f"{Status.ISOLATED}: {apart}")
    [atoms] = to_ase(crystal)
    atoms.calc = calculator
    origin = {"energy_scheme": scheme, "dtype": dtype}
    found = run(atoms, config, out, origin=origin, listener=listener)
    row: dict[str, float | None] = {
        "frames": found.frames,
        "temperature (K)": found.temperature,
        "volume (Å3)": found.volume,
    }
    if found.energy_drift is not None:
        row["energy drift (meV/atom/ps)"] = found.energy_drift
    return Output(
        {**asdict(found), "scheme": scheme, "out": str(out)},
        ([{**row, "ms/step": found.ms_per_step}],),
        said=(f"scheme: {scheme}; trajectory: {out}",),
    )


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

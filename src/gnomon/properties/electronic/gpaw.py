"""Band gap and density of states with GPAW, in the geometry of a verification.

The crystal is relaxed as ``gnomon verify --engine gpaw`` does it, whose checkpoints serve here too,
then one self-consistent calculation, and one at its fixed density along the path of Setyawan and
Curtarolo (Comput. Mater. Sci. 49, 299 (2010), by ASE).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.dynamics.nonsense import unphysical
from gnomon.evaluate.gpaw import PRESETS, GpawConfig, energy_scheme, make, mesh, plane_waves
from gnomon.evaluate.moments import starting_moments
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.evaluate.table import evaluate_all
from gnomon.io import to_ase
from gnomon.io.tables import OK
from gnomon.properties import answered, reason
from gnomon.properties.electronic.bands import SCHEMA, Bands
from gnomon.properties.registry import PropertySettings
from gnomon.run.files import cache_folder
from gnomon.run.pool import Lost, Pool, processes
from gnomon.structure.symmetry import SymmetryError, primitive

SPARE = 4
"""Bands more than are wanted: the highest of a calculation do not converge."""


class BandsConfig(BaseModel):
    """How a band gap is computed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: str = Field(default="screening", description="of GPAW: screening or tight")
    relax: bool = Field(default=True, description="relax first, as a verification does")
    line_density: float = Field(default=15.0, gt=0, description="points of the path for each 1/Å")
    empty: int = Field(default=8, ge=1, description="empty bands")
    workers: int = Field(default=1, ge=1, description="processes")
    max_seconds: float = Field(default=3600.0, gt=0, description="for the bands of a crystal")


class DftBandGap:
    """Band gap, bands and density of states by GPAW; a ``Property``."""

    needs: tuple[str, ...] = ()
    schema = SCHEMA

    def __init__(self, config: BandsConfig, settings: PropertySettings) -> None:
        """With the limits of relaxation and the listener of the settings."""
        if config.preset not in PRESETS:
            raise ValueError(f"no preset {config.preset!r} of GPAW: {', '.join(PRESETS)}")
        self.config, self.settings = config, settings
        self.of_gpaw = PRESETS[config.preset][0].model_copy(update={"second": None})

    def compute(self, crystals: Crystals, known: Mapping[str, pa.Table]) -> pa.Table:
        """Relax, converge a density, and solve along the path; each failure is a status.

        Raises:
            ValueError: if GPAW is not installed.
        """
        config, settings = self.config, self.settings
        named = EvaluatorConfig(name=f"gpaw:{config.preset}", workers=config.workers)
        evaluator = make(named, settings.relax, settings.listener)
        rows: list[dict[str, Any]] = [{"status": why or OK} for why in unphysical(crystals)]
        good = [i for i, row in enumerate(rows) if row["status"] == OK]
        relaxed = list(crystals)
        if config.relax:
            some = crystals.take(good)
            found = evaluate_all(some, evaluator, settings.listener, "relaxing by GPAW")
            for k, i in enumerate(good):
                rows[i], relaxed[i] = {"status": reason(found, k)}, found.relaxed[k]
            good = [i for i in good if rows[i]["status"] == OK]
        scheme = str(energy_scheme(self.of_gpaw))
        folder = cache_folder() / "bands" / hashlib.sha256(scheme.encode()).hexdigest()[:16]
        shared = (self.of_gpaw, config, folder)
        workers = processes(config.workers)
        with Pool[Crystals, Any](bands_or_why, shared, workers, config.max_seconds) as pool:
            for i, one in zip(good, pool.run([relaxed[i] for i in good]), strict=True):
                lost = one.reason if isinstance(one, Lost) else one
                rows[i] = {"status": lost} if isinstance(lost, str) else _row(lost)
        return answered(SCHEMA, crystals.ids, scheme, rows)


def _row(bands: Bands) -> dict[str, Any]:
    try:
        return bands.row()
    except ValueError as error:
        return {"status": f"{error} (dft_band_gap.empty)"}


def bands_or_why(
    config: GpawConfig, options: BandsConfig, folder: Path, crystal: Crystals
) -> Bands | str:
    """The bands of one crystal as it is, or a sentence why there are none."""
    try:
        return bands_of(config, options, folder, crystal)
    except Exception as error:  # a foreign code raises anything; the row says what
        return f"GPAW: {type(error).__name__}: {error}"


def bands_of(config: GpawConfig, options: BandsConfig, folder: Path, crystal: Crystals) -> Bands:
    """Eigenvalues of a crystal on its mesh and along its path.

    Args:
        config: settings of GPAW.
        options: those of the property.
        folder: of logs.
        crystal: as it is; its primitive cell is taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(SymmetryError):
        crystal = primitive(crystal)
    (atoms,) = to_ase(crystal)
    atoms.set_initial_magnetic_moments(starting_moments(atoms.numbers))
    path = atoms.cell.bandpath(density=options.line_density)
    log = folder / f"{crystal.ids[0]}.txt"
    bands = {"nbands": -(options.empty + SPARE)}
    atoms.calc = plane_waves(config, mesh(atoms, config.kpt_density), log, **bands)
    atoms.get_potential_energy()
    spins, wanted = range(atoms.calc.get_number_of_spins()), atoms.calc.get_number_of_bands()
    points = range(len(atoms.calc.get_ibz_k_points()))
    on_mesh = [[atoms.calc.get_eigenvalues(kpt=k, spin=s) for k in points] for s in spins]
    along = atoms.calc.fixed_density(
        symmetry="off",
        kpts=path,
        txt=str(log.with_suffix(".bands.txt")),
        convergence={"bands": wanted - SPARE},
    )
    corners, at, names = path.get_linear_kpoint_axis()
    weights = np.asarray(atoms.calc.get_k_point_weights(), np.float64)
    return Bands(
        path=np.asarray(corners, np.float64),
        labels=tuple(zip(names, np.asarray(at).tolist(), strict=True)),
        along=np.asarray(along.band_structure().energies, np.float64)[..., :-SPARE],
        mesh=np.asarray(on_mesh, np.float64)[..., :-SPARE],
        weights=weights / weights.sum(),
        fermi=float(atoms.calc.get_fermi_level()),
        atoms=len(atoms),
        width=config.width,
    )


def make_property(settings: PropertySettings) -> DftBandGap:
    """The property."""
    return DftBandGap(settings.of("dft_band_gap", BandsConfig), settings)

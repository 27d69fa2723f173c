"""DFT with GPAW as an evaluator: PBE relaxation of positions and cell in plane waves.

GPAW: Mortensen et al., J. Chem. Phys. 160, 092503 (2024).  The cutoff is the same for every cell
of a relaxation, and so is that of the stress (``gnomon.evaluate.pulay``).
The mesh of k-points is kept during a relaxation, and the energy is that of the mesh which belongs
to the relaxed cell.  No +U: oxides and fluorides of 3d metals need VASP's protocol.

The second opinion is r2SCAN (Furness et al., J. Phys. Chem. Lett. 11, 8208 (2020)), not
self-consistent: its energy on the density and in the geometry of PBE, an energy scheme of its own.
"""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gnomon.crystals import Crystals
from gnomon.dynamics.result import Relaxation, Status
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate import Evaluations
from gnomon.evaluate.ase import GRACE, in_pool
from gnomon.evaluate.moments import starting_moments
from gnomon.evaluate.pulay import ConstantCutoff
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.evaluate.relaxing import CalculationError, relax_one
from gnomon.evaluate.resumable import Keeper
from gnomon.evaluate.scheme import EnergyScheme
from gnomon.io import to_ase
from gnomon.run.files import cache_folder
from gnomon.run.listener import Listener
from gnomon.run.pool import processes
from gnomon.run.registry import no_such

INSTALL = (
    "pip install 'gnomon[gpaw]' (it is built from source and needs libxc-dev, libopenblas-dev and "
    "libfftw3-dev, or their like)"
)

R2SCAN = "MGGA_X_R2SCAN+MGGA_C_R2SCAN"
"""The functional by its names in libxc, which has it since release 5.1."""


class GpawConfig(BaseModel):
    """What fixes the energies of GPAW."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ecut: float = Field(gt=0, description="cutoff of the plane waves, eV")
    kpt_density: float = Field(gt=0, description="k-points for each 1/Å of reciprocal length")
    relax_kpt_density: float | None = Field(
        default=None, gt=0, description="the same while a crystal relaxes, if another"
    )
    width: float = Field(gt=0, description="of the Fermi-Dirac occupations, eV")
    energy_convergence: float = Field(gt=0, description="of the SCF, eV a valence electron")
    max_iterations: int = Field(default=200, ge=1, description="of the SCF")
    second: Literal["r2SCAN"] | None = Field(
        default=None, description="functional whose energy is taken on the density of PBE"
    )


SCREENING = GpawConfig(
    ecut=400, kpt_density=4.5, relax_kpt_density=3.0, width=0.1, energy_convergence=1e-4
)
"""With fewer k-points energies would decide about hulls of alloys by chance: copper at 3.64 Å is
off by -12 and +16 meV/atom with 9 and 10 each way (3 for each 1/Å), by +5, 0 and +2 with 12, 13 and
15.  Geometries need no more: its lattice constant is the same to 0.001 Å."""

TIGHT = GpawConfig(ecut=700, kpt_density=6.0, width=0.05, energy_convergence=1e-6)

PRESETS: dict[str, tuple[GpawConfig, RelaxConfig]] = {
    "screening": (SCREENING, RelaxConfig(fmax=0.05, max_steps=60, max_seconds=3600)),
    "tight": (TIGHT, RelaxConfig(fmax=0.01, max_steps=120, max_seconds=86_400)),
    "r2scan": (
        TIGHT.model_copy(update={"second": "r2SCAN"}),
        RelaxConfig(fmax=0.01, max_steps=120, max_seconds=86_400),
    ),
}
"""By the name that follows ``gpaw:``."""


class GpawEvaluator:
    """Relaxes crystals with GPAW in a pool of processes; an ``Evaluator``."""

    def __init__(
        self, config: GpawConfig, relax: RelaxConfig, folder: Path, workers: int = 1
    ) -> None:
        """``folder`` keeps the checkpoints and logs of all schemes, each in a folder of its own.

        Raises:
            ValueError: if GPAW is not installed.
        """
        if find_spec("gpaw") is None:
            raise ValueError(f"GPAW is not installed: {INSTALL}")
        self.config, self.relax, self.workers = config, relax, max(1, workers)
        self.folder = folder / hashlib.sha256(self._relaxation_scheme.encode()).hexdigest()[:16]

    @property
    def scheme(self) -> str:
        """Functional, release, PAW data, cutoff, k-points and occupations."""
        return str(energy_scheme(self.config))

    @property
    def _relaxation_scheme(self) -> str:
        """That of the geometry, which a second functional does not change."""
        return str(energy_scheme(self.config.model_copy(update={"second": None})))

    def evaluate(self, crystals: Any) -> Iterator[Evaluations]:
        """Yield results one by one, in the order of the crystals."""
        shared = (self.config, self.relax, self.folder)
        limit = GRACE * self.relax.max_seconds
        yield from in_pool(gpaw_one, shared, crystals, self.workers, limit, self.scheme)


def energy_scheme(config: GpawConfig) -> EnergyScheme:
    """The energy scheme of these settings with the GPAW that is installed."""
    coarse = config.relax_kpt_density
    try:
        data = f"gpaw-data {version('gpaw-data')}"
    except PackageNotFoundError:
        data = "GPAW_SETUP_PATH"
    return EnergyScheme(
        functional=f"{config.second}@PBE" if config.second else "PBE",
        code=f"GPAW {version('gpaw')}",
        pseudopotentials=data,
        basis=f"{config.ecut:g} eV at constant cutoff, {config.kpt_density:g} k-points Å, "
        f"{config.width:g} eV Fermi-Dirac"
        + (f", relaxed with {coarse:g} k-points Å" if coarse is not None else ""),
    )


def gpaw_one(config: GpawConfig, relax: RelaxConfig, folder: Path, crystal: Crystals) -> Relaxation:
    """Relax one crystal; every failure is a status."""
    log = folder / f"{crystal.ids[0]}.txt"
    steps = config.model_copy(
        update={"kpt_density": config.relax_kpt_density or config.kpt_density}
    )
    (atoms,) = to_ase(crystal)
    first = mesh(atoms, steps.kpt_density)
    unconverged = importlib.import_module("gpaw").KohnShamConvergenceError
    return relax_one(
        crystal,
        partial(make_calculator, steps, log),
        relax,
        optimizer="BFGS",
        watch=Keeper(log.with_suffix(".json"), relax, unconverged),
        final_energy=partial(_final_energy, config, log, first),
    )


def make_calculator(config: GpawConfig, log: Path, atoms: Any) -> Any:
    """GPAW for these atoms, whose starting moments it sets; its stress is at constant cutoff.

    Raises:
        CalculationError: if there is no PAW data for an element.
    """
    gpaw = importlib.import_module("gpaw")
    log.parent.mkdir(parents=True, exist_ok=True)
    if missing := _without_data(gpaw, sorted(set(atoms.get_chemical_symbols()))):
        raise CalculationError(
            Status.INVALID_INPUT, f"GPAW has no PAW data for {', '.join(missing)}"
        )
    atoms.set_initial_magnetic_moments(starting_moments(atoms.numbers))
    size = mesh(atoms, config.kpt_density)

    def at_cutoff(cutoff: float, txt: Path) -> Any:
        return plane_waves(config.model_copy(update={"ecut": cutoff}), size, txt)

    def energy_at(cutoff: float, atoms: Any) -> float:
        other = atoms.copy()
        other.calc = at_cutoff(cutoff, log.with_suffix(".cutoff.txt"))
        return float(other.get_potential_energy())

    return ConstantCutoff(at_cutoff(config.ecut, log), config.ecut, energy_at)


def plane_waves(config: GpawConfig, size: tuple[int, int, int], txt: Path, **others: Any) -> Any:
    """GPAW with these settings, on a mesh of this size around Γ.

    Args:
        config: settings.
        size: divisions.
        txt: log.
        others: what GPAW takes beside.
    """
    return importlib.import_module("gpaw").GPAW(
        mode={"name": "pw", "ecut": config.ecut},
        xc="PBE",
        kpts={"size": size, "gamma": True},
        occupations={"name": "fermi-dirac", "width": config.width},
        convergence={"energy": config.energy_convergence},
        maxiter=config.max_iterations,
        txt=str(txt),
        **others,
    )


def mesh(atoms: Any, density: float) -> tuple[int, int, int]:
    """Divisions of a mesh around Γ with at least ``density`` k-points for each 1/Å."""
    from ase.calculators.calculator import kptdensity2monkhorstpack

    a, b, c = kptdensity2monkhorstpack(atoms, density, even=False)
    return int(a), int(b), int(c)


def _final_energy(config: GpawConfig, log: Path, first: tuple[int, int, int], atoms: Any) -> float:
    """eV of the cell, with the k-points that belong to it, by the functional that was asked for.

    Args:
        config: settings.
        log: of GPAW.
        first: the mesh of the relaxation.
        atoms: as relaxed.
    """
    if mesh(atoms, config.kpt_density) != first:
        atoms.calc = make_calculator(config, log, atoms)
    energy = float(atoms.get_potential_energy())
    if config.second is None:
        return energy
    with warnings.catch_warnings():
        # of a build of libxc that disturbs self-consistent meta-GGAs, which this is none of
        warnings.filterwarnings("ignore", message="libxc should be compiled")
        return energy + float(atoms.calc.get_xc_difference(R2SCAN))


def _without_data(gpaw: Any, symbols: list[str]) -> list[str]:
    """Elements for which no folder of PAW data has a PBE file."""
    folders = [Path(folder) for folder in gpaw.setup_paths]
    return [
        symbol
        for symbol in symbols
        if not any((f / f"{symbol}.PBE{end}").is_file() for f in folders for end in (".gz", ""))
    ]


def make(
    config: EvaluatorConfig,
    relax: RelaxConfig,
    listener: Listener,
    folder: Path | None = None,
) -> GpawEvaluator:
    """The evaluator of a preset: ``gpaw`` (which is ``gpaw:screening``), ``gpaw:tight`` ...

    Args:
        config: its options are settings of ``GpawConfig`` that replace the preset's.
        relax: its settings that were given replace the preset's.
        listener: hears nothing.
        folder: of checkpoints and logs; in gnomon's cache by default.

    Raises:
        ValueError: if there is no such preset or setting, or GPAW is not installed.
    """
    preset = config.name.partition(":")[2] or "screening"
    if preset not in PRESETS:
        raise ValueError(no_such("preset of GPAW", preset, PRESETS))
    settings, limits = PRESETS[preset]
    settings = GpawConfig.model_validate(settings.model_dump() | config.options)
    given = {name: getattr(relax, name) for name in relax.model_fields_set}
    limits = limits.model_copy(update=given)
    return GpawEvaluator(
        settings, limits, folder or cache_folder() / "gpaw", processes(config.workers)
    )

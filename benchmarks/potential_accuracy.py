"""Errors of potentials in one table, against DFT and against nequix-oam-1-pft.

    python -m venv peers
    peers/bin/pip install -e .
    peers/bin/pip install chgnet torch==2.13.0        # the CPU wheel of torch does
    peers/bin/pip install --no-deps nequix
    peers/bin/pip install matscipy e3nn-jax jraph pyyaml cloudpickle tqdm
    peers/bin/python benchmarks/potential_accuracy.py --data DATA --weights WEIGHTS

(nequix whole asks for CUDA wheels and wandb; those packages are what its JAX calculator imports.)

Against DFT: random frames of MPtrj and frames at high temperature and pressure (energies, forces,
stresses), and relaxed WBM crystals (energies).  Against nequix-oam-1-pft: relaxed Materials Project
crystals of held-out formulas (formula hash 75 to 84) and mild perturbations of them, those where
the reference finds an rms force below 1 eV/Å.  All energies are compared before corrections:
CHGNet's lose the MP2020 correction that it was trained with.

Errors are means over crystals (energy) and over components (forces; nine of the stress), of the
crystals that every model answers; failures of each are counted beside.
"""

import argparse
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gnomon.crystals import Crystals
from gnomon.evaluate.corrections import mp2020_correction_per_atom
from gnomon.io import as_crystals
from gnomon.io.frames import read_frames
from gnomon.ragged import ragged_take
from peers import GPA, Chgnet, Gnomon, Labels, Model, NequixAuthors, label
from record import RESULTS, quiet, save
from samples import HELD_OUT, held_out, perturbations

RESULT = RESULTS / "potential_accuracy.json"
REFERENCE = "nequix-oam-1-pft"
MAX_ATOMS = 24
MILD = 1.0
"""eV/Å, rms force of a mildly perturbed crystal under the reference."""
DFT = {
    "MPtrj, 1,000 random frames": "mptrj-random-1k.extxyz.gz",
    "high temperature and pressure": "mpf-TP.extxyz.gz",
}
WBM = "wbm-random-pbe52-equilibrium-2025.1.json.gz"


class Case(NamedTuple):
    """Crystals with what is taken as the truth; NaN where there is none."""

    name: str
    reference: str
    crystals: Crystals
    truth: Labels


def dft_cases(data: Path, sample: int | None, largest: int, seed: int) -> list[Case]:
    cases = []
    for name, file in DFT.items():
        frames = read_frames(
            data / "dft_forces" / file, scheme="uncorrected PBE(+U)", max_atoms=largest
        ).frames
        chosen = drawn(len(frames), sample, seed)
        frames = frames.take(chosen)
        truth = Labels(frames.energy, frames.forces, frames.stress)
        cases.append(Case(name, "PBE(+U), uncorrected", frames.crystals, truth))
    cases.append(wbm_case(data / "wbm" / WBM, sample, largest, seed))
    return cases


def wbm_case(path: Path, sample: int | None, largest: int, seed: int) -> Case:
    from pymatgen.core import Structure

    rows = json.loads(gzip.decompress(path.read_bytes()))
    rows = [row for row in rows if len(row["structure"]["sites"]) <= largest]
    rows = [rows[i] for i in drawn(len(rows), sample, seed)]
    crystals = as_crystals([Structure.from_dict(row["structure"]) for row in rows])
    truth = Labels.missing(crystals)
    truth.energy[:] = [row["energy"] for row in rows]
    return Case("WBM, relaxed", "PBE(+U), uncorrected", crystals, truth)


def drawn(n: int, sample: int | None, seed: int) -> np.ndarray:
    """Indices of a random sample, or all."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[:sample])


def reference_cases(reference: Model, crystals: Crystals, seed: int, cache: Path | None) -> Any:
    """Cases whose truth is the reference's, and the number of frames that are too far off."""
    cases, dropped = [], {}
    for name, moved in perturbations(crystals, seed).items():
        truth, _ = cached(reference, moved, cache)
        mild = np.isfinite(truth.energy) & (rms_forces(moved, truth.forces) < MILD)
        atoms, _ = ragged_take(moved.offsets, np.flatnonzero(mild))
        kept = Labels(truth.energy[mild], truth.forces[atoms], truth.stress[mild])
        dropped[name] = int((~mild).sum())
        cases.append(Case(f"held-out, {name}", REFERENCE, moved.take(mild), kept))
    return cases, dropped


def cached(model: Model, crystals: Crystals, cache: Path | None) -> tuple[Labels, list[str]]:
    """A model's labels and failures, kept in a folder under a hash of crystals and model."""
    if cache is None:
        return label(model, crystals)
    digest = hashlib.sha256("\n".join([model.identity, *crystals.ids]).encode()).hexdigest()
    path = cache / f"{digest[:32]}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        labels, failures = label(model, crystals)
        np.savez(path, failures=np.array(failures, str), **labels._asdict())
    with np.load(path, allow_pickle=False) as file:
        return Labels(*(file[field] for field in Labels._fields)), file["failures"].tolist()


def rms_forces(crystals: Crystals, forces: np.ndarray) -> np.ndarray:
    """(n,), root of the mean squared length of the forces on the atoms of each crystal, eV/Å."""
    squared = np.add.reduceat((forces**2).sum(axis=1), crystals.offsets[:-1])
    return np.sqrt(squared / crystals.n_atoms)


def compare(case: Case, models: list[Model], cache: Path | None) -> dict[str, Any]:
    """The row of each model, on the crystals that all of them answer."""
    crystals, truth = case.crystals, case.truth
    corrections = np.zeros(len(crystals))
    if any(model.mp2020_corrected for model in models):
        corrections = mp2020_correction_per_atom(crystals) * crystals.n_atoms
    said, failures = {}, {}
    for model in models:
        labels, failures[model.name] = cached(model, crystals, cache)
        if model.mp2020_corrected:
            labels.energy[:] -= corrections
        said[model.name] = labels
    common = np.all([np.isfinite(labels.energy) for labels in said.values()], axis=0)
    rms = rms_forces(crystals, truth.forces)
    largest = np.sqrt((truth.forces**2).sum(axis=1))
    return {
        "crystals": case.name,
        "reference": case.reference,
        "n": len(crystals),
        "n_compared": int(common.sum()),
        "rms_force_eV_per_angstrom": spread(rms),
        "largest_force_eV_per_angstrom": spread(largest)[-1:],
        "models": {
            name: {
                **errors(crystals, labels, truth, common),
                "failed": len(failures[name]),
                "failures": failures[name][:10],
            }
            for name, labels in said.items()
        },
    }


def spread(values: np.ndarray) -> list[float]:
    """Smallest, median and largest, where there are any."""
    finite = values[np.isfinite(values)]
    return [round(float(v), 4) for v in np.quantile(finite, [0, 0.5, 1])] if finite.size else []


def errors(
    crystals: Crystals, said: Labels, truth: Labels, rows: np.ndarray
) -> dict[str, float | None]:
    """Mean absolute errors; none where the truth has no such labels."""
    energy = 1e3 * np.abs(said.energy - truth.energy) / crystals.n_atoms
    forces = np.abs(said.forces - truth.forces)[rows[crystals.crystal_index]]
    stress = np.abs(said.stress - truth.stress)[rows] / GPA
    return {
        "energy_mae_meV_per_atom": mean(energy[rows]),
        "energy_median_meV_per_atom": mean(energy[rows], np.median),
        "force_mae_eV_per_angstrom": mean(forces),
        "stress_mae_GPa": mean(stress),
    }


def mean(values: np.ndarray, average: Any = np.mean) -> float | None:
    finite = values[np.isfinite(values)]
    return float(f"{average(finite):.4g}") if finite.size else None


def make_model(name: str, weights: Path) -> Model:
    """``chgnet``, ``authors:NAME`` for the Nequix authors' package, or a potential of gnomon."""
    if name == "chgnet":
        return Chgnet()
    if name.startswith("authors:"):
        return NequixAuthors(weights / f"{name.removeprefix('authors:')}.nqx")
    file = weights / f"{name}.nqx"
    return Gnomon(str(file) if file.exists() else name, name)


def table(cases: list[dict[str, Any]]) -> str:
    """Markdown: energy (meV/atom) / forces (eV/Å) / stress (GPa) of each model."""
    keys = ("energy_mae_meV_per_atom", "force_mae_eV_per_angstrom", "stress_mae_GPa")
    names = list(cases[0]["models"])
    lines = [f"| crystals | n | {' | '.join(names)} |", "| --- " * (len(names) + 2) + "|"]
    for case in cases:
        cells = []
        for name in names:
            row = case["models"][name]
            values = " / ".join("–" if row[k] is None else f"{row[k]:.3g}" for k in keys)
            cells.append(values + (f" ({row['failed']} failed)" if row["failed"] else ""))
        lines.append(f"| {case['crystals']} | {case['n_compared']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the reference data")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the .nqx files")
    parser.add_argument(
        "--models",
        nargs="+",
        default=["gnomon-1", "nequix-mp-1", "nequix-oam-1-pft", "chgnet"],
        help="names of gnomon's potentials, weight files, chgnet, authors:NAME",
    )
    parser.add_argument("--reference", default=REFERENCE, help="potential that labels, as --models")
    parser.add_argument("--sample", type=int, default=400, help="held-out crystals")
    parser.add_argument("--dft-sample", type=int, help="frames of each DFT file; all if not given")
    parser.add_argument("--dft-max-atoms", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder that keeps what each model said")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    quiet()
    models = [make_model(name, given.weights) for name in given.models]
    crystals = held_out(given.data, given.sample, (1, MAX_ATOMS), given.seed)
    reference = make_model(given.reference, given.weights)
    against, dropped = reference_cases(reference, crystals, given.seed, given.cache)
    cases = dft_cases(given.data, given.dft_sample, given.dft_max_atoms, given.seed) + against
    rows = [compare(case, models, given.cache) for case in cases]
    result = {
        "benchmark": "potential_accuracy",
        "energies": "before corrections; CHGNet's less MP2020",
        "held_out_formula_hash": HELD_OUT,
        "max_atoms": {"dft": given.dft_max_atoms, "held-out": MAX_ATOMS},
        "seed": given.seed,
        "left_out_for_rms_force_of_1_eV_per_angstrom": dropped,
        "rows": rows,
    }
    save(result, given.out)
    print(table(rows))


if __name__ == "__main__":
    main()

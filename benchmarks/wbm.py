"""Stable or not: potentials on crystals of WBM, counted as Matbench-Discovery does.

    python benchmarks/wbm.py --data DATA --weights gnomon-2 gnomon-1 --rows 400 --reference TEACHER

``--rows`` crystals of ``wbm/wbm_pool.parquet`` (Wang, Botti, Marques 2021) are drawn with
``--seed`` and relaxed from their given structures.  Energies get the MP2020 corrections; those of
the elements are fitted by least squares on the crystals of the other WBM file, which the potential
computes as they are.  Then formation energies are placed on the hull of
``materials_project/ground_states.parquet``, and what lies at most 0 above it counts as stable; the
truth is the column ``formation_energy_per_atom_mp2020`` on the same hull.  Crystals with an element
that has no phase on that hull (Pr, Yb, Hg) or is in no crystal of the fit are left out.  With
``--reference`` the first ``--reference-rows`` are relaxed by the teacher too.
"""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.evaluate.corrections import mp2020_correction_per_atom
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, compositions
from gnomon.io import as_crystals, from_arrow
from gnomon.potential.predict import LoadedPotential, load_potential
from record import RESULTS, save
from relaxed import relaxed_energies

RESULT = RESULTS / "wbm.json"
RELAX = RelaxConfig(fmax=0.05, max_steps=200, symmetry=False)
DRAWS = 1000
"""Bootstrap samples of an interval."""


class Set(NamedTuple):
    """Crystals with their formation energies and corrections, eV/atom."""

    crystals: Crystals
    formation: np.ndarray
    corrections: np.ndarray


def set_of(crystals: Crystals, formation: Any) -> Set:
    return Set(crystals, np.asarray(formation), mp2020_correction_per_atom(crystals))


def drawn(data: Path, rows: int, seed: int) -> Set:
    """Rows of the pool."""
    table = pq.read_table(data / "wbm" / "wbm_pool.parquet")
    table = table.take(np.random.default_rng(seed).permutation(len(table))[:rows])
    return set_of(from_arrow(table), table["formation_energy_per_atom_mp2020"].to_numpy())


def fitted_on(data: Path) -> Set:
    """The other file, on which the elements are fitted."""
    from pymatgen.core import Structure

    file = data / "wbm" / "wbm-random-pbe52-equilibrium-2025.1.json.gz"
    rows = json.loads(gzip.decompress(file.read_bytes()))
    crystals = as_crystals([Structure.from_dict(row["structure"]) for row in rows])
    return set_of(crystals, [row["corrected_formation_energy_per_atom"] for row in rows])


def known_hull(data: Path) -> tuple[Hull, np.ndarray]:
    """The hull, and which elements have a phase of their own on it."""
    table = pq.read_table(data / "materials_project" / "ground_states.parquet")
    formulas = table["reduced_formula"].to_pylist()
    composition = compositions(formulas)
    energy = table["formation_energy_per_atom"].to_numpy()
    pure = (composition > 0).sum(axis=1) == 1
    ids = np.array(formulas, dtype=object)
    return Hull(Phases(ids, composition, energy, "Materials Project")), composition[pure].any(0)


def score(above: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """F1 with a 95 % interval by bootstrap, and errors of the distance to the hull in meV/atom."""
    said, true = above <= 0, truth <= 0
    again = np.random.default_rng(0).integers(0, len(said), (DRAWS, len(said)))

    def f1(said: np.ndarray, true: np.ndarray) -> Any:
        both = 2 * (said & true).sum(axis=-1)
        return both / np.maximum(said.sum(axis=-1) + true.sum(axis=-1), 1)

    low, high = np.quantile(f1(said[again], true[again]), [0.025, 0.975])
    off = 1e3 * (above - truth)
    return {
        "n": len(said),
        "stable": int(true.sum()),
        "F1": round(float(f1(said, true)), 3),
        "F1_95_percent": [round(float(low), 3), round(float(high), 3)],
        "precision": round(float((said & true).sum() / max(said.sum(), 1)), 3),
        "recall": round(float((said & true).sum() / max(true.sum(), 1)), 3),
        "mean_absolute_error": round(float(np.abs(off).mean()), 1),
        "bias": round(float(off.mean()), 1),
    }


def fractions(crystals: Crystals) -> np.ndarray:
    return np.asarray(crystals.composition / crystals.n_atoms[:, None])


def judged_rows(
    pool: Set, other: Set, hull: Hull, on_hull: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which rows of the pool are judged, and how far above the hull they are by DFT (eV/atom)."""
    judged = on_hull & (other.crystals.composition > 0).any(axis=0)
    counted = ~pool.crystals.composition[:, ~judged].any(axis=1)
    truth = np.full(len(counted), np.nan)
    truth[counted] = hull.e_above_hull(pool.crystals.composition[counted], pool.formation[counted])
    return counted, truth


def formed(potential: LoadedPotential, energy: np.ndarray, pool: Set, other: Set) -> np.ndarray:
    """Formation energies of the first rows of the pool, elements fitted on the other set."""
    single = potential.predict(other.crystals).energy / other.crystals.n_atoms
    wanted = single + other.corrections - other.formation
    zero = np.linalg.lstsq(fractions(other.crystals), wanted, rcond=None)[0]
    n = len(energy)
    return np.asarray(energy + pool.corrections[:n] - fractions(pool.crystals)[:n] @ zero)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    pool, other = drawn(given.data, given.rows, given.seed), fitted_on(given.data)
    hull, on_hull = known_hull(given.data)
    counted, truth = judged_rows(pool, other, hull, on_hull)
    teacher = load_potential(given.reference) if given.reference else None
    first = min(given.rows, given.reference_rows)
    found, energies = {}, {}
    for potential in [*([teacher] if teacher else []), *map(load_potential, given.weights)]:
        n = first if potential is teacher else given.rows
        energy = relaxed_energies(potential, pool.crystals[:n], given.work, "wbm", RELAX)
        energies[potential.scheme] = energy
        placed = formed(potential, energy, pool, other)
        row: dict[str, Any] = {"failed": int(np.isnan(energy).sum())}
        for count in sorted({first, n}):
            use = np.flatnonzero(counted[:count] & np.isfinite(placed[:count]))
            above = hull.e_above_hull(pool.crystals.composition[use], placed[use])
            row[f"first {count}"] = score(np.asarray(above), truth[use])
        if teacher is not None and potential is not teacher:
            off = 1e3 * (energy[:first] - energies[teacher.scheme])
            off = off[np.isfinite(off)]
            row["from_the_reference"] = {
                "n": len(off),
                "mean": round(float(np.abs(off).mean()), 1),
                "median": round(float(np.median(np.abs(off))), 1),
                "bias": round(float(off.mean()), 1),
            }
        found[potential.scheme] = row
    return {
        "rows": given.rows,
        "seed": given.seed,
        "left_out": int((~counted).sum()),
        "units": "meV/atom",
        "potentials": found,
    }


def arguments(about: str | None, rows: int, out: Path) -> argparse.ArgumentParser:
    """What every benchmark asks that relaxes the same crystals of WBM."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", default=["gnomon-2", "gnomon-1"])
    parser.add_argument("--rows", type=int, default=rows)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("relaxed"), help="energies are kept here")
    parser.add_argument("--out", type=Path, default=out)
    return parser


def main() -> None:
    """Everything that was relaxed is kept: the same call goes on where it was stopped."""
    parser = arguments(__doc__, rows=400, out=RESULT)
    parser.add_argument("--reference", help="name or file of the teacher's weights")
    parser.add_argument("--reference-rows", type=int, default=400)
    given = parser.parse_args()
    save(measure(given), given.out)


if __name__ == "__main__":
    main()

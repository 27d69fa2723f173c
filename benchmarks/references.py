"""Energies of elements by a potential: measured ground states, and what compounds would have.

    python benchmarks/references.py --data DATA --weights gnomon-2 nequix-oam-1-pft

``--rows`` compounds of ``materials_project/structures.parquet`` with formula hashes below 75 and up
to ``--atoms`` atoms, as they are there (not relaxed), MP2020 corrections; energies of the elements
by least squares from their formation energies.  What the fit is worth shows on formulas of hashes
75 to 84: the error of formation energies with measured references and with fitted ones.  Ground
states are those of ``gnomon.chemistry.elemental``, relaxed.  Writes the table in the package and
the result.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gnomon.chemistry.elemental import ground_state
from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import SYMBOLS
from gnomon.evaluate import references as package
from gnomon.evaluate.corrections import SCHEME_SUFFIX, mp2020_correction_per_atom
from gnomon.evaluate.references import Reference, References
from gnomon.io import from_arrow
from gnomon.potential.predict import LoadedPotential, load_potential
from record import RESULTS, save
from relaxed import relaxed_energies

RESULT = RESULTS / "references.json"
TABLE = Path(package.__file__).parent / "data" / package.FILE
TRAIN, CHECK = (0, 74), (75, 84)
"""Formula hashes, both ends included."""

RELAX = RelaxConfig(fmax=0.01, max_steps=300, symmetry=False)
PART = 512
"""Crystals between two savings."""

LARGE = 0.05
"""eV/atom: shifts that the result lists."""

SOURCE = (
    "least squares on {} Materials Project compounds (formula hashes below 75, up to {} atoms, "
    "not relaxed): benchmarks/references.py"
)


def compounds(
    data: Path, hashes: tuple[int, int], atoms: int, rows: int
) -> tuple[Crystals, np.ndarray]:
    """So many compounds, drawn at random, with their formation energies, eV/atom."""
    table = pq.read_table(
        data / "materials_project" / "structures.parquet",
        filters=[("formula_hash", ">=", hashes[0]), ("formula_hash", "<=", hashes[1])],
    )
    crystals = from_arrow(table)
    fitting = ((crystals.composition > 0).sum(axis=1) > 1) & (crystals.n_atoms <= atoms)
    drawn = np.random.default_rng(0).permutation(np.flatnonzero(fitting))[:rows]
    return crystals[drawn], table["formation_energy_per_atom"].to_numpy()[drawn]


def single_energies(
    potential: LoadedPotential, crystals: Crystals, work: Path, what: str
) -> np.ndarray:
    """Energies as they are, eV/atom, kept as those of relaxations are; NaN of unknown elements."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / f"{what}-{potential.sha256[:12]}.npy"
    energy = np.load(file) if file.exists() else np.zeros(0)
    known = potential.knows(crystals)
    for first in range(len(energy), len(crystals), PART):
        rows = np.arange(first, min(first + PART, len(crystals)))
        part = np.full(len(rows), np.nan)
        chosen = rows[known[rows]]
        total = potential.predict(crystals.take(chosen)).energy
        part[known[rows]] = total / crystals.n_atoms[chosen]
        energy = np.concatenate([energy, part])
        np.save(file, energy)
        print(f"{what}, {potential.name}: {len(energy)} of {len(crystals)}", flush=True)
    return energy[: len(crystals)]


def fit(fractions: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energies of the elements by least squares, and their standard errors; NaN where unknown."""
    there = (fractions > 0).any(axis=0)
    x = fractions[:, there]
    inverse = np.linalg.pinv(x.T @ x)
    found = inverse @ x.T @ wanted
    variance = ((wanted - x @ found) ** 2).sum() / (len(x) - x.shape[1])
    energy, error = np.full(len(there), np.nan), np.full(len(there), np.nan)
    energy[there], error[there] = found, np.sqrt(variance * np.diag(inverse))
    return energy, error


def measured(potential: LoadedPotential, work: Path) -> dict[int, float]:
    """Relaxed energies (eV/atom) of the measured ground states that the potential knows."""
    states = {z: ground_state(SYMBOLS[z]) for z in sorted(potential.elements)}
    known = {z: state.crystal for z, state in states.items() if state is not None}
    energies = relaxed_energies(
        potential, Crystals.concatenate(list(known.values())), work, "elements", RELAX
    )
    return {z: float(e) for z, e in zip(known, energies, strict=True) if np.isfinite(e)}


def atom_fractions(crystals: Crystals) -> np.ndarray:
    return np.asarray(crystals.composition / crystals.n_atoms[:, None])


def of_potential(
    potential: LoadedPotential, rows: int, given: argparse.Namespace
) -> tuple[References, dict[str, Any]]:
    train, formation = compounds(given.data, TRAIN, given.atoms, rows)
    corrected = single_energies(potential, train, given.work, "compounds")
    corrected = corrected + mp2020_correction_per_atom(train)
    use = np.isfinite(corrected)
    fractions = atom_fractions(train)
    energy, error = fit(fractions[use], (corrected - formation)[use])
    counts = (fractions[use] > 0).sum(axis=0)
    own = measured(potential, given.work)
    elements = {
        SYMBOLS[z]: Reference(
            measured=round(own[z], 5) if z in own else None,
            fitted=round(float(energy[z]), 5),
            error=round(float(error[z]), 5),
            compounds=int(counts[z]),
        )
        for z in np.flatnonzero(counts >= given.least)
    }
    found = References(
        scheme=potential.scheme + SCHEME_SUFFIX,
        rows=int(use.sum()),
        source=SOURCE.format(int(use.sum()), given.atoms),
        elements=elements,
    )
    return found, {
        "rows": found.rows,
        "elements": len(elements),
        "largest_shifts_meV": {
            symbol: [round(1000 * shift), round(1000 * elements[symbol].error)]
            for symbol, shift in found.worst(LARGE)
        },
        "held_out": _held_out(potential, found, rows, given),
    }


def _held_out(
    potential: LoadedPotential, found: References, rows: int, given: argparse.Namespace
) -> dict[str, Any]:
    """Errors of formation energies (meV/atom) of other formulas, by both kinds of references."""
    crystals, formation = compounds(given.data, CHECK, given.atoms, rows // 5)
    corrected = single_energies(potential, crystals, given.work, "held-out")
    corrected = corrected + mp2020_correction_per_atom(crystals)
    zero = {kind: np.full(len(SYMBOLS), np.nan) for kind in ("measured", "fitted")}
    for symbol, one in found.elements.items():
        zero["fitted"][SYMBOLS.index(symbol)] = one.fitted
        if one.measured is not None:
            zero["measured"][SYMBOLS.index(symbol)] = one.measured
    fractions = atom_fractions(crystals)
    off = {}
    for kind, energies in zero.items():
        reference = np.where(fractions > 0, fractions * energies, 0.0).sum(axis=1)
        off[kind] = 1000 * (corrected - reference - formation)
    both = np.isfinite(off["measured"]) & np.isfinite(off["fitted"])
    return {"rows": int(both.sum())} | {
        kind: {
            "mean_absolute_error": round(float(np.abs(values[both]).mean()), 1),
            "median_absolute_error": round(float(np.median(np.abs(values[both]))), 1),
            "bias": round(float(values[both].mean()), 1),
        }
        for kind, values in off.items()
    }


def main() -> None:
    """Everything that was computed is kept: the same call goes on where it was stopped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", default=["gnomon-2"])
    parser.add_argument("--atoms", type=int, default=8, help="in a cell, at most")
    parser.add_argument("--rows", type=int, default=2500, help="compounds; a fifth to check")
    parser.add_argument(
        "--fewer", type=lambda text: text.split("="), nargs="*", default=[],
        help="NAME=ROWS: fewer compounds for one of the weights",
    )  # fmt: skip
    parser.add_argument("--least", type=int, default=5, help="compounds that an element needs")
    parser.add_argument("--work", type=Path, default=Path("relaxed"), help="energies are kept here")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args()
    fewer = {name: int(rows) for name, rows in given.fewer}
    table, said = [], {}
    for name in given.weights:
        rows = fewer.get(name, given.rows)
        references, result = of_potential(load_potential(name), rows, given)
        table.append(references.model_dump())
        said[references.scheme] = result
    given.table.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    save({"units": "meV/atom", "levels": said}, given.out)


if __name__ == "__main__":
    main()

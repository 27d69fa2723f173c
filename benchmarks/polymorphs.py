"""Energy differences that decide a hull: polymorph pairs, and elements, against the teacher.

    python benchmarks/polymorphs.py polymorph_pairs.json --weights gnomon-2 gnomon-1

Both crystals of each pair are relaxed, and the second less the first is compared with the value of
nequix-oam-1-pft in the file, and with the middle of PBE's range where the file has one (put
together from memory of the literature, so no more than a guide).  A sign counts where the teacher's
difference is over 2 meV/atom.  With ``--reference`` each element's measured ground state is relaxed
by both: all energies of formation are measured from these.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.chemistry.elemental import ground_state
from gnomon.crystals import Crystals
from gnomon.dynamics.settings import RelaxConfig
from gnomon.elements import SYMBOLS, atomic_number
from gnomon.potential.predict import LoadedPotential, load_potential
from record import RESULTS, save
from relaxed import relaxed_energies

RESULT = RESULTS / "polymorphs.json"
PAIRS = RelaxConfig(fmax=0.01, max_steps=500, symmetry=False)
ELEMENTS = RelaxConfig(fmax=0.02, max_steps=100)
SURE = 2.0
"""meV/atom; a smaller difference has no sign worth counting."""


def crystal_of(side: dict[str, Any]) -> Crystals:
    """One crystal of a pair."""
    numbers = [atomic_number(symbol) for symbol in side["symbols"]]
    return Crystals.single(np.array(side["cell"]), numbers, side["frac"])


def pairs(potentials: list[LoadedPotential], file: Path, work: Path) -> dict[str, Any]:
    """Differences in meV/atom, and how far they are from teacher and PBE."""
    given = json.loads(file.read_text(encoding="utf-8"))["pairs"]
    both = Crystals.concatenate([crystal_of(p[k]) for p in given for k in ("first", "second")])
    teacher = np.array([pair["nequix_oam_1_pft_meV"] for pair in given])
    ranges = [pair["pbe_range_meV"] for pair in given]
    middle = np.array([np.mean(r) if r else np.nan for r in ranges])
    sure = np.abs(teacher) > SURE
    found = {}
    for potential in potentials:
        energy = relaxed_energies(potential, both, work, "pairs", PAIRS)
        difference = 1e3 * (energy[1::2] - energy[0::2])
        right = (np.sign(difference) == np.sign(teacher))[sure]
        found[potential.scheme] = {
            "meV_per_atom": difference.round(1).tolist(),
            "median_from_teacher": float(np.nanmedian(np.abs(difference - teacher))),
            "right_sign": [int(right.sum()), int(sure.sum())],
            "median_from_middle_of_pbe": float(np.nanmedian(np.abs(difference - middle))),
            "pairs_with_pbe": int(np.isfinite(middle).sum()),
        }
    return {
        "names": [pair["name"] for pair in given],
        "teacher_meV_per_atom": teacher.tolist(),
        "pbe_range_meV_per_atom": ranges,
        "potentials": found,
    }


def elements(
    potentials: list[LoadedPotential], teacher: LoadedPotential, work: Path
) -> dict[str, Any]:
    """How far the measured ground states of the elements are off, meV/atom, the worst first."""
    grounds = {SYMBOLS[z]: ground_state(SYMBOLS[z]) for z in sorted(teacher.elements)}
    known = {symbol: found.crystal for symbol, found in grounds.items() if found is not None}
    batch = Crystals.concatenate(list(known.values()))
    reference = relaxed_energies(teacher, batch, work, "elements", ELEMENTS)
    found = {}
    for potential in potentials:
        energy = relaxed_energies(potential, batch, work, "elements", ELEMENTS)
        off = dict(zip(known, (1e3 * (energy - reference)).round(1).tolist(), strict=True))
        size = np.abs(list(off.values()))
        found[potential.scheme] = {
            "elements": len(off),
            "median": float(np.nanmedian(size)),
            "mean": float(np.nanmean(size)),
            "meV_per_atom": dict(sorted(off.items(), key=lambda item: -abs(item[1]))),
        }
    return {"reference": teacher.scheme, "potentials": found}


def main() -> None:
    """Pairs, and elements where there is a reference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path, help="JSON file of the pairs")
    parser.add_argument("--weights", nargs="+", default=["gnomon-2", "gnomon-1"])
    parser.add_argument("--reference", help="name or file of the teacher's weights, for elements")
    parser.add_argument("--work", type=Path, default=Path("relaxed"), help="energies are kept here")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    potentials = [load_potential(name) for name in given.weights]
    result: dict[str, Any] = {"pairs": pairs(potentials, given.pairs, given.work)}
    if given.reference:
        result["elements"] = elements(potentials, load_potential(given.reference), given.work)
    save(result, given.out)


if __name__ == "__main__":
    main()

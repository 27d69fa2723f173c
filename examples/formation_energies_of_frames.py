r"""Formation energies of labelled frames: what the structural ensemble learned first.

    python examples/formation_energies_of_frames.py frames/* --out frames.parquet
    gnomon model train structural frames.parquet --members 10 --epochs 8 --learning-rate 0.01 \
        --out first.gnomon
    gnomon model train structural structures.parquet --from first.gnomon --fresh 4 \
        --weight-decay 0.0001 --weight-decay 0.15 --out going-on.gnomon
    gnomon model train structural structures.parquet --method adamw --epochs 40 --batch 64 \
        --learning-rate 0.004 --out afresh.gnomon
    gnomon model join going-on.gnomon afresh.gnomon --data structures.parquet \
        --out structural-1.gnomon

Frames of `gnomon label` hold energies of a potential trained on uncorrected PBE(+U) energies.  Each
becomes a formation energy against the lowest frame of each element, with the MP2020 corrections of
its own structure, so that it is close to what the Materials Project says of a relaxed crystal.  A
network that has seen strained and rattled crystals knows what no set of relaxed ones tells: how the
energy changes with the volume.  Eighteen networks, ten of which have seen them, four that began
anew beside those, and four of another optimiser, differ enough for their spread to tell of errors
(``gnomon.models.join``).  Frames far from any minimum are left out.  Formulas whose hash is
75 or more are left out but for elements, so that nothing is learned about held-out formulas.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64

from gnomon.elements import MAX_Z, SYMBOLS
from gnomon.evaluate.corrections import mp2020_correction_per_atom
from gnomon.io import to_arrow
from gnomon.io.frames import Frames, read_frames
from gnomon.learn.split import formula_hashes
from gnomon.run.writing import write_parquet

MAX_RMS_FORCE = 3.0
"""eV/Å."""

MAX_FORMATION_ENERGY = 3.0
"""eV/atom."""


def lowest_of_elements(frames: Frames) -> Float64[np.ndarray, "119"]:
    """Energy per atom of the lowest frame of each element, eV/atom; inf without any."""
    composition = frames.crystals.composition
    lowest = np.full(MAX_Z + 1, np.inf)
    elemental = np.flatnonzero((composition > 0).sum(axis=1) == 1)
    np.minimum.at(lowest, composition[elemental].argmax(axis=1), frames.energy_per_atom[elemental])
    return lowest


def rms_force(frames: Frames) -> Float64[np.ndarray, " n"]:
    """Root mean square of the force components of each frame, eV/Å."""
    crystals = frames.crystals
    squares = np.add.reduceat((frames.forces**2).sum(axis=1), crystals.offsets[:-1])
    return np.sqrt(squares / (3 * crystals.n_atoms))


def uncorrected_formation_energies(frames: Frames) -> Float64[np.ndarray, " n"]:
    """Against the lowest frame of each element, eV/atom.

    Raises:
        ValueError: if an element has no frame of its own.
    """
    composition, lowest = frames.crystals.composition, lowest_of_elements(frames)
    missing = np.flatnonzero(composition.any(axis=0) & ~np.isfinite(lowest))
    if len(missing):
        names = ", ".join(SYMBOLS[z] for z in missing)
        raise ValueError(f"no frame of the elements {names}: label structures of them, too")
    present = np.where(np.isfinite(lowest), lowest, 0.0)
    return frames.energy_per_atom - composition @ present / frames.crystals.n_atoms


def trains(frames: Frames, energies: Float64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which frames are near enough to a minimum, and of formulas that may train."""
    elemental = (frames.crystals.composition > 0).sum(axis=1) == 1
    may_train = elemental | (formula_hashes(frames.crystals.reduced_formulas) < 75)
    return may_train & (rms_force(frames) < MAX_RMS_FORCE) & (energies < MAX_FORMATION_ENERGY)


def main() -> None:
    """Read frames, write crystals with formation energies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", nargs="+", help="folders of `gnomon label`")
    parser.add_argument("--out", type=Path, default=Path("frames.parquet"))
    given = parser.parse_args()
    frames = read_frames(given.frames).frames
    energies = uncorrected_formation_energies(frames)
    rows = np.flatnonzero(trains(frames, energies))
    crystals = frames.crystals.take(rows)
    energies = energies[rows] + mp2020_correction_per_atom(crystals)
    table = to_arrow(crystals)
    write_parquet(given.out, table.append_column("formation_energy_per_atom", pa.array(energies)))
    print(f"{len(rows)} of {len(frames)} frames ({frames.scheme}, corrected): {given.out}")


if __name__ == "__main__":
    main()

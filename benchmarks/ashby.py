"""Ashby's diagram of hardness against toughness as a figure: PBE moduli beside the networks'.

    gnomon ashby structures.parquet --out FOLDER
    python benchmarks/ashby.py --data DATA --folder FOLDER --out docs/images/ashby.png

Left the shared elastic data by DFT (binary crystals of the Materials Project, and AFLOW's published
files), right what the command made of the crystals that it was given.  Metals alone are left out.
"""

import argparse
import gzip
import json
import sys
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from gnomon.chemistry.cautions import of_metals
from gnomon.crystals import Crystals
from gnomon.io import as_crystals
from gnomon.io.tables import read_table
from gnomon.properties.mechanics.hardness import mazhnik_hardness, mazhnik_toughness

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from train_properties import LEARNED
from train_properties import rows as of_aflow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    file = given.data / "elasticity" / "mp-binary-pbe-elasticity-2025.1.json.gz"
    rows = json.loads(gzip.decompress(file.read_bytes()))
    binary = as_crystals([Structure.from_dict(row["structure"]) for row in rows])
    bulk, shear = (np.array([row[f"{k}_modulus_vrh"] for row in rows]) for k in ("bulk", "shear"))
    of = [
        [of_aflow(given.data, LEARNED[f"{kind}-modulus"], split) for split in ("train", "val")]
        for kind in ("bulk", "shear")
    ]
    assert all((b[0].ids == s[0].ids).all() for b, s in zip(*of, strict=True))
    crystals = Crystals.concatenate([binary, *(part for part, _ in of[0])])
    bulk, shear = (
        np.concatenate([first, *(values for _, values in parts)])
        for first, parts in zip((bulk, shear), of, strict=True)
    )
    left = of_moduli(crystals, bulk, shear)
    table = read_table(given.folder / "hardness.parquet")
    right = [table[n].to_numpy(zero_copy_only=False) for n in ("value", "toughness")]
    ok = np.array(table["status"].to_pylist()) == "ok"
    draw(left, (right[0][ok], right[1][ok]), given.out)


def of_moduli(
    crystals: Crystals, bulk: np.ndarray, shear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hardness and toughness of what is no alloy and has moduli above zero."""
    there = (bulk > 0) & (shear > 0) & ~of_metals(crystals)
    bulk, shear, volume = bulk[there], shear[there], (crystals.volumes / crystals.n_atoms)[there]
    young = 9 * bulk * shear / (3 * bulk + shear)
    poisson = (3 * bulk - 2 * shear) / (6 * bulk + 2 * shear)
    return mazhnik_hardness(young, poisson), mazhnik_toughness(young, poisson, volume)


def draw(
    left: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray], out: Path
) -> None:
    """Both beside each other."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    made, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True)
    for axis, (hardness, toughness), name in zip(
        axes, (left, right), ("PBE moduli", "moduli by the networks"), strict=True
    ):
        there = (hardness > 0) & (toughness > 0)
        axis.loglog(toughness[there], hardness[there], ".", ms=2, alpha=0.3, color="#2a7f9e")
        axis.set(title=f"{name}, {there.sum():,} crystals", xlabel="toughness, MPa m$^{1/2}$")
        print(name, int(there.sum()))
    axes[0].set_ylabel("Vickers hardness, GPa")
    axes[0].set(xlim=(0.02, 12), ylim=(0.05, 150))
    made.tight_layout()
    made.savefig(out, dpi=110)


if __name__ == "__main__":
    main()

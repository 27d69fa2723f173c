"""Bands and density of states of silicon by GPAW, as a figure.

    python -c "import ase.build; ase.build.bulk('Si', a=5.47).write('si.cif')"
    gnomon bands si.cif --engine gpaw --out bands
    python benchmarks/bands.py --table bands/dft_band_gap.parquet --out docs/images/bands.png

The Materials Project has 0.61 eV for silicon by PBE (mp-149); measured is 1.17 eV.
"""

import argparse
from pathlib import Path

import numpy as np

from gnomon.io.tables import read_table
from gnomon.properties.electronic.figure import SHOWN, corners_of
from record import RESULTS, save


def main() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    [row] = read_table(given.table).to_pylist()
    path = np.array(row["path"])
    bands = np.reshape(row["bands"], (row["n_spins"], len(path), row["n_bands"]))
    made, (left, right) = plt.subplots(
        1, 2, figsize=(7, 4), sharey=True, gridspec_kw={"width_ratios": [7, 3]}
    )
    for spin in bands:
        left.plot(path, spin, color="#2a7f9e", lw=1)
    corners = corners_of(row["path_labels"])
    left.set_xticks([at for _, at in corners], [name for name, _ in corners])
    for _, at in corners:
        left.axvline(at, color="#d5dbe0", lw=0.6, zorder=0)
    left.set(ylim=SHOWN, xlim=(path[0], path[-1]), ylabel="E - E$_F$, eV")
    right.plot(row["dos"], row["dos_energies"], color="#1c2733", lw=1)
    right.set(xlabel="states, 1/eV/atom", xlim=(0, None))
    made.tight_layout()
    made.savefig(given.out, dpi=110)
    told = {name: row[name] for name in ("value", "direct_gap", "kind", "level")}
    save({"benchmark": "bands", "silicon": told}, RESULTS / "bands.json")


if __name__ == "__main__":
    main()

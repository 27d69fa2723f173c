"""Heat capacities and thermal expansion from phonons, against PBE and against measurement.

    python benchmarks/phonons.py --data DATA --weights nequix-oam-1-pft --rows 20

Heat capacities at 300 K: binary crystals of Alexandria (PBE phonons, matcalc's set) whose heat
capacity is below ``--cold`` of 3R an atom (the others tell little), the first by MD5 of their id;
what is compared is 3R - C, and a failure counts as an infinite error in the median.  Then Si, NaCl,
MgO and Al against measured heat capacities (C_P, which lies above C_V by some tenths) and linear
expansions at 300 K (CRC Handbook of Chemistry and Physics, 97th edition).

``--conductivity`` instead: the thermal conductivity of silicon at 300 K against the recommended one
(Ho, Powell and Liley, J. Phys. Chem. Ref. Data 1, 279 (1972), doi:10.1063/1.3253100).
"""

import argparse
import gzip
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Structure

from gnomon.crystals import Crystals
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals
from gnomon.properties.registry import PROPERTIES, PropertySettings
from record import RESULTS, save

RESULT = RESULTS / "phonons.json"
FILE = "thermal/alexandria-binary-pbe-phonon-2025.1.json.gz"
R = 8.314463
SILICON = 148.0
"""W/(m K)."""

KNOWN = {  # C_P in J/(mol K) of atoms, linear expansion in 1e-6/K
    "Si": (ase.build.bulk("Si", "diamond", a=5.43), 19.8, 2.6),
    "NaCl": (ase.build.bulk("NaCl", "rocksalt", a=5.64), 25.3, 39.6),
    "MgO": (ase.build.bulk("MgO", "rocksalt", a=4.21), 18.6, 10.4),
    "Al": (ase.build.bulk("Al", "fcc", a=4.05), 24.2, 23.1),
}


def drawn(data: Path, rows: int, cold: float) -> tuple[Crystals, np.ndarray]:
    """Crystals, and their heat capacities by PBE, J/(mol K) of atoms."""
    given = json.loads(gzip.decompress((data / FILE).read_bytes()))
    given.sort(key=lambda row: hashlib.md5(row["mp_id"].encode()).hexdigest())
    crystals, found = [], []
    for row in given:
        structure = Structure.from_dict(row["structure"])
        # of a formula unit
        atoms = structure.composition.reduced_composition.num_atoms
        capacity = row["heat_capacity"] / atoms
        if capacity < cold * 3 * R:
            crystals.append(structure)
            found.append(capacity)
        if len(found) == rows:
            break
    return as_crystals(crystals), np.array(found)


def computed(name: str, weights: str, crystals: Crystals, work: Path) -> pa.Table:
    """A property of crystals one by one, each kept."""
    made, parts = None, []
    for i in range(len(crystals)):
        part = work / f"{weights}-{name}-{crystals.ids[i]}.parquet"
        if not part.exists():
            settings = PropertySettings(EvaluatorConfig(name=weights))
            made = made or PROPERTIES.get(name)(settings)
            began = time.process_time()
            pq.write_table(made.compute(crystals[i : i + 1], {}), part)
            print(part.name, round(time.process_time() - began, 1), "s", flush=True)
        parts.append(pq.read_table(part))
    return pa.concat_tables(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", default=["gnomon-2"])
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--conductivity", action="store_true", help="of silicon instead")
    parser.add_argument("--cold", type=float, default=0.85)
    parser.add_argument("--work", type=Path, default=Path("phonons-work"))
    given = parser.parse_args()
    given.work.mkdir(exist_ok=True)
    before = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    if given.conductivity:
        silicon = as_crystals(KNOWN["Si"][0])
        conducting = before.get("thermal_conductivity", {"measured": SILICON})
        for weights in given.weights:
            (row,) = computed("thermal_conductivity", weights, silicon, given.work).to_pylist()
            conducting[weights] = row
        save(before | {"thermal_conductivity": conducting}, RESULT)
        return
    crystals, truth = drawn(given.data, given.rows, given.cold)
    known = as_crystals([atoms for atoms, _, _ in KNOWN.values()])
    levels: dict[str, Any] = before.get("levels", {})
    for weights in given.weights:
        table = computed("phonons", weights, crystals, given.work)
        values = np.array(table["value"].to_pylist(), dtype=np.float64)
        errors = np.abs((3 * R - values) / (3 * R - truth) - 1)
        errors[~np.isfinite(errors)] = np.inf
        of_known = computed("phonons", weights, known, given.work)
        expanding = computed("expansion", weights, known, given.work)
        levels[weights] = {
            "rows": len(truth),
            "failed": [s for s in table["status"].to_pylist() if s != "ok"],
            "median_relative_error_of_3R_minus_C": round(float(np.median(errors)), 3),
            "mae_C": round(float(np.nanmean(np.abs(values - truth))), 3),
            "known": {
                name: {
                    "C_V": of_known["value"][i].as_py(),
                    "measured_C_P": capacity,
                    "expansion_1e-6": 1e6 * (expanding["value"][i].as_py() or np.nan),
                    "measured_expansion_1e-6": expansion,
                    "statuses": [of_known["status"][i].as_py(), expanding["status"][i].as_py()],
                }
                for i, (name, (_, capacity, expansion)) in enumerate(KNOWN.items())
            },
        }
    save(before | {"benchmark": "phonons", "levels": levels}, RESULT)


if __name__ == "__main__":
    main()

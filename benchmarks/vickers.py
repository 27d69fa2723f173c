"""Models of hardness against measured Vickers hardness at 0.8 to 1.2 N.

    python benchmarks/vickers.py --data DATA

Measured: ``hardness/hv_comp_load.csv.gz``, formulas with a crystal in
``elasticity/mp-binary-pbe-elasticity-2025.1.json.gz`` (PBE moduli of the Materials Project), the
mean of several measurements.  The list names no phase: of polymorphs the one of the lowest energy
above the hull counts (``materials_project/structures.parquet``; those that are not in it come last,
the stiffest of them first).  Moduli are those of PBE, or of the networks in the package on the same
structure.  Ionic are crystals whose elements differ by 1.7 or more on Pauling's scale; crystals of
metals alone, for which no model is meant, stand apart.
"""

import argparse
import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pymatgen.core import Composition, Structure
from scipy.stats import spearmanr

from gnomon.chemistry.cautions import of_metals
from gnomon.crystals import Crystals
from gnomon.io import as_crystals
from gnomon.models.ensemble import load_model
from gnomon.properties.mechanics.hardness import (
    chen_hardness,
    mazhnik_hardness,
    teter_hardness,
    tian_hardness,
)
from record import RESULTS, save

RESULT = RESULTS / "vickers.json"
LOADS = (0.8, 1.2)
IONIC = 1.7
"""Difference of electronegativities from which a bond is half ionic (Pauling)."""
DRAWS = 1000


def measured(data: Path) -> dict[str, float]:
    """Mean hardness of each reduced formula, GPa."""
    found: dict[str, list[float]] = {}
    with gzip.open(data / "hardness" / "hv_comp_load.csv.gz") as file:
        for row in csv.DictReader(io.TextIOWrapper(file, "utf-8-sig")):
            if LOADS[0] <= float(row["load"]) <= LOADS[1]:
                name = Composition(row["composition"]).reduced_formula
                found.setdefault(name, []).append(float(row["hardness"]))
    return {name: float(np.mean(values)) for name, values in found.items()}


def chosen(data: Path, wanted: dict[str, float]) -> list[dict[str, Any]]:
    """One row of the Materials Project's moduli for each formula."""
    file = data / "elasticity" / "mp-binary-pbe-elasticity-2025.1.json.gz"
    table = pq.read_table(data / "materials_project" / "structures.parquet")
    columns = (table[name].to_pylist() for name in ("id", "e_above_hull"))
    above = dict(zip(*columns, strict=True))
    best: dict[str, tuple[float, float]] = {}
    rows = {}
    for row in json.loads(gzip.decompress(file.read_bytes())):
        name = Composition(row["formula"]).reduced_formula
        if name not in wanted or min(row["bulk_modulus_vrh"], row["shear_modulus_vrh"]) <= 0:
            continue
        rank = (above.get(row["mp_id"], np.inf), -row["shear_modulus_vrh"])
        if name not in best or rank < best[name]:
            best[name], rows[name] = rank, row
    return [rows[name] | {"name": name} for name in sorted(rows)]


def models(bulk: np.ndarray, shear: np.ndarray) -> dict[str, np.ndarray]:
    """Hardness by each, GPa."""
    young = 9 * bulk * shear / (3 * bulk + shear)
    poisson = (3 * bulk - 2 * shear) / (6 * bulk + 2 * shear)
    return {
        "Mazhnik and Oganov": mazhnik_hardness(young, poisson),
        "Teter": teter_hardness(shear),
        "Chen": chen_hardness(bulk, shear),
        "Tian": tian_hardness(bulk, shear),
    }


def rank(said: np.ndarray, truth: np.ndarray) -> dict[str, Any] | None:
    """Spearman's correlation with its 95 % interval by bootstrap."""
    there = np.isfinite(said)
    said, truth = said[there], truth[there]
    if len(said) < 4:
        return None
    draws = np.random.default_rng(0).integers(len(said), size=(DRAWS, len(said)))
    many = [spearmanr(said[d], truth[d]).statistic for d in draws if np.ptp(truth[d])]
    return {
        "n": len(said),
        "spearman": round(float(spearmanr(said, truth).statistic), 3),
        "interval_95": np.round(np.nanpercentile(many, [2.5, 97.5]), 3).tolist(),
        "median_ratio": round(float(np.median(said / truth)), 3),
    }


def ionic(crystals: Crystals) -> np.ndarray:
    """Whether the elements of each differ enough on Pauling's scale."""
    spans = []
    for formula in crystals.reduced_formulas:
        scale = [element.X for element in Composition(formula).elements]
        spans.append(max(scale) - min(scale))
    return np.array(spans) >= IONIC


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    wanted = measured(given.data)
    rows = chosen(given.data, wanted)
    crystals = as_crystals([Structure.from_dict(row["structure"]) for row in rows])
    truth = np.array([wanted[row["name"]] for row in rows])
    metals, salts = of_metals(crystals), ionic(crystals)
    groups = {
        "all": np.ones(len(rows), bool),
        "with_a_nonmetal": ~metals,
        "covalent": ~metals & ~salts,
        "ionic": ~metals & salts,
        "metals_alone": metals,
    }
    dft = [np.array([row[f"{kind}_modulus_vrh"] for row in rows]) for kind in ("bulk", "shear")]
    ours = [10 ** load_model(f"{k}-modulus-1").predict(crystals).median for k in ("bulk", "shear")]
    found = {
        moduli: {
            model: {name: rank(said[rows_of], truth[rows_of]) for name, rows_of in groups.items()}
            for model, said in models(*values).items()
        }
        for moduli, values in (("PBE", dft), ("networks", ours))
    }
    save({"benchmark": "vickers", "loads_N": LOADS, "rows": len(rows), **found}, RESULT)


if __name__ == "__main__":
    main()

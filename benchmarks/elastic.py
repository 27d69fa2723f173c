"""Elastic moduli against DFT, and against one crystal after the other through ASE and pymatgen.

    python benchmarks/elastic.py --data DATA --weights nequix-oam-1-pft gnomon-2 --rows 60 --peer 12

The crystals are binary ones of the Materials Project with PBE moduli (matcalc's set), the first by
MD5 of their id.  Failures are in the denominator: an error counts as infinite in the median.  The
peer relaxes the first few of them with the same weights as an ASE calculator, strains them one by
one, and takes the tensor from pymatgen; ratios are of CPU seconds in one process, compiling left
out (both have run before).  ``--fmax`` are the largest forces that both leave in a relaxed cell,
and the peer in a strained one, a comparison for each: where ions follow a strain softly, the peer's
tensors at the default are not those to which they converge.

``--steps N`` tells what steps are worth on the first N crystals: tensors by single precision at
several strains and displacements, and the peer's at two strains and a small force, against tensors
by double precision with steps of 2e-4, all at the same relaxed crystal.
"""

import argparse
import gzip
import hashlib
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from pymatgen.analysis.elasticity import DeformedStructureSet, ElasticTensor, Strain, Stress
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from gnomon import Calculator
from gnomon.crystals import Crystals
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals, to_ase
from gnomon.io.tables import OK
from gnomon.potential.card import EV_PER_A3
from gnomon.properties import reason
from gnomon.properties.mechanics.elastic import (
    SOFT,
    SYMPREC,
    Asked,
    ElasticConfig,
    make,
    moduli,
    relaxed_tensor,
)
from gnomon.properties.registry import PropertySettings
from gnomon.structure.symmetry import primitive
from record import RESULTS, save

RESULT = RESULTS / "elastic.json"
FILE = "elasticity/mp-binary-pbe-elasticity-2025.1.json.gz"
COLUMNS = ("value", "shear_modulus")
FINEST = 2e-4
"""Strain, and Å, of the distortions in double precision."""

STEPS = ((0.005, 0.01), (0.002, 0.005), (0.001, 0.003))
"""Strains and displacements (Å) that are compared."""

PEER_STRAINS = (0.005, 0.002)
"""The smaller one in comparisons of speed, where the larger is itself off by percents."""
TIGHT = {"fmax": 5e-5}
"""What is left in a crystal whose steps are looked at, eV/Å."""

CHUNK = 6


def drawn(data: Path, rows: int) -> tuple[Crystals, np.ndarray, list[str]]:
    """Crystals, their moduli by PBE (K and G, GPa), and their ids."""
    given = json.loads(gzip.decompress((data / FILE).read_bytes()))
    given.sort(key=lambda row: hashlib.md5(row["mp_id"].encode()).hexdigest())
    chosen = given[:rows]
    crystals = as_crystals([Structure.from_dict(row["structure"]) for row in chosen])
    moduli = [[row["bulk_modulus_vrh"], row["shear_modulus_vrh"]] for row in chosen]
    return crystals, np.array(moduli), [row["mp_id"] for row in chosen]


def ours(crystals: Crystals, name: str, work: Path) -> pa.Table:
    """The table of the property, kept part by part."""
    import pyarrow.parquet as pq

    elastic, parts = None, []
    for start in range(0, len(crystals), CHUNK):
        part = work / f"{name}-{start:04d}.parquet"
        if not part.exists():
            elastic = elastic or make(PropertySettings(EvaluatorConfig(name=name)))
            pq.write_table(elastic.compute(crystals[start : start + CHUNK], {}), part)
        parts.append(pq.read_table(part))
    return pa.concat_tables(parts)


def against(table: pa.Table, truth: np.ndarray) -> dict[str, Any]:
    """Medians of relative errors, failures counted as infinite."""
    found = np.array([table[name].to_pylist() for name in COLUMNS], dtype=np.float64).T
    errors = np.abs(found / truth - 1)
    errors[~np.isfinite(errors)] = np.inf
    statuses = [status for status in table["status"].to_pylist() if status != OK]
    return {
        "rows": len(truth),
        "failed": statuses,
        "median_relative_error_K": round(float(np.median(errors[:, 0])), 3),
        "median_relative_error_G": round(float(np.median(errors[:, 1])), 3),
        "mae_log10_K": round(float(np.nanmean(np.abs(np.log10(found / truth)[:, 0]))), 3),
        "mae_log10_G": round(float(np.nanmean(np.abs(np.log10(found / truth)[:, 1]))), 3),
    }


def one_by_one(crystals: Crystals, name: str, fmax: float, strain: float) -> np.ndarray:
    """K and G (GPa) of each crystal by ASE and pymatgen."""
    calculator, steps, found = Calculator(name), (-strain, strain), []
    for atoms in to_ase(crystals):
        atoms.calc = calculator
        BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=fmax, steps=300)
        whole = AseAtomsAdaptor.get_structure(atoms)
        cells = DeformedStructureSet(whole, norm_strains=steps, shear_strains=steps)
        strains, stresses = [], []
        for deformation, cell in zip(cells.deformations, cells, strict=True):
            strained = AseAtomsAdaptor.get_atoms(cell)
            strained.calc = calculator
            BFGS(strained, logfile=None).run(fmax=fmax, steps=300)
            strains.append(Strain.from_deformation(deformation))
            stresses.append(Stress(EV_PER_A3 * strained.get_stress(voigt=False)))
        tensor = ElasticTensor.from_independent_strains(strains, stresses)
        found.append([tensor.k_vrh, tensor.g_vrh])
    return np.array(found)


def compared(crystals: Crystals, name: str, fmax: float) -> dict[str, Any]:
    """The same crystals by both, once to compile and once by the clock."""
    options = {"elastic": {"fmax": fmax}}
    elastic = make(PropertySettings(EvaluatorConfig(name=name), options=options))
    seconds, moduli = {}, {}
    for which, run in (
        ("gnomon", lambda: elastic.compute(crystals, {})),
        ("ase and pymatgen", lambda: one_by_one(crystals, name, fmax, PEER_STRAINS[-1])),
    ):
        for _ in range(2):
            began = time.process_time()
            moduli[which] = run()
            seconds[which] = round(time.process_time() - began, 2)
    table = moduli["gnomon"]
    mine = np.array([table[column].to_pylist() for column in COLUMNS], dtype=np.float64).T
    off = np.abs(mine / moduli["ase and pymatgen"] - 1)
    return {
        "weights": name,
        "fmax": fmax,
        "rows": len(crystals),
        "cpu_seconds": seconds,
        "ratio": round(seconds["ase and pymatgen"] / seconds["gnomon"], 2),
        "answered": int(np.isfinite(off).all(axis=1).sum()),
        "within_1_percent": int((off < 0.01).all(axis=1).sum()),
        "differences": {
            formula: [*(round(float(x), 4) for x in each), soft]
            for formula, each, soft in zip(
                crystals.reduced_formulas,
                off,
                table["softest_displacement"].to_pylist(),
                strict=True,
            )
            if np.isfinite(each).all() and (each >= 0.01).any()
        },
        "largest_difference_K": round(float(np.nanmax(off[:, 0])), 4),
        "largest_difference_G": round(float(np.nanmax(off[:, 1])), 4),
        "median_difference": np.nanmedian(off, axis=0).round(5).tolist(),
    }


def exact(asked: Asked, calculator: Calculator) -> np.ndarray:
    """The Hessian of a crystal by a calculator, one distorted cell after the other."""
    stresses, forces = [], []
    for atoms in to_ase(asked.cells):
        atoms.calc = calculator
        stresses.append(atoms.get_stress(voigt=False))
        forces.append(atoms.get_forces())
    cells = asked.cells
    found = SimpleNamespace(stress=np.array(stresses), forces=np.concatenate(forces), relaxed=cells)
    return asked.hessian(found, range(len(cells)))


def by_steps(crystal: Crystals, name: str) -> dict[str, Any]:
    """K and G (GPa) of one crystal by all ways, or why there are none."""
    elastic = make(PropertySettings(EvaluatorConfig(name=name), options={"elastic": TIGHT}))
    relaxed = elastic.evaluated(primitive(crystal, SYMPREC), elastic.relaxer, "")
    if (why := reason(relaxed, 0)) != OK:
        return {"status": why}
    one = relaxed.relaxed
    fine = Asked.of(one, ElasticConfig(strain=FINEST, distance=FINEST))
    softest, tensor = relaxed_tensor(exact(fine, Calculator(name, dtype="float64")), one.volumes[0])
    status, truth = moduli(tensor)
    if status != OK or softest < -SOFT:
        return {"status": status, "softest": softest}
    found: dict[str, Any] = {"status": OK, "softest": softest}
    found["exact"] = [truth[column] for column in COLUMNS]
    for strain, distance in STEPS:
        asked = Asked.of(one, ElasticConfig(strain=strain, distance=distance))
        answers = elastic.evaluated(asked.cells, elastic.single, "")
        second = asked.hessian(answers, range(len(asked.cells)))
        status, told = moduli(relaxed_tensor(second, one.volumes[0])[1])
        found[f"{strain:g}, {distance:g} Å"] = [told.get(column) for column in COLUMNS]
    for strain in PEER_STRAINS:
        found[f"peer, {strain:g}"] = one_by_one(one, name, TIGHT["fmax"], strain)[0].tolist()
    return found


def steps(crystals: Crystals, name: str, work: Path) -> dict[str, Any]:
    """What steps are worth, crystal by crystal, each kept."""
    rows = {}
    for crystal in crystals:
        kept = work / f"steps-{name}-{crystal.ids[0]}.json"
        if not kept.exists():
            kept.write_text(json.dumps(by_steps(crystal, name)), "utf-8")
        rows[str(crystal.reduced_formulas[0])] = json.loads(kept.read_text("utf-8"))
        print(crystal.reduced_formulas[0], rows[str(crystal.reduced_formulas[0])], flush=True)
    there = [row for row in rows.values() if "exact" in row]
    judged = {}
    for way in there[0]:
        if way not in ("status", "softest", "exact"):
            found = np.array([row[way] for row in there], dtype=np.float64)
            off = np.abs(found / np.array([row["exact"] for row in there]) - 1)
            judged[way] = {
                "within_1_percent": int((off < 0.01).all(axis=1).sum()),
                "largest": np.nanmax(off, axis=0).round(4).tolist(),
                "median": np.nanmedian(off, axis=0).round(5).tolist(),
            }
    return {"weights": name, "of": len(rows), "answered": len(there), "ways": judged, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", nargs="+", default=["gnomon-2"])
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--peer", type=int, default=0, help="crystals to compare with the peer")
    parser.add_argument("--steps", type=int, default=0, help="crystals whose steps are looked at")
    parser.add_argument("--fmax", type=float, nargs="+", default=[0.005, 0.0005], help="eV/Å")
    parser.add_argument("--work", type=Path, default=Path("elastic-work"))
    given = parser.parse_args()
    given.work.mkdir(exist_ok=True)
    crystals, truth, ids = drawn(given.data, given.rows)
    before = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    levels, peers = before.get("levels", {}), before.get("peers", [])
    result = {"benchmark": "elastic", "first": ids[:3], "levels": levels, "peers": peers}
    result["steps"] = before.get("steps", {})
    if given.steps:
        result["steps"] = steps(crystals[: given.steps], given.weights[-1], given.work)
        save(result, RESULT)
        return
    if given.peer:
        result["peers"] = [
            compared(crystals[: given.peer], given.weights[-1], fmax) for fmax in given.fmax
        ]
    for name in given.weights:
        levels[name] = against(ours(crystals, name, given.work), truth)
    save(result, RESULT)


if __name__ == "__main__":
    main()

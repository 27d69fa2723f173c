"""What conduction is worth: intervals on known motion, published barriers, known substances.

    python benchmarks/conduction.py intervals
    python benchmarks/conduction.py barriers --data DATA
    python benchmarks/conduction.py known --weights gnomon-2 --work FOLDER
    python benchmarks/conduction.py known --weights nequix-oam-1-pft --work FOLDER --brief

``intervals``: motion with known D, 1,000 seeds, shares of intervals that hold it.
``barriers``: barriers by bond valences against published ones by DFT, where the Materials Project
has the crystal (formula and space group, the lowest): the lowest of its published paths, vacancies
in filled hosts, against the barrier along one direction.  ``known``: Li3N, NaCl and quartz (its
oxygen) at 1000 K, 5 ps of 2 fs (NaCl: 5), the first dropped; alpha-AgI, bcc iodine with
silver on one tetrahedral site an iodine, at 600 K (stable from 420 to 828), 20 ps of 5 fs, the
first 4 dropped; quartz for 20 ps of 3 fs in the property's own supercell, at 1000 and at 600 K.
The other cells are repeated along their axes until no faces are closer, which is more than the
property does.
``--so-far`` moves nothing and judges what a run that was stopped had come to, ``--brief`` takes
cells at least 6 Å high, 1.2 ps and a frame every 0.05, the first 0.2 dropped: for displacements,
not for the answer.  ``drift``: how well 2, 3 and 5 fs keep the energy.
Intervals: 95 %, bootstrap.
"""

import argparse
import json
import re
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
from ase import Atoms
from ase.build import bulk
from ase.units import kB
from pymatgen.core import Composition
from scipy.stats import spearmanr

from gnomon.crystals import Crystals
from gnomon.dynamics.md import MDConfig
from gnomon.dynamics.simulate import simulate
from gnomon.dynamics.trajectory import Trajectory
from gnomon.evaluate.registry import EvaluatorConfig
from gnomon.io import as_crystals, from_arrow
from gnomon.potential.predict import load_potential
from gnomon.properties.conduction.diffusion import CM2_S, diffusion
from gnomon.properties.conduction.dynamics import Conduction, ConductionConfig, judged, supercell
from gnomon.properties.conduction.ions import CHARGES
from gnomon.properties.registry import PROPERTIES, PropertySettings
from gnomon.structure.supercells import repeats
from md_drift import quartz
from record import RESULTS, save

RESULT = RESULTS / "conduction.json"
SHEET = {"s": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
JUMP, SHAKEN, SEEDS = 2.0, 0.25, 1000
"""Å of a hop, Å of vibrations along an axis, and simulations of each motion."""

MOTIONS = {  # kind, Å²/ps, ions
    "Brownian": ("still", 0.05, 20),
    "Brownian, vibrating": ("vibrating", 0.05, 20),
    "Brownian, vibrating, four ions": ("vibrating", 0.05, 4),
    "Brownian, vibrating, at the threshold": ("vibrating", 0.0041, 20),
    "hops": ("hops", 0.05, 20),
    "hops, eight in all": ("hops", 0.0066, 20),
}
CONFIG = ConductionConfig(time=5.0, dropped=1.0, interval=0.25, min_length=7.5)
BRIEF = ConductionConfig(time=1.2, dropped=0.2, interval=0.05, min_length=6.0)
LONG = ConductionConfig(time=20.0, dropped=4.0, timestep=3.0, min_length=7.5)
COOLER = LONG.model_copy(update={"temperature": 600.0})
"""Where alpha-quartz is stable (below 846 K): above it the oxygen swings between two forms."""
SALT = CONFIG.model_copy(update={"timestep": 5.0})
SILVER = ConductionConfig(
    temperature=600.0, time=20.0, dropped=4.0, interval=0.5, timestep=5.0, min_length=10.0
)


def moved(rng: np.random.Generator, kind: str, coefficient: float, ions: int) -> np.ndarray:
    """41 frames of a known motion, Å, one a ps; the coefficient is in Å²/ps."""
    shape = (41, ions, 3)
    if kind == "hops":
        steps = np.zeros(shape)
        jumps = rng.random(shape[:2]) < 6 * coefficient / JUMP**2
        for frame, ion in np.argwhere(jumps):
            steps[frame, ion, rng.integers(3)] = JUMP * rng.choice((-1, 1))
    else:
        steps = rng.normal(0, np.sqrt(2 * coefficient), shape)
    return np.cumsum(steps, axis=0) + rng.normal(0, 0 if kind == "still" else SHAKEN, shape)


def intervals() -> dict[str, Any]:
    """Shares of intervals that hold the coefficient, and the estimates over it."""
    found: dict[str, Any] = {}
    for name, (kind, coefficient, ions) in MOTIONS.items():
        held, ratios = dict.fromkeys((0.5, 0.68, 0.95), 0), []
        for seed in range(SEEDS):
            one = diffusion(moved(np.random.default_rng(seed), kind, coefficient, ions), 1.0)
            ratios.append(one.mean / (coefficient * CM2_S))
            for level in held:
                low, high = one.interval(level)
                held[level] += low <= coefficient * CM2_S <= high
        found[name] = {str(level): count / SEEDS for level, count in held.items()}
        found[name] |= {
            "mean": round(float(np.mean(ratios)), 2),
            "deviation": round(float(np.std(ratios)), 2),
        }
        print(name, found[name], flush=True)
    return found


def published(path: Path) -> list[tuple[str, str, str, float]]:
    """Formula, ion, space group symbol and barrier (eV) of each row of the first sheet."""
    with zipfile.ZipFile(path) as book:
        texts = [
            "".join(part.text or "" for part in item.iter(f"{{{SHEET['s']}}}t"))
            for item in ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
        ]
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    found = []
    for row in sheet.iterfind(".//s:row", SHEET):
        cells = {}
        for cell in row.iterfind("s:c", SHEET):
            value = cell.find("s:v", SHEET)
            if value is not None and value.text is not None:
                text = texts[int(value.text)] if cell.get("t") == "s" else value.text
                cells[str(cell.get("r"))[0]] = text
        formula = re.sub(r"^(?:[a-z]\d?|[A-Z])-", "", cells.get("B", "").strip())
        formula = formula.replace("Po4", "PO4")  # no polonium
        ions = [ion for ion in CHARGES if re.search(rf"{ion}(?![a-z])", formula)]
        try:
            name, barrier = Composition(formula).reduced_formula, float(cells["H"])
        except (KeyError, ValueError):
            continue
        if "(" not in formula and len(ions) == 1:
            found.append((name, ions[0], cells.get("E", "").replace(" ", ""), barrier))
    return found


def barriers(data: Path) -> dict[str, Any]:
    """Of those that have a crystal."""
    lowest: dict[tuple[str, str, str], float] = {}
    rows = published(data / "li_conductors" / "migration_barriers.xlsx")
    for *key, barrier in rows:
        lowest[tuple(key)] = min(barrier, lowest.get(tuple(key), np.inf))
    table = pq.read_table(data / "materials_project" / "structures.parquet")
    crystals = from_arrow(table)
    by_formula = defaultdict(list)
    for i, name in enumerate(crystals.reduced_formulas.tolist()):
        by_formula[name].append(i)
    above = table["e_above_hull"].to_numpy()
    pairs = []
    for (name, ion, group), barrier in sorted(lowest.items()):
        for i in sorted(by_formula.get(name, []), key=lambda i: above[i]):
            if symbol(crystals[i]) == group:
                pairs.append((name, ion, group, barrier, i))
                break
    values, shown = [], []
    for name, ion, group, barrier, i in pairs:
        made = PROPERTIES.get("bond_valence")(
            PropertySettings(options={"bond_valence": {"ion": ion}})
        )
        (row,) = made.compute(crystals[i], {}).to_pylist()
        values.append((barrier, row["barrier_1d"] or np.nan, row["value"] or np.nan))
        shown.append({"formula": name, "ion": ion, "group": group, "published": barrier, **row})
        print(name, ion, group, barrier, row["barrier_1d"], row["status"], flush=True)
    truth, one, three = np.array(values).T
    return {
        "published rows": len(rows),
        "compounds": len(lowest),
        "with a crystal": len(pairs),
        "along one direction": compared(truth, one),
        "in three dimensions": compared(truth, three),
        "rows": shown,
    }


def symbol(crystal: Any) -> str:
    """Of the space group, as spglib writes it."""
    from gnomon.io import to_pymatgen

    (structure,) = to_pymatgen(crystal)
    return str(structure.get_space_group_info(symprec=0.1)[0])


def compared(truth: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Rank correlation and error of those that have an answer."""
    there = np.isfinite(found)
    a, b = truth[there], found[there]
    rng, drawn = np.random.default_rng(0), []
    for _ in range(2000):
        rows = rng.integers(0, len(a), len(a))
        drawn.append(spearmanr(a[rows], b[rows]).statistic)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return {
        "n": int(there.sum()),
        "failed": int((~there).sum()),
        "spearman": round(float(spearmanr(a, b).statistic), 2),
        "interval": [round(float(low), 2), round(float(high), 2)],
        "mae": round(float(np.abs(a - b).mean()), 3),
        "mae of the median": round(float(np.abs(a - np.median(a)).mean()), 3),
    }


def iodide() -> Atoms:
    """alpha-AgI, primitive: one of the six tetrahedral sites of an iodine is filled."""
    half = 5.06 / 2
    cell = half * (1 - 2 * np.eye(3))
    return Atoms("IAg", positions=[[0, 0, 0], [half, half / 2, 0]], cell=cell, pbc=True)


def nitride() -> Atoms:
    """alpha-Li3N."""
    return Atoms(
        "NLi3",
        scaled_positions=[[0, 0, 0], [1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0], [0, 0, 0.5]],
        cell=[[3.65, 0, 0], [-1.825, 3.161, 0], [0, 0, 3.87]],
        pbc=True,
    )


def repeated(crystal: Crystals, height: float) -> Crystals:
    """Along its axes, until no two faces are closer than this (Å)."""
    return crystal.supercell(repeats(crystal.lattice[0], height))


Cell = Callable[[Crystals, float], Crystals]
KNOWN: dict[str, tuple[Callable[[], Atoms], str, ConductionConfig, Cell]] = {
    "Li3N": (nitride, "Li", CONFIG, repeated),
    "AgI": (iodide, "Ag+", SILVER, repeated),
    "NaCl": (lambda: bulk("NaCl", "rocksalt", a=5.64), "Na", SALT, repeated),
    "quartz": (quartz, "O2-", CONFIG, repeated),
    "quartz, longer": (quartz, "O2-", LONG, supercell),
    "quartz, 600 K": (quartz, "O2-", COOLER, supercell),
}


def known(weights: str, given: argparse.Namespace, result: dict[str, Any]) -> None:
    """Answers of dynamics for substances whose answer is known, each written as it comes."""
    part = "known, briefly" if given.brief else "known"
    found = result.setdefault(part, {}).setdefault(weights, {})
    for name in given.only:
        substance, ion, own, cut = KNOWN[name]
        settings = BRIEF if given.brief else own
        made = Conduction(settings, PropertySettings(EvaluatorConfig(name=weights)), given.work)
        cell = cut(as_crystals(substance()), settings.min_length)
        began = time.process_time()
        if given.so_far:
            positions = Trajectory.load(made.folder / f"{cell.ids[0]}.parquet", cell).positions
        else:
            ((positions, message),) = made.mover.move(cell, made.folder)
            assert not message, message
        config = settings.model_copy(update={"time": (len(positions) - 1) * settings.interval})
        row = judged(positions[config.frames[0] :], cell, ion, config)
        found[name] = {**row, "atoms": int(cell.n_atoms[0])}
        print(name, found[name], round(time.process_time() - began), "CPU s now", flush=True)
        save(result, RESULT)


def drift(weights: str, names: list[str]) -> dict[str, dict[str, dict[str, float]]]:
    """How energies drift (meV/atom/ps) and sway (meV/atom), kept constant, by so many fs a step."""
    potential, found = load_potential(weights), {}
    for name in names:
        substance, _, own, cut = KNOWN[name]
        cell = cut(as_crystals(substance()), own.min_length)
        for timestep in (2.0, 3.0, 5.0):
            config = MDConfig(
                temperature=2 * own.temperature,  # half of it goes into vibrations' energy
                timestep=timestep,
                steps=round(500 / timestep),
                interval=round(10 / timestep),
            )
            with tempfile.TemporaryDirectory() as folder:
                (one,) = simulate(cell, potential, config, Path(folder))
            heat = 1.5 * kB * np.array(one.temperatures)
            total = 1000 * (np.array(one.energies) / int(cell.n_atoms[0]) + heat)
            times = one.times * timestep / 1000
            slope, start = np.polyfit(times, total, 1)
            found.setdefault(name, {})[f"{timestep:g} fs"] = {
                "drift": round(float(slope), 3),
                "rms": round(float((total - slope * times - start).std()), 3),
            }
            print(weights, name, timestep, found[name][f"{timestep:g} fs"], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["intervals", "barriers", "known", "drift"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", default="gnomon-2")
    parser.add_argument("--work", type=Path, default=Path("conduction-work"))
    parser.add_argument("--only", nargs="+", choices=KNOWN, default=["Li3N", "NaCl", "quartz"])
    parser.add_argument("--so-far", action="store_true")
    parser.add_argument("--brief", action="store_true")
    given = parser.parse_args()
    before = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    result: dict[str, Any] = {
        "benchmark": "conduction",
        **{
            k: before[k]
            for k in ("intervals", "barriers", "known", "known, briefly", "drift")
            if k in before
        },
    }
    if given.what == "known":
        known(given.weights, given, result)
        return
    elif given.what == "drift":
        drifts = result.setdefault("drift", {}).setdefault(given.weights, {})
        drifts.update(drift(given.weights, given.only))
    elif given.what == "barriers":
        result["barriers"] = barriers(given.data)
    else:
        result["intervals"] = intervals()
    save(result, RESULT)


if __name__ == "__main__":
    main()

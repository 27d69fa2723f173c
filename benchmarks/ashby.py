"""Diagrams of 100,000 crystals by the networks: hardness against toughness, and expansion's bound.

    python benchmarks/ashby.py --data DATA --folder FOLDER --images docs/images
    python benchmarks/ashby.py --data DATA --folder FOLDER --images docs/images --rows 30000

The crystals are those of the Materials Project and of WBM at hand, and as many ionic substitutions
of the former, not relaxed, as make up the number; expansions are of the first two alone.  Each
diagram is what ``gnomon ashby`` draws, with its CPU seconds and the memory of the process; where
tables are in FOLDER already only figures are drawn again.  Left in ``ashby.png`` stand the shared
elastic data by DFT, binary crystals of the Materials Project and AFLOW's published files, with the
names of some that everybody knows; right, the same ones by the networks.  Metals alone have no
hardness.
"""

import argparse
import gzip
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from pymatgen.core import Structure

from gnomon.chemistry.cautions import of_metals
from gnomon.crystals import Crystals
from gnomon.generate.substitution.generator import SubstitutionGenerator
from gnomon.io import as_crystals, from_arrow, to_pymatgen
from gnomon.io.tables import OK, read_table
from gnomon.models.ensemble import load_model
from gnomon.properties.diagram import DIAGRAMS, draw
from gnomon.properties.heat.debye import expansion_factor
from gnomon.properties.mechanics.hardness import mazhnik_hardness, mazhnik_toughness
from gnomon.properties.mechanics.moduli import numbers, poisson_ratio, young_modulus
from gnomon.properties.registry import PropertySettings
from record import RESULTS, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from train_properties import LEARNED
from train_properties import rows as of_aflow

RESULT = RESULTS / "ashby.json"
NAMED = {"WC": 187, "SiC": 216, "TiC": 225, "BeO": 186, "MgO": 225, "CaF2": 225}
NAMED |= {"NaCl": 225, "ZnS": 216, "AgCl": 225, "B6O": 166, "ReB2": 194}
LEFT = {"B6O", "BeO", "ReB2", "ZnS", "MgO"}
"""Binary crystals with a name in the figure, by formula and space group, and who has it left."""

Points = tuple[np.ndarray, np.ndarray]
"""Hardness, GPa, and toughness, MPa m^1/2."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    every, sources = gathered(given.data, given.rows)
    computed = every[: sources["materials_project"] + sources["wbm"]]
    found: dict[str, Any] = {}
    if RESULT.exists():
        found = json.loads(RESULT.read_text("utf-8"))["diagrams"]
    for name, diagram in DIAGRAMS.items():
        fresh = not (given.folder / f"{diagram.property}.parquet").exists()
        options = {diagram.property: {"moduli": "predicted"}}
        began = time.process_time()
        crystals = computed if name == "bound" else every
        drawn = draw(crystals, name, PropertySettings(options=options), given.folder)
        seconds = time.process_time() - began
        if fresh:
            found[name] = {
                "shown": drawn.shown,
                "given": drawn.given,
                "beyond": drawn.above,
                "cpu_s": round(seconds, 1),
                "crystals_a_second": round(drawn.given / seconds),
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                "page_mb": round(drawn.out.stat().st_size / 1e6, 1),
            }
    hardness = read_table(given.folder / "hardness.parquet")
    ok = np.array(hardness["status"].to_pylist()) == OK
    right = (numbers(hardness, "value")[ok], numbers(hardness, "toughness")[ok])
    left, crystals, names = by_dft(given.data)
    nets = [load_model(f"{kind}-modulus-1") for kind in ("bulk", "shear")]
    moduli = [10 ** net.predict(crystals).median for net in nets]  # log10(GPa)
    marked = {
        name: {"pbe": pair, "networks": of_networks}
        for name, pair, of_networks in zip(
            names,
            np.round(np.transpose(left), 2)[: len(names)].tolist(),
            np.round(np.transpose(model(*moduli, crystals)), 2).tolist(),
            strict=True,
        )
    }
    draw_ashby(left, right, marked, given.images / "ashby.png")
    bound = read_table(given.folder / "expansion_bound.parquet")
    draw_bound(numbers(bound, "poisson_ratio"), numbers(bound, "reduced_expansion"), given.images)
    about = {"benchmark": "ashby", "sources": sources, "diagrams": found}
    save(about | {"hardness_and_toughness": marked}, RESULT)


def gathered(data: Path, rows: int) -> tuple[Crystals, dict[str, int]]:
    """So many different crystals, and where they come from."""
    known = from_arrow(pq.read_table(data / "materials_project" / "structures.parquet"))
    wbm = from_arrow(pq.read_table(data / "wbm" / "wbm_pool.parquet"))
    parts = [known, wbm]
    order = np.random.default_rng(0).permutation(len(known))
    left = rows - len(known) - len(wbm)
    generator = SubstitutionGenerator()
    for start in range(0, len(order), 500):
        if left <= 0:
            break
        for children in generator.generate(known.take(order[start : start + 500])):
            made = children.crystals
            taken = np.random.default_rng(start).permutation(len(made))[: min(left, 2000)]
            parts.append(made.take(taken))
            left -= len(taken)
    crystals = Crystals.concatenate(parts)[:rows]
    made = rows - len(known) - len(wbm)
    return crystals, {"materials_project": len(known), "wbm": len(wbm), "substitutions": made}


def model(bulk: np.ndarray, shear: np.ndarray, crystals: Crystals) -> Points:
    """By Mazhnik and Oganov's models."""
    young, poisson = young_modulus(bulk, shear), poisson_ratio(bulk, shear)
    volumes = crystals.volumes / crystals.n_atoms
    return mazhnik_hardness(young, poisson), mazhnik_toughness(young, poisson, volumes)


def by_dft(data: Path) -> tuple[Points, Crystals, list[str]]:
    """By the shared PBE moduli, those with a name first; these crystals and names."""
    file = data / "elasticity" / "mp-binary-pbe-elasticity-2025.1.json.gz"
    rows = json.loads(gzip.decompress(file.read_bytes()))
    binary = as_crystals([Structure.from_dict(row["structure"]) for row in rows])
    bulk, shear = (np.array([row[f"{k}_modulus_vrh"] for row in rows]) for k in ("bulk", "shear"))
    of = [
        [of_aflow(data, LEARNED[f"{kind}-modulus"], split) for split in ("train", "val")]
        for kind in ("bulk", "shear")
    ]
    assert all((b[0].ids == s[0].ids).all() for b, s in zip(*of, strict=True))
    crystals = Crystals.concatenate([binary, *(part for part, _ in of[0])])
    bulk, shear = (
        np.concatenate([first, *(values for _, values in parts)])
        for first, parts in zip((bulk, shear), of, strict=True)
    )
    named: dict[int, str] = {}
    for i, name in enumerate(binary.reduced_formulas.tolist()):
        group = NAMED.get(name) if name not in named.values() else None
        if group and to_pymatgen(binary[i])[0].get_space_group_info()[1] == group:
            named[i] = name
    there = (bulk > 0) & (shear > 0) & ~of_metals(crystals)
    there[list(named)] = False
    order = np.concatenate([np.array(list(named), int), np.flatnonzero(there)])
    points = model(bulk[order], shear[order], crystals.take(order))
    return points, crystals.take(order[: len(named)]), list(named.values())


def draw_ashby(left: Points, right: Points, marked: dict[str, Any], out: Path) -> None:
    """Both beside each other, crystals counted, known ones named."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    made, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharex=True, sharey=True)
    for axis, (hardness, toughness), name, level in zip(
        axes,
        (left, right),
        ("PBE moduli", "moduli by the networks"),
        ("pbe", "networks"),
        strict=True,
    ):
        there = (hardness > 0) & (toughness > 0)
        drawn = axis.hexbin(
            *(toughness[there], hardness[there]),
            xscale="log",
            yscale="log",
            bins="log",
            gridsize=110,
            extent=(-2, 1.1, -1, 2.2),
            mincnt=1,
            cmap="viridis_r",
            linewidths=0.1,
        )
        made.colorbar(drawn, ax=axis, label="crystals")
        for formula, both in marked.items():
            hard, tough = both[level]
            axis.plot(tough, hard, "o", ms=3.5, color="#b5532b")
            side = {"ha": "right", "xytext": (-4, 2)} if formula in LEFT else {"xytext": (4, -7)}
            style = {"textcoords": "offset points", "fontsize": 7, **side}
            axis.annotate(formula, (tough, hard), **style)
        axis.set(title=f"{name}, {there.sum():,} crystals", xlabel="toughness, MPa m$^{1/2}$")
    axes[0].set_ylabel("Vickers hardness, GPa")
    axes[0].set(xlim=(0.02, 12), ylim=(0.2, 150))
    made.tight_layout()
    made.savefig(out, dpi=110)


def draw_bound(poisson: np.ndarray, reduced: np.ndarray, images: Path) -> None:
    """Reduced expansion by Poisson's ratio, below and beyond the bound."""
    from matplotlib import pyplot as plt

    there = np.isfinite(poisson) & np.isfinite(reduced)
    poisson, reduced = poisson[there], reduced[there]
    beyond = reduced > expansion_factor(poisson)
    made, axis = plt.subplots(figsize=(6, 4))
    for rows, color, name in ((~beyond, "#2a7f9e", "within"), (beyond, "#b5532b", "beyond")):
        label = f"{name} the bound: {rows.sum():,}"
        axis.plot(poisson[rows], reduced[rows], ".", ms=1, alpha=0.15, color=color)
        axis.plot([], [], ".", color=color, label=label)
    along = np.linspace(0, 0.5, 200)
    axis.plot(along, expansion_factor(along), "k", label="f(nu), Mazhnik")
    axis.set(
        xlim=(0, 0.5), ylim=(0, 3), xlabel="Poisson's ratio nu", ylabel="alpha E / (c$_V$ rho)"
    )
    axis.legend(loc="upper right", fontsize=8)
    made.tight_layout()
    made.savefig(images / "bound.png", dpi=110)


if __name__ == "__main__":
    main()

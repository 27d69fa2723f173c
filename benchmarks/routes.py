"""Routes of published syntheses: is the known way among the first five?

Each case has precursors, target, temperature and what the literature saw or says: a phase through
which it goes, or a phase that is given off or left beside the target ("with"); where neither is
said, a route counts in which no solid is left.  DOIs are entries of the text-mined set (Kononova
et al., Sci. Data 6, 203 (2019)) with this target and these precursors.  Targets whose phase the
table lacks count as not found.

    python benchmarks/routes.py DATA
"""

import sys
import time
from pathlib import Path

from gnomon.elements import parse_formula
from gnomon.hull.phases import compositions, reduced_formulas
from gnomon.synthesis.routes import Network
from gnomon.synthesis.thermo import PRESSURES
from record import RESULTS, save
from thermochemistry import solids_of

AIR, INERT = PRESSURES, {"CO2": 1e-3}
CASES = (
    # target, precursors, K, gases, through, with, source
    ("BaTiO3", ("BaCO3", "TiO2"), 1273, AIR, ("Ba2TiO4",), ("CO2",),
     "Beauger et al., J. Mater. Sci. 18, 3041 (1983): Ba2TiO4 forms first"),
    ("YMnO3", ("Mn2O3", "YCl3", "Li2CO3"), 1100, AIR, (), ("LiCl",),
     "Todd et al., Inorg. Chem. 58, 13639 (2019): assisted metathesis, LiCl beside it"),
    ("MgZrN2", ("Mg3N2", "ZrCl4"), 1000, INERT, (), ("MgCl2",),
     "Rom et al., Chem. Mater. 33, 5345 (2021): metathesis, MgCl2 beside it"),
    ("GaN", ("GaI3", "Li3N"), 700, INERT, (), ("LiI",),
     "Cumberland et al., J. Phys. Chem. B 105, 11922 (2001): metathesis of the iodide"),
    ("TiN", ("TiCl3", "Li3N"), 900, INERT, (), ("LiCl",),
     "Gillan and Kaner, Chem. Mater. 8, 333 (1996): metathesis"),
    ("MoS2", ("MoCl5", "Na2S"), 700, INERT, (), ("NaCl",),
     "Bonneau, Jarvis, Kaner, Nature 349, 510 (1991): metathesis"),
    ("LiCoO2", ("Li2CO3", "Co3O4"), 1100, AIR, (), ("CO2",),
     "Antolini and Ferretti, J. Solid State Chem. 117, 1 (1995)"),
    ("LiMn2O4", ("Li2CO3", "Mn2O3"), 1000, AIR, (), ("CO2",),
     "Thackeray et al., J. Electrochem. Soc. 139, 363 (1992)"),
    ("MgAl2O4", ("MgO", "Al2O3"), 1600, AIR, (), (),
     "Carter, J. Am. Ceram. Soc. 44, 116 (1961): by diffusion of both cations"),
    ("ZnFe2O4", ("ZnO", "Fe2O3"), 1200, AIR, (), (),
     "Duncan and Stewart, Trans. Faraday Soc. 63, 1031 (1967)"),
    ("SrTiO3", ("SrCO3", "TiO2"), 1273, AIR, (), ("CO2",),
     "doi 10.1016/j.ceramint.2013.01.115"),
    ("CaTiO3", ("CaCO3", "TiO2"), 1400, AIR, (), ("CO2",),
     "doi 10.1016/j.mseb.2007.10.016"),
    ("LaMnO3", ("La2O3", "Mn2O3"), 1300, AIR, (), (),
     "doi 10.1103/PhysRevB.91.054421"),
    ("LaFeO3", ("La2O3", "Fe2O3"), 1300, AIR, (), (),
     "doi 10.1016/j.matlet.2012.08.079"),
    ("BiFeO3", ("Bi2O3", "Fe2O3"), 1050, AIR, (), (),
     "doi 10.1016/j.ceramint.2013.03.025"),
    ("La2Zr2O7", ("La2O3", "ZrO2"), 1600, AIR, (), (), "doi 10.1149/1.1369370"),
    ("SrZrO3", ("SrCO3", "ZrO2"), 1400, AIR, (), ("CO2",), "doi 10.1016/j.ssi.2015.02.005"),
    ("CuFe2O4", ("CuO", "Fe2O3"), 1200, AIR, (), (), "doi 10.1016/j.jmmm.2006.04.002"),
    ("NaCoO2", ("Na2CO3", "Co3O4"), 1100, AIR, (), ("CO2",),
     "Bianchini et al., Nat. Mater. 19, 1088 (2020)"),
    ("Li4Ti5O12", ("Li2CO3", "TiO2"), 1100, AIR, (), ("CO2",),
     "doi 10.1149/2.0581410jes"),
    ("Y3Al5O12", ("Y2O3", "Al2O3"), 1700, AIR, ("YAlO3",), (),
     "Abell et al., J. Mater. Sci. 9, 527 (1974): YAlO3 before the garnet"),
    ("LiFePO4", ("Li3PO4", "Fe3(PO4)2"), 900, INERT, (), (),
     "doi 10.1016/j.ssi.2013.11.008"),
)  # fmt: skip


def asked(solids, case) -> dict:
    target, precursors, temperature, gases, through, beside, source = case
    wanted, *start = reduced_formulas(compositions([target, *precursors])).tolist()
    elements = sorted({e for f in (wanted, *start) for e in parse_formula(f)})
    said = {"target": target, "precursors": precursors, "temperature": temperature}
    said |= {"through": through, "with": beside, "source": source}
    began = time.process_time()
    try:
        network = Network(solids.within(elements), start, wanted, temperature, gases)
        found = network.routes(5)
    except ValueError as error:
        return {**said, "rank": None, "why not": str(error)}
    rank = None
    for number, route in enumerate(found, 1):
        formed = {p for step in route.steps for p in step.products}
        through_it = {*reduced_formulas(compositions(list(through))).tolist()} <= formed
        beside_it = {*reduced_formulas(compositions(list(beside))).tolist()} <= formed
        left = {*route.side_products} - {"CO2", "O2"}
        clean = bool(through or beside) or not left
        if rank is None and through_it and beside_it and clean:
            rank = number
    return {
        **said,
        "rank": rank,
        "phases": len(network.phases),
        "reactions": len(network.reactions),
        "cpu_seconds": round(time.process_time() - began, 2),
        "routes": [[str(s) for s in r.steps] for r in found],
    }


if __name__ == "__main__":
    solids = solids_of(Path(sys.argv[1]))
    rows = [asked(solids, case) for case in CASES]
    five = [row for row in rows if row["rank"] is not None]
    save(
        {
            "cases": len(rows),
            "known route among the first five": len(five),
            "first": sum(row["rank"] == 1 for row in five),
            "rows": rows,
        },
        RESULTS / "routes.json",
    )

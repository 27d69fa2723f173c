"""Does the novelty that reports tell find what is known?

    python benchmarks/novelty.py CAMPAIGN...

Finds of campaigns that were told of no compound, by whether pymatgen's ``StructureMatcher`` takes
them for a known crystal in the package (``prototypes-2``), which the novelty does not ask.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from gnomon.discover.campaign import Campaign
from gnomon.generate.prototypes.occurrence import Occurrence
from gnomon.report.novelty import REPRESENTATION, novelty_of_finds
from gnomon.structure.matching import Matcher
from record import RESULTS, save

RESULT = RESULTS / "novelty.json"


def is_listed(crystal: Crystals, cells: Crystals) -> bool:
    """Whether it is one of the known crystals."""
    same = np.flatnonzero(cells.reduced_formulas == crystal.reduced_formulas[0])
    equal = Matcher().on(Crystals.concatenate([crystal, cells[same]]))
    return any(equal(0, i + 1) for i in range(len(same)))


def rows_of(campaign: Campaign, cells: Crystals) -> list[dict[str, Any]]:
    """Every find with its novelty."""
    told, placed = novelty_of_finds(campaign, campaign.finds), campaign.placed
    return [
        {
            "campaign": campaign.name,
            "find": find.reduced_formula,
            "novelty": round(told[find.id].distance, 2),
            "nearest": told[find.id].formula,
            "is_known": is_listed(placed.found.relaxed[[placed.row_of[find.id]]], cells),
        }
        for find in campaign.finds
        if find.id in told
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaigns", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    cells = Occurrence.load().known.cells
    rows = [row for folder in given.campaigns for row in rows_of(Campaign(folder), cells)]
    rows.sort(key=lambda row: (not row["is_known"], row["novelty"]))
    save({"representation": REPRESENTATION, "known crystals": len(cells), "finds": rows}, given.out)


if __name__ == "__main__":
    main()

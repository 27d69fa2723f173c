"""`gnomon targets`: which finds of a campaign to make."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from gnomon.cli.options import Output
from gnomon.discover.campaign import Campaign
from gnomon.elements import symbols
from gnomon.hull.phases import phases_from_table
from gnomon.io.tables import read_table
from gnomon.run.listener import SILENT
from gnomon.run.store import Store
from gnomon.synthesis.targets import KELVIN, TEMPERATURES, solids_of, verdicts


def targets(
    campaign: Path,
    *,
    phases: Path | None = None,
    allow: list[str] | None = None,
    celsius: list[float] | None = None,
) -> Output:
    """Say which new phases of a campaign to make, and why not the others.

    A target is within 10 meV/atom of the hull, holds nothing scarce, radioactive or toxic, has
    usual oxidation states, and lives in air when it is hot: against O2, CO2 and H2O together, by
    grand potentials, and against each alone.

    Args:
        campaign: its folder.
        phases: Parquet of competing phases of the same scheme, such as carbonates and hydroxides,
            which a campaign without C and H lacks.
        allow: element that may be in a target all the same; repeatable.
        celsius: temperature in air; repeatable [600, 850 and 1100].

    Example: gnomon targets campaign-Li-Mn-O --phases reference/phases.parquet
    """
    store = Store(campaign)
    store.sound(SILENT)
    place = Campaign(store)
    others = [] if phases is None else [phases_from_table(read_table(phases))]
    solids = solids_of(place, others)
    hot = [c + KELVIN for c in celsius] if celsius else list(TEMPERATURES)
    found = verdicts(place, solids, symbols(tuple(allow or ())), hot)
    shown = [
        {"formula": one.reduced_formula, "id": one.id, "no target because": reasons}
        for one in found
        for reasons in one.reasons or ("-",)
    ]
    count = sum(not one.reasons for one in found)
    there = np.asarray(solids.phases.composition.any(axis=0))
    lacking = [s for s, z in (("C", 6), ("H", 1), ("O", 8)) if not there[z]]
    said = [f"{count} targets of {len(found)} new compositions"]
    if lacking:
        said.append(
            f"no phase holds {', '.join(lacking)}: what air makes of these elements is not known "
            "here; give competing phases of the same scheme with --phases"
        )
    return Output([asdict(one) for one in found], (shown,), tuple(said))

"""`gnomon conductors` and `gnomon electrodes`: which crystals ions go through, and into."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float64

from gnomon.cli.options import Output, Section
from gnomon.cli.properties import campaign_of
from gnomon.cli.shared import Evaluator, MaybeNewTable
from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.evaluate.by_name import elements_in
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, compositions, evaluated, phases_from_table
from gnomon.io import from_arrow
from gnomon.io.tables import OK, read_table, write_table
from gnomon.properties.conduction.screen import ScreenConfig, screen
from gnomon.properties.insertion import electrodes as find_electrodes
from gnomon.properties.registry import PropertySettings
from gnomon.run.listener import Listener


def conductors(
    source: Path,
    cuts: Annotated[ScreenConfig, Section()],
    evaluator: Evaluator,
    listener: Listener,
    *,
    phases: Path | None = None,
    scheme: str | None = None,
    out: MaybeNewTable = None,
) -> Output:
    """Say which crystals may be solid electrolytes, and why others are out.

    Asked in this order: the ion; on the hull; no transition metal; stable against the metal of the
    ion, and its oxidation limit, by the chemical potentials between which it is stable; band gap
    (column band_gap, or predicted); barrier of the ion by bond valences.

    Args:
        source: folder of a campaign, or a Parquet table of crystals with
            formation_energy_per_atom, or what `gnomon evaluate` wrote.
        phases: further competing phases of the same scheme, as `gnomon hull` takes them.
        scheme: name of the energy scheme, where the file has none.
        out: table of all crystals with what is known of each (Parquet).

    Example: gnomon conductors known.parquet --ion Li
    """
    crystals, hull, gaps = _placed(source, phases, scheme, listener)
    settings = PropertySettings(evaluator, listener=listener)
    energies = hull.phases.formation_energy_per_atom[: len(crystals)]
    found = screen(crystals, energies, hull, cuts, settings, gaps=gaps)
    if out is not None:
        write_table(out, found.table, facts={"cuts": cuts.model_dump(mode="json")})
    kept = [row for row in found.table.to_pylist() if row["status"] == OK]
    kept.sort(key=lambda row: (row["barrier"] is None, row["barrier"] or 0.0))
    columns = ("reduced_formula", "barrier", "band_gap", "value", "remark")
    shown = [
        {("oxidation_limit" if name == "value" else name): row[name] for name in columns}
        for row in kept
    ]
    stages = [
        dict(zip(("question", "came", "went on"), stage, strict=True)) for stage in found.stages
    ]
    reasons = Counter(s for s in found.table["status"].to_pylist() if s != OK)
    said = [f"{count} × {why}" for why, count in reasons.most_common()]
    said += [f"{count} of {len(kept)} with {what}" for what, count in found.unknown.items()]
    return Output(kept, (stages, shown), tuple(said))


def electrodes(
    source: Path,
    listener: Listener,
    *,
    ion: str = "Li",
    window: float = 0.1,
    phases: Path | None = None,
    scheme: str | None = None,
    out: MaybeNewTable = None,
) -> Output:
    """Say which crystals are hosts that take up ions: voltage, capacity, change of volume.

    A host and what it becomes have one framework, by pymatgen's matcher without the ions.

    Args:
        source: folder of a campaign, or a Parquet table of crystals with
            formation_energy_per_atom, or what `gnomon evaluate` wrote.
        ion: that is inserted: Li, Na, K, Mg, Ca, or another with its charge, such as Zn2+.
        window: eV/atom above the hull that host and filled crystal may lie at most.
        phases: further competing phases of the same scheme, as `gnomon hull` takes them.
        scheme: name of the energy scheme, where the file has none.
        out: table of all pairs (Parquet).

    Example: gnomon electrodes known.parquet --ion Na
    """
    crystals, hull, _ = _placed(source, phases, scheme, listener)
    energies = hull.phases.formation_energy_per_atom[: len(crystals)]
    table = find_electrodes(crystals, energies, hull, ion, window=window)
    if out is not None:
        write_table(out, table, facts={"ion": ion, "window": window})
    kept = [row for row in table.to_pylist() if row["status"] == OK]
    kept.sort(key=lambda row: -row["energy_density"])
    columns = ("host", "filled", "value", "capacity", "energy_density", "volume_change")
    shown = [{("voltage" if n == "value" else n): row[n] for n in columns} for row in kept]
    said = (f"{len(table) - len(kept)} × the host does not take up {ion}",)
    return Output(kept, (shown,), said)


def _placed(
    source: Path, phases: Path | None, scheme: str | None, listener: Listener
) -> tuple[Crystals, Hull, Float64[np.ndarray, " n"] | None]:
    """Crystals, a hull whose first phases they are, and their gaps as far as they are given."""
    campaign = campaign_of([str(source)])
    gaps = None
    if campaign is not None:
        crystals, hull = campaign.placed.found.relaxed, campaign.hull
    else:
        table = read_table(source)
        elements = partial(elements_in, listener=listener)
        own = phases_from_table(table, scheme, elements)
        if "status" in table.column_names:
            table = evaluated(table)
        crystals, hull = from_arrow(table), Hull(own)
        if "band_gap" in table.column_names:
            gaps = table["band_gap"].to_numpy(zero_copy_only=False).astype(np.float64)
    if phases is not None:
        given = phases_from_table(
            read_table(phases), scheme, partial(elements_in, listener=listener)
        )
        hull = hull.with_phases(given)
    return crystals, _with_elements(hull), gaps


def _with_elements(hull: Hull) -> Hull:
    """The hull with elements that it lacks at 0, where formation energies are counted from."""
    held = hull.phases.composition > 0
    alone = held[held.sum(axis=1) == 1].any(axis=0)
    symbols = [SYMBOLS[z] for z in np.flatnonzero(held.any(axis=0) & ~alone)]
    if not symbols:
        return hull
    names = np.array([f"{symbol} (reference)" for symbol in symbols], dtype=object)
    zeros = np.zeros(len(symbols))
    return hull.with_phases(Phases(names, compositions(symbols), zeros, hull.phases.scheme))

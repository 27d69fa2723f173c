"""Precursors that a laboratory has: those that published syntheses use most."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gnomon.hull.phases import compositions, reduced_formulas
from gnomon.synthesis.lab.crucible import closed_elements
from gnomon.synthesis.literature import Literature, written


def common_precursors(
    literature: Literature, known: Collection[str], pressures: Mapping[str, float], most: int = 3
) -> dict[str, list[str]]:
    """For each element the commonest precursors that bring it alone, besides what gases give.

    Args:
        literature: published syntheses.
        known: reduced formulas that count: phases of a table.
        pressures: of the gases, bar.
        most: precursors of an element.
    """
    counts: dict[str, int] = {}
    for amounts, count in literature.counts.items():
        try:
            name = str(reduced_formulas(compositions([written(amounts)]))[0])
        except ValueError:  # amounts that are not whole: no phase of a table
            continue
        counts[name] = counts.get(name, 0) + count
    found: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda n: (-counts[n], n)):
        if name in known and len(own := closed_elements(name, pressures)) == 1:
            found.setdefault(own[0], []).append(name)
    return {symbol: names[:most] for symbol, names in found.items()}

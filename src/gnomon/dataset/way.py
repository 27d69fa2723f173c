"""Crystals on their way to a minimum: the far start, some in between, the end.

What a potential has to know lies along the ways that it will be asked to go; a draft of it goes
where it errs, and whoever labels the crystals there says what is right.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from gnomon.crystals import Crystals
from gnomon.dataset.perturb import Variants
from gnomon.dynamics.relax import relax
from gnomon.dynamics.settings import RelaxConfig
from gnomon.potential.predict import LoadedPotential

MAX_VOLUME_FACTOR = 2.5
"""A cell that grows or shrinks beyond this factor has left the crystal that it was."""


def on_the_way(
    starts: Crystals,
    parents: Int64[np.ndarray, " n"],
    kind: str,
    mover: LoadedPotential,
    *,
    steps: int,
    frames: int,
    fmax: float,
) -> Variants:
    """Relax positions and cells for up to ``steps`` steps; keep up to ``frames`` of each way.

    Args:
        starts: the unrelaxed crystals, which are kept to the last bit.
        parents: whose they are.
        kind: what they are.
        mover: what moves them; a start that it cannot move is kept alone.
        steps: of the relaxation; 0 keeps the starts alone.
        frames: kept of each crystal: the first, the last, and evenly between.
        fmax: force below which a crystal counts as relaxed, eV/Å; the cell's too.
    """
    ways = [[(0, starts[i])] for i in range(len(starts))]

    def watch(i: int, step: int, crystal: Crystals) -> None:
        growth = float(crystal.volumes[0] / starts.volumes[i])
        whole = 1 / MAX_VOLUME_FACTOR < growth < MAX_VOLUME_FACTOR
        # a step that led uphill was taken back
        if step and whole and crystal.ids[0] != ways[i][-1][1].ids[0]:
            ways[i].append((step, crystal))

    config = RelaxConfig(fmax=fmax, max_steps=steps, max_seconds=np.inf)
    for _ in relax(starts, mover, config, watch=watch) if steps else ():
        pass
    parts = [Variants.of(starts[:0], parents[:0], kind)]
    for way, parent in zip(ways, parents, strict=True):
        places = np.rint(np.linspace(0, len(way) - 1, frames)).astype(np.int64)
        for step, crystal in (way[i] for i in np.unique(places)):
            parts.append(Variants.of(crystal, parent[None], kind, step))
    return Variants.concatenate(parts)

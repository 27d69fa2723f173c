"""Crystals on the hull of the Materials Project's ground states, by energies or a network."""

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gnomon.crystals import Crystals
from gnomon.hull.convex import Hull
from gnomon.hull.phases import Phases, missing_elements, phases_from_table
from gnomon.models.bundled import STRUCTURAL
from gnomon.models.structural.model import StructuralModel
from gnomon.structure.duplicates import find_known


class Places:
    """Energies above the hull of ``ground_states.parquet``."""

    def __init__(self, data: Path, composition: np.ndarray) -> None:
        """A hull with all elements of these compositions."""
        table = pq.read_table(data / "materials_project" / "ground_states.parquet")
        phases = phases_from_table(table, "Materials Project")
        self.phases = Phases.concatenate([phases, missing_elements(phases, composition)])
        self.hull = Hull(self.phases)

    def above(self, crystals: Crystals, formation: np.ndarray) -> np.ndarray:
        """eV/atom, NaN where there is no energy."""
        found = np.full(len(crystals), np.nan)
        rows = np.flatnonzero(np.isfinite(formation))
        composition = crystals.composition[rows].astype(np.float64)
        found[rows] = self.hull.e_above_hull(composition, formation[rows])
        return found

    def compounds_of_same_elements(self, crystals: Crystals) -> np.ndarray:
        """How many compounds the table has of exactly the elements of each crystal."""
        known = Counter((row > 0).tobytes() for row in self.phases.composition)
        return np.array([known[(row > 0).tobytes()] for row in crystals.composition])

    @cached_property
    def network(self) -> StructuralModel:
        """What ranks."""
        return StructuralModel.load(STRUCTURAL)

    def best(self, pool: Crystals, trained: Crystals, n: int) -> Crystals:
        """Those that the network places lowest, without crystals that trained it."""
        new = pool.take(np.flatnonzero(find_known(pool, trained) < 0))
        above = self.above(new, self.network.predict(new).median)
        return new.take(np.argsort(above, kind="stable")[:n])

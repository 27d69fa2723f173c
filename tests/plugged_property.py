"""A property of a plug-in, which counts its calls and can be stopped."""

import pyarrow as pa

from gnomon.io.tables import OK, column, value_schema
from gnomon.properties import answers


class Atoms:
    """How many atoms a crystal has: counts its calls, and can be stopped."""

    needs = ()
    schema = value_schema("atoms", "1", column("twice", pa.float64(), "twice as many", unit="1"))
    calls = 0
    stop_at = -1

    def compute(self, crystals, known):
        Atoms.calls += 1
        if Atoms.calls == Atoms.stop_at:
            raise KeyboardInterrupt
        counts = crystals.n_atoms.astype(float)
        return answers(self.schema, crystals.ids, "count", [OK] * len(counts), value=counts)


def make_atoms(settings):
    return Atoms()

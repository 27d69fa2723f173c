"""Crystals in and out: files of all common formats, Arrow tables, pymatgen and ASE objects.

>>> from gnomon.crystals import Crystals
>>> rocksalt = Crystals.single(
...     [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]],
...     [11, 17],
...     [[0, 0, 0], [0.5, 0.5, 0.5]],
... )
>>> from_arrow(to_arrow(rocksalt)).ids[0] == rocksalt.ids[0]
True
>>> to_pymatgen(rocksalt)[0].formula
'Na1 Cl1'
>>> as_crystals(to_pymatgen(rocksalt)[0]).ids[0] == rocksalt.ids[0]
True
"""

from gnomon.io.arrow import CRYSTALS, from_arrow, to_arrow
from gnomon.io.objects import as_crystals, like, to_ase, to_pymatgen
from gnomon.io.reading import ReadResult, iter_read, read
from gnomon.io.reasons import REJECTS, ROWS, InputError, Reason
from gnomon.io.sources import FORMATS
from gnomon.io.writing import write

__all__ = [
    "CRYSTALS",
    "FORMATS",
    "REJECTS",
    "ROWS",
    "InputError",
    "ReadResult",
    "Reason",
    "as_crystals",
    "from_arrow",
    "iter_read",
    "like",
    "read",
    "to_arrow",
    "to_ase",
    "to_pymatgen",
    "write",
]

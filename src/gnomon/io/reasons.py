"""Why a record does not become a crystal, and the columns in which that is said."""

from enum import StrEnum

import pyarrow as pa


class Reason(StrEnum):
    """The named reasons for which a record is rejected; the free text beside it says the rest."""

    unreadable = "unreadable"
    """The parser gave up: damaged, truncated, or not in the format at all."""
    partial_occupancy = "partial_occupancy"
    """A site is shared, or partly empty: there is no single crystal to compute."""
    zero_volume = "zero_volume"
    """The cell is flat: its vectors lie in a plane."""
    atoms_too_close = "atoms_too_close"
    """Two atoms, or an atom and its own image, lie within ``checks.MIN_DISTANCE``."""
    unknown_element = "unknown_element"
    """A dummy species, a vacancy, a wrong symbol, or no symbols (POSCAR of VASP 4)."""
    missing_lattice = "missing_lattice"
    """A molecule, a slab or a chain: not periodic along three directions."""
    not_finite = "not_finite"
    """A coordinate, a cell vector or an energy is NaN or infinite."""
    empty = "empty"
    """No atoms."""
    too_large = "too_large"
    """Beyond ``max_atoms``, ``max_bytes`` or the largest cell."""
    incomplete = "incomplete"
    """The record itself says that atoms or coordinates are missing (implicit H, ``?``)."""
    contradictory = "contradictory"
    """What the record says of itself (symmetry, formula, density, counts) is not what it holds."""


class InputError(ValueError):
    """A source that cannot be used as asked: which one, what is wrong, what to do."""


class UnusableError(ValueError):
    """One record that does not become a crystal, with its reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Both go into the rejects."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def contradiction(detail: str) -> UnusableError:
    """What a record says of itself is not what it holds."""
    return UnusableError(Reason.contradictory, detail)


ENERGIES = ("formation_energy_per_atom", "energy_per_atom", "e_above_hull")
"""Energy columns of ``ROWS``, eV/atom.  The energy scheme is the source's: it is never mixed."""

ROWS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # content id of the crystal
        pa.field("source", pa.string(), nullable=False),  # file, with #index where it holds many
        pa.field("source_id", pa.string()),  # the source's own name, such as mp-865981
        *(pa.field(name, pa.float64()) for name in ENERGIES),  # eV/atom; null where not given
        pa.field("year", pa.int32()),  # of the first report
        pa.field("warnings", pa.string()),  # what the parser had to guess or mend
    ]
)
"""Columns of the accepted rows, aligned with the crystals."""

REJECTS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("source_id", pa.string()),
        pa.field("reason", pa.string(), nullable=False),  # one of ``Reason``
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""Columns of the rejected rows."""

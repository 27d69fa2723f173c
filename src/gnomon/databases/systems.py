"""Chemical systems: which contain which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

System = tuple[str, ...]


def subsystems(system: System) -> list[System]:
    """All systems of elements of this one, itself included, the smallest first.

    >>> subsystems(("Au", "Cu"))
    [('Au',), ('Cu',), ('Au', 'Cu')]
    """
    return [part for n in range(1, len(system) + 1) for part in combinations(system, n)]


def largest(systems: Iterable[System]) -> tuple[System, ...]:
    """The systems that no other one contains, each once, in order.

    >>> largest([("Au",), ("Au", "Cu"), ("Na", "Cl"), ("Au", "Cu")])
    (('Au', 'Cu'), ('Na', 'Cl'))
    """
    each = list(dict.fromkeys(systems))
    return tuple(a for a in each if not any(set(a) < set(b) for b in each))


def inside(symbols: Iterable[str], systems: Sequence[System]) -> bool:
    """Whether a crystal of these elements belongs to one of the systems."""
    own = set(symbols)
    return any(own <= set(system) for system in systems)

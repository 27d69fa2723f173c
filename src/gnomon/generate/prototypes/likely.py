"""Structures of known crystals with the elements of a system in their places, the likeliest first.

Of all prototypes and orders of the elements those are made that occur most often among like
elements (``occurrence``).  Cell and positions are those of the known crystal whose elements are
most alike; its volume is scaled by what each element takes of a crystal's volume (``learning``).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from gnomon.crystals import Crystals
from gnomon.elements import SYMBOLS
from gnomon.generate.prototypes.occurrence import NONE, Known, Occurrence
from gnomon.structure.symmetry import canonical_ids

VOLUME = 20.0
"""Å³ an atom at which crystals are compared whose sizes do not matter."""


@dataclass(frozen=True, eq=False)
class Likely:
    """What is made of known crystals.

    Attributes:
        crystals: k of them, the likeliest first.
        labels: their prototypes.
        counts: how often these occur with the elements in this order.
        changes: where each is from, and which element is in which place.
    """

    crystals: Crystals
    labels: list[str]
    counts: Float64[np.ndarray, " k"]
    changes: list[str]


def likely(told: Occurrence, elements: Sequence[int], max_atoms: int, most: int) -> Likely:
    """The likeliest structures of compounds of exactly these elements.

    Args:
        told: the known crystals.
        elements: atomic numbers, each once.
        max_atoms: of a primitive cell.
        most: structures at most.
    """
    known, m = told.known, len(elements)
    rows = np.flatnonzero((known.species > 0).sum(axis=1) == m)
    rows = rows[known.cell[rows] != NONE]
    rows = rows[known.cells.n_atoms[known.cell[rows]] <= max_atoms]
    orders = np.array(list(itertools.permutations(elements)), np.int64)
    weights = told.ratio[orders[:, None], known.species[rows, :m]].prod(axis=2)
    found = []
    for order, weight in zip(orders.tolist(), weights, strict=True):
        total = np.bincount(known.of[rows], weight, minlength=len(known.labels))
        by_label = np.lexsort((-weight, known.of[rows]))
        _, firsts = np.unique(known.of[rows[by_label]], return_index=True)
        found += [(total[known.of[i]], i, order) for i in rows[by_label[firsts]].tolist()]
    found.sort(key=lambda one: -one[0])
    chosen = [(i, np.array(order, np.int64)) for _, i, order in found[:most]]
    counts = np.array([total for total, *_ in found[:most]], np.float64)
    crystals = Crystals.concatenate([_decorated(told, i, order) for i, order in chosen])
    labels = [known.labels[known.of[i]] for i, _ in chosen]
    changes = [_change(known, i, order) for i, order in chosen]
    new = _distinct(crystals, labels)
    told_of = [changes[i] for i in new]
    return Likely(crystals.take(new), [labels[i] for i in new], counts[new], told_of)


def _change(known: Known, row: int, order: Int64[np.ndarray, " m"]) -> str:
    compound = known.cells[int(known.cell[row])].reduced_formulas[0]
    places = (f"{chr(ord('A') + i)}={SYMBOLS[z]}" for i, z in enumerate(order.tolist()))
    return f"{known.labels[known.of[row]]} ({compound}): {', '.join(places)}"


def _decorated(told: Occurrence, row: int, order: Int64[np.ndarray, " m"]) -> Crystals:
    """A known crystal with other elements in its places, at their volume."""
    known = told.known
    cell, own = known.cells[int(known.cell[row])], known.species[row, : len(order)]
    larger = cell.fractions[0, own] @ (told.volumes[order] - told.volumes[own])
    replaced = np.zeros(len(told.volumes), np.int64)
    replaced[own] = order
    made = cell.with_atomic_numbers(replaced[cell.atomic_numbers])
    return made.scale_volume(float(np.exp(larger)))


def _distinct(crystals: Crystals, labels: Sequence[str]) -> Int64[np.ndarray, " k"]:
    """Positions of those that differ from all before by more than their size.

    Only crystals of one prototype and one composition are compared: Na in the place of Cl.
    """
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, (label, formula) in enumerate(zip(labels, crystals.reduced_formulas, strict=True)):
        alike[label, str(formula)].append(i)
    same_size = crystals.scale_volume(VOLUME * crystals.n_atoms / crystals.volumes)
    new = []
    for rows in alike.values():
        ids = canonical_ids(same_size.take(np.array(rows))) if len(rows) > 1 else rows
        _, firsts = np.unique(ids, return_index=True)
        new += [rows[i] for i in firsts]
    return np.array(sorted(new), np.int64)

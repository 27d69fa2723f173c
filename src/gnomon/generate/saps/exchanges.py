"""Which ions of a parent may be exchanged: one on some of its sites, others on all of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64

from gnomon.crystals import Crystals
from gnomon.elements import MAX_Z
from gnomon.generate.seen import SeenKeys
from gnomon.generate.substitution.limits import firsts
from gnomon.generate.substitution.model import SubstitutionModel
from gnomon.structure.hashes import mean, scramble
from gnomon.structure.protostructures import distinct, mixture


@dataclass(frozen=True, eq=False)
class Exchanges:
    """Ways in which one ion of a parent gives way, while others may be replaced wholly.

    Attributes:
        ion: the one that gives way, such as ``Ti4+``.
        at: its position among the parent's m elements.
        kinds: (k, m + 1), atomic numbers of what stands on the sites of each of the parent's
            elements, where this ion stays, and last the one that comes in its place.
        probabilities: (k,), of the whole list of ions.
        changes: (k,), such as ``Sr2+→Ba2+; Ti4+→Zr4+``, the ion that gives way last.
        part: (k,), whether it is counted where some sites change.
        whole: (k,), the same where all do.
    """

    ion: str
    at: int
    kinds: Int64[np.ndarray, "k m_plus_1"]
    probabilities: Float64[np.ndarray, " k"]
    changes: tuple[str, ...]
    part: Bool[np.ndarray, " k"]
    whole: Bool[np.ndarray, " k"]

    def amounts(self, own: Int64[np.ndarray, " m"], size: int) -> Int64[np.ndarray, " m_plus_1"]:
        """Atoms of each column of ``kinds``, where the ion gives way on so many sites.

        Args:
            own: atoms of each of the parent's elements in the cell.
            size: sites.
        """
        left = np.append(own, size)
        left[self.at] -= size
        return left

    def counted(self, amounts: Int64[np.ndarray, " m_plus_1"]) -> Bool[np.ndarray, " k"]:
        """Which ways are counted with these amounts."""
        return self.part if amounts[self.at] else self.whole

    def unsure(
        self, amounts: Int64[np.ndarray, " m_plus_1"], shared: UInt64[np.ndarray, " _"]
    ) -> Bool[np.ndarray, " k"]:
        """Which ways may come to a crystal that another way, or choice of sites, comes to."""
        return ~self._all_differ | np.isin(composition_hashes(self.kinds, amounts), shared)

    @cached_property
    def _all_differ(self) -> Bool[np.ndarray, " k"]:
        return np.all(np.diff(np.sort(self.kinds, axis=1), axis=1) > 0, axis=1)


def exchanges(
    own: Int64[np.ndarray, " m"],
    ions: Sequence[str],
    model: SubstitutionModel,
    threshold: float,
    allowed: Bool[np.ndarray, "119"],
    others: int,
) -> list[Exchanges]:
    """What may be exchanged in a parent: an entry for each ion that may give way.

    Args:
        own: atomic numbers of its elements, ascending.
        ions: ion of each; those that the model lacks stay.
        model: probabilities of substitution.
        threshold: smallest probability of a list of ions.
        allowed: by atomic number, whether candidates may hold an element.
        others: ions that may be replaced wholly beside the one that gives way.
    """
    known = np.array([j for j, ion in enumerate(ions) if ion in model.index], np.int64)
    if not len(known):
        return []
    usable = allowed[model.atomic_numbers]
    found = model.replacements([ions[j] for j in known], threshold, usable)
    new = np.tile(own, (len(found.ions), 1))
    new[:, known] = model.atomic_numbers[found.ions]
    changed = (new != own).sum(axis=1)
    rows = np.flatnonzero((changed > 0) & (changed <= others + 1) & allowed[new].all(axis=1))
    rows = rows[firsts(new[rows])]  # of ions of the same elements the most probable
    result = []
    for column, at in enumerate(known.tolist()):
        mine = rows[new[rows, at] != own[at]]
        if not len(mine):
            continue
        kinds = np.column_stack([new[mine], new[mine, at]])
        kinds[:, at] = own[at]
        changes = []
        for i in mine.tolist():
            names = [
                f"{ions[j]}→{model.species[found.ions[i, c]]}"
                for c, j in enumerate(known.tolist())
                if new[i, j] != own[j] and c != column
            ]
            changes.append(
                "; ".join([*names, f"{ions[at]}→{model.species[found.ions[i, column]]}"])
            )
        part = np.ones(len(mine), bool)
        whole = np.all(new[mine, :at] == own[:at], axis=1)  # a list of several ions counts once
        probabilities = found.probabilities[mine]
        result.append(Exchanges(ions[at], at, kinds, probabilities, tuple(changes), part, whole))
    return result


def unseen(parent: Crystals, ways: Sequence[Exchanges], seen: SeenKeys) -> list[Exchanges]:
    """The same, counting no way that an earlier parent of the prototype had.

    Nor one that leads back to the parent.  Two elements on one kind of sites are the same whichever
    of them was there before.

    Args:
        parent: a batch of one.
        ways: what may be exchanged in it.
        seen: of earlier parents; takes these in.
    """
    if not ways:
        return []
    own = np.unique(parent.atomic_numbers).astype(np.int64)
    rows = [own[None]]
    for way in ways:
        old, new = way.kinds[:, way.at], way.kinds[:, -1]
        for there in (mixture(old, new), new):
            row = way.kinds[:, :-1].copy()
            row[:, way.at] = there
            rows.append(row)
    counted = np.concatenate([[True], *(mask for way in ways for mask in (way.part, way.whole))])
    kept, keys = distinct(parent, np.concatenate(rows)[counted])
    kept[0] = False  # the parent itself
    kept[kept] = seen.add(keys[kept])
    counted[counted] = kept
    masks = np.split(counted[1:], np.cumsum([len(row) for row in rows[1:]])[:-1])
    found = [
        replace(way, part=part, whole=whole)
        for way, part, whole in zip(ways, masks[::2], masks[1::2], strict=True)
    ]
    return [way for way in found if way.part.any() or way.whole.any()]


def shared_compositions(
    ways: Sequence[Exchanges],
    amounts: Int64[np.ndarray, " m"],
    max_index: int,
) -> UInt64[np.ndarray, " _"]:
    """Hashes of the compositions to which several ways come.

    Args:
        ways: of one parent.
        amounts: atoms of each of its elements in the primitive cell.
        max_index: largest supercell.
    """
    found = [np.zeros(0, np.uint64)]
    for exchange in ways:
        mine = [np.zeros(len(exchange.kinds), np.uint64)]  # 0 is no composition
        for index in range(1, max_index + 1):
            for size in range(1, index * int(amounts[exchange.at]) + 1):
                left = exchange.amounts(index * amounts, size)
                hashes = composition_hashes(exchange.kinds, left)
                mine.append(np.where(exchange.counted(left), hashes, np.uint64(0)))
        ordered = np.sort(np.stack(mine, axis=1), axis=1)
        found.append(ordered[:, 1:][np.diff(ordered, axis=1) != 0])  # each once for each way
    every, times = np.unique(np.concatenate(found), return_counts=True)
    return every[times > 1]


def composition_hashes(
    columns: Int64[np.ndarray, "k n"], amounts: Int64[np.ndarray, " n"]
) -> UInt64[np.ndarray, " k"]:
    """Hashes of the reduced compositions with these amounts of these elements: of a mean atom."""
    return mean(_ELEMENTS[columns], amounts)


_ELEMENTS = scramble(np.arange(MAX_Z + 1, dtype=np.uint64))

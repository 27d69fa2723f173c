"""Chunks of candidates: many small ones in, chunks of one size out, in the same order."""

from collections.abc import Iterable, Iterator

import pyarrow as pa

from gnomon.crystals import Crystals
from gnomon.generate import Candidates


def rechunk(parts: Iterable[Candidates], size: int) -> Iterator[Candidates]:
    """Yield the same candidates in chunks of exactly ``size``, the last one shorter.

    Raises:
        ValueError: if ``size`` is not positive.
    """
    if size < 1:
        raise ValueError(f"a chunk holds at least one candidate, got {size}")
    held: list[Candidates] = []
    waiting = 0
    for part in parts:
        held.append(part)
        waiting += len(part.crystals)
        if waiting < size:
            continue
        whole = _join(held)
        full = waiting - waiting % size
        for start in range(0, full, size):
            yield _slice(whole, start, start + size)
        held, waiting = [_slice(whole, full, waiting)], waiting - full
    if waiting:
        yield _join(held)


def _join(parts: list[Candidates]) -> Candidates:
    return Candidates(
        Crystals.concatenate([p.crystals for p in parts]),
        pa.concat_tables([p.lineage for p in parts]).combine_chunks(),
    )


def _slice(chunk: Candidates, start: int, stop: int) -> Candidates:
    return Candidates(chunk.crystals[start:stop], chunk.lineage.slice(start, stop - start))

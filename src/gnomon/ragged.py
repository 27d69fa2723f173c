"""Rows of different lengths in flat columns: taking some of them, and counting within each."""

import numpy as np
from jaxtyping import Int64


def ragged_take(
    offsets: Int64[np.ndarray, " n_plus_1"], index: Int64[np.ndarray, " k"]
) -> tuple[Int64[np.ndarray, " taken"], Int64[np.ndarray, " k_plus_1"]]:
    """Positions of the entries of the chosen rows of a ragged column, and their new offsets."""
    lengths = np.diff(offsets)[index]
    new_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    starts = np.repeat(offsets[:-1][index] - new_offsets[:-1], lengths)
    return starts + np.arange(int(new_offsets[-1])), new_offsets


def counted(
    counts: Int64[np.ndarray, " rows"],
) -> tuple[Int64[np.ndarray, " total"], Int64[np.ndarray, " total"]]:
    """Each row's number as often as it counts, and beside it 0, 1, ... up to its count less one.

    >>> [column.tolist() for column in counted(np.array([2, 0, 3]))]
    [[0, 0, 2, 2, 2], [0, 1, 0, 1, 2]]
    """
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]

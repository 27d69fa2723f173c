"""Work that ends when its time is over, and leaves time for what is to be done after it."""

import math
import time

import jax
import numpy as np
import pytest

from gnomon.learn import compilation
from gnomon.learn.compilation import none_too_late
from gnomon.run.deadline import OutOfTimeError, left, until


def sleeps() -> None:
    time.sleep(600)


def test_a_block_ends_at_its_deadline() -> None:
    with pytest.raises(OutOfTimeError), until(time.monotonic() + 0.2):
        sleeps()
    with until(time.monotonic() + 3600):  # the timer of the one before is off
        time.sleep(0.6)


def test_a_block_leaves_the_time_that_is_needed_after_it() -> None:
    deadline = time.monotonic() + 50
    with pytest.raises(OutOfTimeError), until(deadline, lambda: 49.0):
        sleeps()
    assert time.monotonic() < deadline


def test_what_is_needed_afterwards_may_grow_meanwhile() -> None:
    asked: list[float] = []

    def growing() -> float:
        asked.append(20.0 * len(asked))
        return asked[-1]

    deadline = time.monotonic() + 50
    with pytest.raises(OutOfTimeError), until(deadline, growing):
        sleeps()
    assert time.monotonic() < deadline
    assert len(asked) > 2


def test_what_is_left_is_told_inside_alone() -> None:
    assert left() == math.inf
    with until(time.monotonic() + 1000, lambda: 10.0):
        assert 0 < left() <= 990
    assert left() == math.inf


def test_no_program_is_begun_that_would_not_be_compiled_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A compiler cannot be cut: one that began a second before the end took half a minute."""
    monkeypatch.setattr(compilation, "slowness", lambda: 1000.0)

    @jax.jit
    def twice(x: jax.Array) -> jax.Array:
        return 2 * x

    with none_too_late(), until(time.monotonic() + 1000), pytest.raises(OutOfTimeError):
        twice(np.ones(3))
    with none_too_late():
        assert twice(np.ones(3)).tolist() == [2.0, 2.0, 2.0]
        with until(time.monotonic() + 1000):  # in time: it is known how long such a program takes
            assert twice(np.ones(4)).tolist() == [2.0] * 4
    assert twice(np.ones(5)).tolist() == [2.0] * 5

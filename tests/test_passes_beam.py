"""Passes through Apache Beam: the same bytes as without it."""

import pytest

from gnomon.run.passes import ENGINES, run
from tests.pass_functions import ALONE, GROUPED
from tests.test_passes import files, here, shards_of

pytest.importorskip("apache_beam", reason="the extra `beam` is not installed")


@pytest.mark.parametrize("workers", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("of", [GROUPED, ALONE])
def test_the_direct_runner_gives_the_same_bytes(tmp_path, of, workers):
    shards = shards_of(tmp_path / "in")
    expected = here(of, shards, tmp_path / "here")
    found = run(of, shards, tmp_path / "out", ENGINES.get("direct")(workers))
    assert files(found) == files(expected)
    assert found.counts == expected.counts

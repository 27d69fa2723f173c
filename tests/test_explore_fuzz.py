"""The server of the explorer against whatever is sent: every route by its description, crowds."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from requests import Request

from tests.explore_server import Served, served
from tests.made_campaigns import written
from tests.test_explore import own_cache, salts  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")
"""beartype draws at random too, in threads of the server, while Hypothesis draws requests."""

schemathesis = pytest.importorskip("schemathesis", reason="the extra dev is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory, binary) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("fuzzed")
    salts(folder / "salts.parquet")
    written(folder / "campaign-Au-Cu", binary)
    with served([folder / "campaign-Au-Cu", folder / "salts.parquet"]) as found:
        yield found


def requests_of(server: Served, n: int) -> dict[int, int]:
    """How often each status was answered to about n requests made from the description."""
    schema = schemathesis.openapi.from_dict(server.get("/api/openapi.json").json)
    counts: dict[int, int] = {}
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:

        @settings(
            max_examples=max(1, n // len(operations)),
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=operation.as_strategy())
        def ask(case) -> None:
            made = case.as_transport_kwargs(base_url=server.url)
            prepared = Request(made["method"], made["url"], params=made.get("params")).prepare()
            answer = server.get(prepared.path_url)
            counts[answer.status] = counts.get(answer.status, 0) + 1
            assert answer.status < 500, prepared.path_url

        ask()
    return counts


def test_no_request_breaks_the_server(server: Served):
    counts = requests_of(server, 160)
    assert counts[200] > 5
    assert sum(counts.values()) >= 100


@pytest.mark.slow
def test_ten_thousand_requests_do_not_break_the_server(server: Served):
    counts = requests_of(server, 16_000)
    assert sum(counts.values()) >= 10_000, counts


@pytest.mark.slow
def test_a_thousand_slow_or_broken_connections_do_not_stop_the_others(server: Served):
    several = []
    try:
        for number in range(1000):
            one = socket.create_connection(("127.0.0.1", server.port))
            one.sendall([b"GET /api", b"\x00\xff\n\n", b"GET / HTTP/1.1\r\nHost: x"][number % 3])
            several.append(one)
        for _ in range(20):
            assert server.get("/api/search?include=Cl").json["total"] == 4
    finally:
        for one in several:
            one.close()

"""Shared fixtures.  Every test runs with shapes and types enforced (jaxtyping with beartype)."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

install_import_hook("gnomon", "beartype.beartype")

# the same examples every time where a failure would block others, fresh ones for who develops
settings.register_profile(
    "gnomon",
    max_examples=25,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gnomon")

EMT = "ase:ase.calculators.emt.EMT"
"""The evaluator of tests that need a fast one, not a good one."""

REPOSITORY = Path(__file__).resolve().parents[1]

# compiled programs are kept between runs, and not in the user's cache
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(REPOSITORY / ".pytest_cache" / "jax"))
if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # JAX writes them in place: none reads half
    os.environ["JAX_COMPILATION_CACHE_DIR"] += f"-{worker}"

# what is compiled here runs for seconds: half of XLA's time, a third of a test of a network's
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

MANY_MAPS = 20_000
"""Memory maps of a process that has compiled enough: Linux allows 65,530 (vm.max_map_count)."""


@pytest.fixture(autouse=True, scope="module")
def _few_memory_maps() -> Iterator[None]:
    """Let go of compiled programs now and then.

    Each holds some memory maps, and a run of all tests in one process compiles so many that LLVM
    aborts it where the system allows no more.
    """
    yield
    maps = Path("/proc/self/maps")
    if "jax" in sys.modules and maps.exists() and maps.read_bytes().count(b"\n") > MANY_MAPS:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data that some tests read; tests skip where it is absent."""
    folder = Path(os.environ.get("GNOMON_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found in {folder}: set GNOMON_TEST_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def binary() -> dict[str, list[dict[str, Any]]]:
    """Rows of a finished campaign in Au-Cu (``made_campaigns``); tests only read them."""
    from tests.made_campaigns import PROTOTYPES, campaign

    return campaign(PROTOTYPES)


@pytest.fixture(scope="session")
def ternary() -> dict[str, list[dict[str, Any]]]:
    """The same in Au-Cu-Ni."""
    from tests.made_campaigns import NICKEL, PROTOTYPES, campaign

    return campaign({**PROTOTYPES, **NICKEL})


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few candidates (``small_campaigns``), and evaluations in shards of two."""
    from gnomon.discover import finds, placed
    from gnomon.evaluate import table
    from gnomon.generate.registry import GENERATORS
    from tests.small_campaigns import FewPrototypes, remembered

    name = f"{FewPrototypes.__module__}:FewPrototypes"
    monkeypatch.setitem(GENERATORS.built_in, "prototypes", name)
    monkeypatch.setattr(table, "SHARD", 2)
    for module, function in ((placed, "in_ground_state"), (finds, "space_groups")):
        # half of the time, for the same crystals
        monkeypatch.setattr(module, function, remembered(getattr(module, function)))


@pytest.fixture(scope="session")
def running() -> Iterator[tuple[Any, str]]:
    """A web server of ``file_server``, and its address."""
    from tests.file_server import file_server

    with file_server() as found:
        yield found


@pytest.fixture
def serve(running: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Let that web server do as this ``Server`` says."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    http, url = running

    def start(does: Any) -> Any:
        http.does = does
        does.url = url
        return does

    return start


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The property ``atoms`` of ``tests/plugged_property.py``, as if a package brought it."""
    from importlib.metadata import EntryPoint, EntryPoints

    from gnomon.run import registry

    from .plugged_property import Atoms

    atoms = EntryPoint("atoms", f"{Atoms.__module__}:make_atoms", "gnomon.properties")

    def entry_points(group: str, name: str | None = None) -> EntryPoints:
        there = group == "gnomon.properties" and name in (None, "atoms")
        return EntryPoints([atoms] if there else [])

    monkeypatch.setattr(registry, "entry_points", entry_points)
    monkeypatch.setattr(Atoms, "calls", 0)
    monkeypatch.setattr(Atoms, "stop_at", -1)

"""What stands beside every measured figure: machine, versions, time; and the clock of compilers."""

import json
import os
import platform
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    *("gnomon", "numpy", "pymatgen", "spglib", "vesin", "ase", "jax", "equinox"),
    *("nequix", "chgnet", "torch"),
)


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def save(result: dict[str, Any], out: Path) -> None:
    """Write the result with versions, machine and time, and print it."""
    stamped = {
        **result,
        "versions": versions(),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    out.parent.mkdir(exist_ok=True)
    text = json.dumps(stamped, indent=2, ensure_ascii=False) + "\n"
    out.write_text(text, encoding="utf-8")
    print(text, end="")


class CompileClock:
    """Seconds in the compiler of JAX; its cache on disk is off, so that every run pays."""

    def __init__(self) -> None:
        """Start listening."""
        import jax

        jax.config.update("jax_enable_compilation_cache", False)
        self._total = 0.0
        self._compilations = 0
        jax.monitoring.register_event_duration_secs_listener(self._add)

    def _add(self, event: str, seconds: float, **_: Any) -> None:
        # tracing and lowering of a jit inside a jit are counted within the outer one
        if event == "/jax/core/compile/backend_compile_duration":
            self._total += seconds
            self._compilations += 1

    def read(self) -> tuple[float, int]:
        """Seconds in the compiler and programs compiled since the last reading."""
        reading = self._total, self._compilations
        self._total, self._compilations = 0.0, 0
        return reading


def quiet() -> None:
    """Hide the warnings of peers, which concern neither their results nor ours."""
    warnings.filterwarnings("ignore", module=r"(chgnet|torch|e3nn_jax|jraph|nequix)\b.*")

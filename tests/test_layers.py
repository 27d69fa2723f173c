"""Heavy libraries stay where they belong.  (The order of modules: ``test_docs.py``.)"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "gnomon"
MODULES = sorted(PACKAGE.rglob("*.py"))


def top_level_imports(path: Path) -> set[str]:
    """First names of what a module imports when it is imported itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_each_library_is_imported_where_it_is_used(path):
    where = path.relative_to(PACKAGE).parts[0]
    used = top_level_imports(path)
    if used & {"jax", "equinox", "optax"}:
        assert where == "models", "JAX belongs to the networks"
    assert not used & {"duckdb", "plotly", "jinja2"}, "slow to import: import it in the function"
    if "pymatgen" in used:
        assert where == "io", "pymatgen is a converter at the edge: import it in the function"


HEAVY = "numpy ase jax pymatgen pandas duckdb pyarrow scipy plotly"


@pytest.mark.parametrize("command", [["--help"], ["hull", "--help"], ["--version"]], ids=" ".join)
def test_help_loads_no_heavy_library(command):
    code = (
        "import sys; from gnomon.cli import main; main(sys.argv[2:]); "
        "print([m for m in sys.argv[1].split() if m in sys.modules], file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", code, HEAVY, *command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert done.stdout
    assert done.stderr.strip() == "[]"

"""The rooms of the house and what may be imported where.

Rooms import only from rooms before them in the table of docs/architecture.md, and no two modules
import each other in a circle.  A module imports at its top.  One exception: a heavy library
(``HEAVY``), one that an extra brings, or a module of gnomon that loads such a library, may be
imported in the function that uses it, so that the rest works without the wait.  Commands import
whatever they run in their functions.
"""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "gnomon"
ARCHITECTURE = PACKAGE.parents[1] / "docs" / "architecture.md"
HEAVY = {"ase", "duckdb", "e3nn_jax", "equinox", "jax", "jinja2", "markupsafe", "optax"}
HEAVY |= {"plotly", "pyarrow", "pymatgen", "scipy", "spglib"}
EXTRAS = {"apache_beam", "atomate2", "gpaw", "jobflow", "monty", "mp_api"}  # may not be there
EXTRAS |= {"bvlain", "rietx", "sklearn", "phonopy", "smact", "starlette", "submitit", "urllib3"}
EXTRAS |= {"openTSNE", "optimade", "phono3py", "rocrate", "uvicorn", "dscribe"}
JAX = {"jax", "equinox", "optax", "e3nn_jax"}
JAX_ROOMS = {"represent", "learn", "models", "potential", "dynamics"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def targets(node: ast.AST) -> set[str]:
    """Modules that an import statement loads."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        named = {f"{base}.{alias.name}" for alias in node.names}
        return {name if name in MODULES else base for name in named}
    return set()


def typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def imports(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """What a module imports at its top, and what it imports in functions."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    top: set[str] = set()
    late: set[str] = set()
    for statement in tree.body:
        if typing_only(statement):
            continue
        top |= targets(statement)
        if not isinstance(statement, (ast.Import, ast.ImportFrom)):
            for node in ast.walk(statement):
                late |= targets(node)
    return frozenset(top), frozenset(late)


@cache
def loads(module: str) -> frozenset[str]:
    """The heavy libraries that importing a module loads."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in MODULES:
            found |= {name.partition(".")[0]} & HEAVY
            continue
        parts = name.split(".")
        waiting += [".".join(parts[:i]) for i in range(1, len(parts))]
        waiting += imports(name)[0]
    return frozenset(found)


def rooms() -> list[str]:
    """Rooms in the order of the architecture page."""
    page = ARCHITECTURE.read_text("utf-8").partition("## Plug points")[0]
    order = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", page, re.MULTILINE)
    return [name for row in order for name in row if name]


def test_the_architecture_page_names_every_room():
    assert set(rooms()) == {room_of(name) for name in MODULES} - {"", "__main__"}
    assert len(rooms()) == len(set(rooms()))


@pytest.mark.parametrize("module", [m for m in MODULES if room_of(m) not in {"", "__main__"}])
def test_imports_go_downwards(module):
    order = rooms()
    top, late = imports(module)
    for name in top | late:
        other = room_of(name) if name in MODULES else ""
        assert not other or order.index(other) <= order.index(room_of(module)), f"imports {name}"


def test_no_modules_import_each_other_in_a_circle():
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in sorted(set().union(*imports(module)) & set(MODULES)):
                if name != module:
                    visit(name, (*path, module))
            done.add(module)

    for module in MODULES:
        if room_of(module):
            visit(module, ())


@pytest.mark.parametrize("module", MODULES)
def test_late_imports_spare_a_heavy_library(module):
    if room_of(module) in {"", "cli", "__main__"}:
        return
    late = imports(module)[1]
    idle = {name for name in late & set(MODULES) if not loads(name) - loads(module)}
    idle |= {n for n in late - set(MODULES) if n.partition(".")[0] not in HEAVY | EXTRAS}
    assert not idle, "these belong to the top: nothing heavy is spared by importing them late"


@pytest.mark.parametrize("module", MODULES)
def test_jax_stays_in_its_rooms(module):
    if {name.partition(".")[0] for name in imports(module)[0]} & JAX:
        assert room_of(module) in JAX_ROOMS, "JAX belongs to the networks"


@pytest.mark.parametrize(
    "code",
    ["import gnomon", "from gnomon.cli import main; main(['--help'])"],
)
def test_neither_jax_nor_pymatgen_is_loaded_before_it_is_needed(code):
    heavy = "jax pymatgen ase pandas duckdb pyarrow scipy plotly numpy"
    code = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n"
        f"print([m for m in '{heavy}'.split() if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


# --- small files, small functions, nothing twice --------------------------------------------------


def functions(module: str) -> list[tuple[str, list[ast.stmt]]]:
    """Names and bodies, docstrings left out, of the functions of a module."""
    found = []
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            found.append((f"{module}.{node.name}", body))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_are_small(module):
    assert len(MODULES[module].read_text("utf-8").splitlines()) <= 450
    allowed = 80 if room_of(module) == "cli" else 64
    for name, body in functions(module):
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        assert lines <= allowed, f"{name} has {lines} lines"


def test_no_function_body_stands_twice():
    where: dict[str, list[str]] = {}
    for module in MODULES:
        for name, body in functions(module):
            if sum(isinstance(n, ast.stmt) for s in body for n in ast.walk(s)) > 1:
                where.setdefault("\n".join(map(ast.dump, body)), []).append(name)
    assert [names for names in where.values() if len(names) > 1] == []


def test_comments_that_silence_the_linter_are_few():
    assert sum(path.read_text("utf-8").count("noqa") for path in MODULES.values()) <= 40

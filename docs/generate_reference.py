"""Write docs/reference from the code: commands, settings and public names.

python docs/generate_reference.py            # write the pages
python docs/generate_reference.py --check    # exit code 1 if a page is out of date
"""

import ast
import builtins
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel

FOLDER = Path(__file__).resolve().parent / "reference"
SOURCE = Path(__file__).resolve().parents[1] / "src" / "gnomon"

NOTE = "<!-- Made by docs/generate_reference.py: change the code, then run it. -->\n\n"

INTERNAL = ("__main__", "cli", "terminal")
"""Modules that nobody imports: cli.md says what they do."""


def pages() -> dict[str, str]:
    """Text of every page by file name."""
    return {"cli.md": cli_page(), "config.md": config_page(), "api.md": api_page()}


# --- commands -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A command and the function behind it."""

    name: str
    function: Callable[..., Any]


def commands() -> list[Command]:
    """Every command of the program, groups resolved: ``gnomon train structural``."""
    from gnomon.cli import app

    return list(_commands(app, "gnomon"))


def _commands(app: typer.Typer, prefix: str) -> Iterator[Command]:
    for info in app.registered_commands:
        assert info.callback is not None
        name = info.name or info.callback.__name__.replace("_", "-")
        yield Command(f"{prefix} {name}", info.callback)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from _commands(group.typer_instance, f"{prefix} {group.name}")


def cli_page() -> str:
    """Every command with its arguments and options."""
    text = NOTE + "# Command line\n\n"
    text += (
        "Data goes to stdout, messages and progress to stderr. Exit codes: 0 success, 1 failure, "
        "2 a command or a setting that is not understood. `gnomon --version` prints the version; "
        "`--help` after any command prints what this page says of it.\n"
    )
    return text + "".join(_command_section(command) for command in commands())


def _command_section(command: Command) -> str:
    about, _, example = inspect.getdoc(command.function).partition("Example: ")  # type: ignore[union-attr]
    rows, usage = [], [command.name]
    for name, default, kind, info in _parameters(command.function):
        if isinstance(info, typer.models.ArgumentInfo):
            shown = name.upper() + ("..." if get_origin(kind) is list else "")
            usage.append(f"[{shown}]" if default is None else shown)
        else:
            shown = next(iter(info.param_decls or ()), "--" + name.replace("_", "-"))
            if default is inspect.Parameter.empty:
                usage.append(f"{shown} {_kind(kind)}")
            shown += "" if kind is bool else f" {_kind(kind)}"
        rows.append(f"| `{shown}` | {_escape(info.help)} | {_default(default, kind)} |\n")
    return (
        f"\n## {command.name}\n\n{about.strip()}\n\n"
        f"```text\n{' '.join(usage)} [OPTIONS]\n```\n\n"
        f"| | | default |\n| --- | --- | --- |\n{''.join(rows)}\n"
        f"```sh\n{example.strip()}\n```\n"
    )


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    """Name, default, type and typer's description of each parameter, arguments first."""
    hints = get_type_hints(function, include_extras=True)
    found = []
    for parameter in inspect.signature(function).parameters.values():
        kind, info = get_args(hints[parameter.name])
        found.append((parameter.name, parameter.default, _without_none(kind), info))
    yield from sorted(found, key=lambda row: isinstance(row[3], typer.models.OptionInfo))


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        return next(k for k in get_args(kind) if k is not type(None))
    return kind


def _kind(kind: Any) -> str:
    inner = get_args(kind)[0] if get_origin(kind) is list else kind
    return {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}[inner]


def _default(default: Any, kind: Any) -> str:
    if default is inspect.Parameter.empty:
        return "required"
    return "–" if default is None or kind is bool else f"`{default}`"


# --- settings -------------------------------------------------------------------------------------


def config_page() -> str:
    """Every setting of a campaign and of a training."""
    from gnomon.discover.settings import CampaignConfig
    from gnomon.models.structural.train import TrainConfig

    return (
        NOTE + "# Settings\n\n"
        "A campaign takes its settings from a TOML file (`gnomon discover --config FILE`); options "
        "of the command line win over the file. A key that is not listed here is refused. The "
        "resolved settings are saved as `config.toml` in the campaign folder.\n\n"
        "## A campaign\n\n"
        + _settings(CampaignConfig, "")
        + "\n## A training\n\n"
        + "Settings of `gnomon.models.structural.train.TrainConfig`, for use from Python and on "
        "every model card.\n\n" + _settings(TrainConfig, "")
    )


def _settings(model: type[BaseModel], section: str) -> str:
    rows, nested = [], []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested.append((field.annotation, f"{section}.{name}".lstrip(".")))
            continue
        default = "required"
        if not field.is_required():
            default = f"`{_toml(field.get_default(call_default_factory=True))}`"
        limits = ", ".join(filter(None, map(_limit, field.metadata)))
        meaning = _escape(field.description or "")
        rows.append(
            f"| `{name}` | {_annotation(field.annotation)} | {default} | {meaning}"
            f"{f' ({limits})' if limits else ''} |\n"
        )
    about = _paragraph(inspect.getdoc(model) or "")
    text = f"### `[{section}]`\n\n{about}\n\n" if section else ""
    if rows:
        text += "| key | type | default | meaning |\n| --- | --- | --- | --- |\n" + "".join(rows)
    return text + "".join("\n" + _settings(*part) for part in nested)


def _limit(bound: Any) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return ", ".join(f"{signs[k]} {getattr(bound, k)}" for k in signs if hasattr(bound, k))


def _annotation(kind: Any) -> str:
    """A type in words.

    Raises:
        TypeError: if no words for it are known.
    """
    names = {int: "integer", float: "number", bool: "true or false", str: "text", Path: "path"}
    if kind in names:
        return names[kind]
    inner = get_args(kind)
    match get_origin(kind):
        case typing.Literal:
            return " or ".join(f"`{_toml(k)}`" for k in inner)
        case typing.Annotated:
            return _annotation(inner[0])
        case builtins.tuple:
            return f"list of {_annotation(inner[0])}s"
        case builtins.dict:
            return "table"
        case typing.Union | types.UnionType:
            words = [_annotation(part) for part in inner if part is not types.NoneType]
            return " or ".join(words + ["none"] * (len(words) < len(inner)))
    raise TypeError(f"no words for {kind}")


def _toml(value: Any) -> str:
    if value is None:
        return "none"
    return json.dumps(list(value) if isinstance(value, tuple) else value)


# --- public names ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Name:
    """A public name of a module: how it is written and the first line of its docstring."""

    signature: str
    about: str
    methods: tuple["Name", ...] = ()


def api_page() -> str:
    """Public names of every module with the first line of their docstrings."""
    text = NOTE + "# Python interface\n\n"
    text += (
        "Public names with the first line of their docstrings; `help(gnomon.hull.Hull)` prints the "
        "rest: shapes, units, what is raised. Lengths are in Å, energies in eV/atom.\n"
    )
    for module, path in _modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = list(_names(tree, path))
        if not names:
            continue
        text += f"\n## gnomon{'.' if module else ''}{module}\n\n{_first_line(tree)}\n\n"
        for name in names:
            text += f"- `{name.signature}`: {name.about}\n"
            text += "".join(f"  - `{m.signature}`: {m.about}\n" for m in name.methods)
    return text


def _modules() -> Iterator[tuple[str, Path]]:
    """Dotted names below gnomon and files; of a package with ``__all__`` the package alone."""
    closed = {p.parent for p in SOURCE.rglob("__init__.py") if p.parent != SOURCE and _exports(p)}
    for path in sorted(SOURCE.rglob("*.py")):
        if path.stem in INTERNAL or (path.parent in closed and path.stem != "__init__"):
            continue
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(p for p in parts if p != "__init__"), path


def _exports(path: Path) -> list[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _names(tree: ast.Module, path: Path) -> Iterator[Name]:
    """Names defined in a module, or, in a package with ``__all__``, those that it hands on."""
    wanted = _exports(path) if path.name == "__init__.py" else []
    own = dict(_definitions(tree))
    if not wanted:
        yield from own.values()
        return
    origins = {
        alias.name: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for name in wanted:
        if name in origins:
            own |= {name: _definition(origins[name], name)}
        if name in own:
            yield own[name]


def _definition(module: str, name: str) -> Name:
    path = SOURCE.parent.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return dict(_definitions(ast.parse(path.read_text(encoding="utf-8"))))[name]


def _definitions(tree: ast.Module) -> Iterator[tuple[str, Name]]:
    """Public classes and functions, and constants that have a docstring below them."""
    followers = [*tree.body[1:], None]
    for node, below in zip(tree.body, followers, strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            name, found = node.name, _described(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and _is_text(below):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            name = ast.unparse(target)
            about = inspect.cleandoc(below.value.value)  # type: ignore[union-attr]
            found = Name(name, _paragraph(about))
        else:
            continue
        if not name.startswith("_"):
            yield name, found


def _described(node: ast.ClassDef | ast.FunctionDef) -> Name:
    if isinstance(node, ast.FunctionDef):
        return Name(f"{node.name}({_arguments(node)})", _first_line(node))
    methods = tuple(
        Name(m.name if _is_property(m) else f"{m.name}({_arguments(m)})", _first_line(m))
        for m in node.body
        if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")
    )
    return Name(f"class {node.name}", _first_line(node), methods)


def _arguments(node: ast.FunctionDef) -> str:
    """Names and defaults, without types: the docstring gives shapes and units."""
    text = ast.unparse(node.args)
    arguments = ast.parse(f"def f({text}): ...").body[0].args  # type: ignore[attr-defined]
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args.pop(0)
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        argument.annotation = None
    return ast.unparse(arguments)


def _is_property(node: ast.FunctionDef) -> bool:
    return any("property" in ast.unparse(d) for d in node.decorator_list)


def _is_text(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    return _paragraph(ast.get_docstring(node) or "")


def _paragraph(text: str) -> str:
    first = " ".join(text.partition("\n\n")[0].split())
    return first.replace("``", "`").replace("<", "&lt;")


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


# --- files ----------------------------------------------------------------------------------------


def main() -> int:
    """Write the pages, or with --check only compare."""
    stale = 0
    for name, text in pages().items():
        path = FOLDER / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if "--check" in sys.argv:
            print(f"{path} is out of date: run python docs/generate_reference.py", file=sys.stderr)
        else:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())

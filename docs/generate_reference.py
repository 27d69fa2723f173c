"""Write docs/reference from the code: commands, settings and public names.

python docs/generate_reference.py            # write the pages
python docs/generate_reference.py --check    # exit code 1 if a page is out of date
"""

import ast
import builtins
import enum
import inspect
import json
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer
from pydantic import BaseModel

import gnomon

FOLDER = Path(__file__).resolve().parent / "reference"
SOURCE = Path(__file__).resolve().parents[1] / "src" / "gnomon"

NOTE = "<!-- Made by docs/generate_reference.py: change the code, then run it. -->\n\n"


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
    from gnomon.cli import COMMANDS, function_of

    return [Command(f"gnomon {name}", function_of(place)) for name, place in COMMANDS.items()]


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
    about, _, example = (inspect.getdoc(command.function) or "").partition("Example: ")
    program = typer.Typer(add_completion=False)
    program.command()(command.function)
    kinds = get_type_hints(command.function)
    parameters = [p for p in typer.main.get_command(program).params if p.name in kinds]
    parameters.sort(key=lambda p: p.param_type_name)  # arguments first
    shown = {p.name: _shown(p, kinds[p.name]) for p in parameters}
    usage = [command.name]
    for p in parameters:
        if p.required:
            usage.append(shown[p.name])
        elif p.param_type_name == "argument":
            usage.append(f"[{shown[p.name]}]")
    rows = "".join(
        f"| `{_escape(shown[p.name])}` | {_escape(p.help or '')} | {_default(p)} |\n"
        for p in parameters
    )
    table = f"| option | meaning | default |\n| --- | --- | --- |\n{rows}\n" if rows else ""
    return (
        f"\n## {command.name}\n\n{about.strip()}\n\n"
        f"```text\n{' '.join(usage)} [OPTIONS]\n```\n\n{table}"
        f"```sh\n{example.strip()}\n```\n"
    )


def _shown(parameter: Any, kind: Any) -> str:
    """An argument or option as one writes it: ``PATHS...``, ``--seed INTEGER``, ``--json``."""
    if parameter.param_type_name == "argument":
        return parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    names = "/".join([", ".join(parameter.opts), *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or _kind(kind)}"


def _kind(kind: Any) -> str:
    """What to write for a value of a type: ``INTEGER``, one of the words of a Literal."""
    names = {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH", bool: "BOOLEAN"}
    if kind in names:
        return names[kind]
    inner = [one for one in get_args(kind) if one is not types.NoneType]
    if get_origin(kind) is typing.Literal:
        return "|".join(inner)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "|".join(kind)
    if get_origin(kind) is tuple:
        return " ".join(map(_kind, inner))
    return _kind(inner[0])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    kept = isinstance(parameter.default, bool | list | tuple | None) and not parameter.default
    return "–" if kept else f"`{parameter.default}`"


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
    table = isinstance(kind, type) and issubclass(kind, BaseModel)
    if table or kind in names:
        return "table" if table else names[kind]
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

Definition = ast.ClassDef | ast.FunctionDef

WIDTH = 76
"""Characters of code that a page of the site shows without scrolling."""


def api_page() -> str:
    """The names of ``gnomon.__all__``: signatures, docstrings, members, examples."""
    text = NOTE + "# Python interface\n\n" + _markdown(inspect.getdoc(gnomon) or "")
    text += (
        "\n`import gnomon` loads no library; each name is imported when it is first used. What "
        "takes crystals takes `Crystals`, a pymatgen `Structure`, an ASE `Atoms`, or a list of "
        "them. Lengths are in Å, energies in eV/atom, unless another unit is given.\n"
    )
    for name, module in gnomon.HOMES.items():
        definition = _definition(module, name)
        text += f"\n## {name}\n\n{_described(definition, name)}"
        for member in _members(definition):
            text += f"\n### {name}.{member.name}\n\n{_described(member, f'{name}.{member.name}')}"
    return text


def _definition(module: str, name: str) -> Definition:
    """The class or function in the text of its module, which is not imported."""
    path = SOURCE.parent.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, Definition) and node.name == name:
            return node
    raise LookupError(f"{module} does not define {name}, which gnomon.HOMES says it does")


def _members(node: Definition) -> list[ast.FunctionDef]:
    """Public methods and properties of a class."""
    body = node.body if isinstance(node, ast.ClassDef) else []
    return [m for m in body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]


def _described(node: Definition, name: str) -> str:
    about = ast.get_docstring(node) or ""
    if isinstance(node, ast.ClassDef):
        signature = _class_signature(node)
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                about += "\n\n" + (ast.get_docstring(method) or "")
    elif any("property" in ast.unparse(d) for d in node.decorator_list):
        signature = f"{name}: {ast.unparse(node.returns)}" if node.returns else name
    else:
        returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        signature = _call(name, _arguments(node)) + returned
    return f"```python\n{signature}\n```\n\n{_markdown(about)}"


def _class_signature(node: ast.ClassDef) -> str:
    """How an object is made: arguments of ``__init__``, fields of a dataclass, or values."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            return _call(f"class {node.name}", _arguments(method))
    if any("Enum" in ast.unparse(base) for base in node.bases):
        values = [ast.unparse(one) for one in node.body if isinstance(one, ast.Assign)]
        return f"class {node.name}:\n" + "\n".join(f"    {value}" for value in values)
    if any("BaseModel" in ast.unparse(base) for base in node.bases):
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        named = [f"{ast.unparse(f.target)}: {ast.unparse(f.annotation)}" for f in fields]
        return _call(f"class {node.name}", named)
    if not any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return f"class {node.name}"
    fields = [ast.unparse(one) for one in node.body if isinstance(one, ast.AnnAssign)]
    return _call(f"class {node.name}", fields)


def _arguments(node: ast.FunctionDef) -> list[str]:
    """Each with its type and default; ``self`` and ``cls`` left out."""
    arguments = node.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args.pop(0)
    text = ast.unparse(arguments)
    call = ast.parse(f"def f({text}): ...").body[0]
    assert isinstance(call, ast.FunctionDef)
    places = sorted(
        (node.lineno, node.col_offset)
        for node in [*call.args.posonlyargs, *call.args.args, *call.args.kwonlyargs]
    )
    starts = [column - len("def f(") for _, column in places]
    if call.args.kwonlyargs and not call.args.vararg:
        first = len(call.args.posonlyargs) + len(call.args.args)
        starts.insert(first, text.index("*", starts[first - 1] if first else 0))
    ends = [*starts[1:], len(text) + 2] if starts else []
    return [text[a:b].rstrip(", ") for a, b in zip(starts, ends, strict=True)]


def _call(name: str, arguments: list[str]) -> str:
    """On one line where it fits, otherwise an argument a line."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= WIDTH or not arguments:
        return line
    return f"{name}(\n" + "".join(f"    {argument},\n" for argument in arguments) + ")"


# --- docstrings as Markdown -----------------------------------------------------------------------

SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises):")


def _markdown(docstring: str) -> str:
    """A docstring of this project: paragraphs, sections of items, examples."""
    parts = []
    for block in re.split(r"\n\n(?! )", inspect.cleandoc(docstring)):
        head, _, rest = block.partition("\n")
        if SECTION.fullmatch(head):
            parts.append(f"**{head.rstrip(':')}**\n\n{_items(textwrap.dedent(rest), head)}")
        elif ">>> " in block:
            parts.append(_examples(block))
        else:
            parts.append(_inline(block))
    return "\n\n".join(parts) + "\n"


def _items(text: str, head: str) -> str:
    """``name: meaning`` with continuation lines indented, as a list."""
    items = re.split(r"\n(?! )", text)
    if head in ("Returns:", "Yields:"):
        return _inline(" ".join(text.split()))
    lines = []
    for item in items:
        name, _, meaning = " ".join(item.split()).partition(": ")
        lines.append(f"- `{name}`: {_inline(meaning)}")
    return "\n".join(lines)


def _examples(block: str) -> str:
    """Examples as a block of code, what leads to them as text."""
    lead, _, code = block.partition(">>> ")
    text = f"{_inline(lead.strip())}\n\n" if lead.strip() else ""
    code = inspect.cleandoc(f"\n{lead.rpartition(chr(10))[2]}>>> {code}")
    return f"{text}```python\n{code}\n```"


def _inline(text: str) -> str:
    """Code in single backticks, angle brackets outside of code escaped."""
    parts = text.split("``")
    outside = [part.replace("<", "&lt;") for part in parts[::2]]
    inside = [f"`{part}`" for part in parts[1::2]]
    return "".join(a + b for a, b in zip(outside, [*inside, ""], strict=True))


def _paragraph(text: str) -> str:
    return _inline(" ".join(text.partition("\n\n")[0].split()))


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

"""The command line: verbs over the rooms, one file for each family.

Data goes to stdout, messages and progress bars to stderr.  Exit codes: 0 success, 1 failure, 2 a
command that is not understood.  Only the module of the command that is named gets imported, so
these modules import at their top like all others.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Any

import typer

from gnomon import __version__
from gnomon.cli.terminal import say

COMMANDS = {
    "discover": "campaigns:discover",
    "work": "work:work",
    "report": "campaigns:report",
    "lineage": "campaigns:lineage",
    "explore": "explore:explore",
    "publish": "publish:publish",
    "cite": "publish:cite",
    "check": "folders:check",
    "backup": "folders:backup",
    "restore": "folders:restore",
    "verify": "verify:verify",
    "databases": "databases:databases",
    "hull": "hull:hull",
    "targets": "targets:targets",
    "gibbs": "synthesis:gibbs",
    "routes": "synthesis:routes",
    "recipe": "recipe:recipe",
    "xrd": "xrd:xrd",
    "lab begin": "lab:begin",
    "lab next": "lab:next_",
    "lab record": "lab:record",
    "lab simulate": "lab:simulate",
    "lab show": "lab:show",
    "reduce": "reduce:reduce",
    "duplicates": "duplicates:duplicates",
    "evaluate": "evaluate:evaluate",
    "predict": "predict:predict",
    "represent": "represent:represent",
    "search": "search:search",
    "properties": "properties:properties",
    "funnel": "properties:funnel",
    "conductors": "conductors:conductors",
    "electrodes": "conductors:electrodes",
    "ashby": "properties:ashby",
    "bands": "bands:bands",
    "label": "label:label",
    "md": "md:md",
    "replay": "replay:replay",
    "generate prototypes": "generate:prototypes",
    "generate substitutions": "generate:substitutions",
    "generate saps": "generate:saps",
    "generate random": "generate:random",
    "generate learned": "generate:learned",
    "generate compositions": "generate:compositions",
    "model train structural": "train:structural",
    "model train composition": "train:composition",
    "model train potential": "potential:train",
    "model train generator": "known:generator",
    "model train substitution": "known:substitution",
    "model train prototypes": "known:prototypes",
    "model join": "train:join",
    "model calibrate": "model:calibrate",
    "model validate": "model:validate",
    "model curve": "model:curve",
    "model transfer": "train:transfer",
    "weights list": "weights:list_weights",
    "weights fetch": "weights:fetch",
}
"""Commands to their functions in the modules of this package, in the order of the help."""

GROUPS = {
    "": "Find stable inorganic crystals: propose, rank, verify, learn, repeat.\n\n"
    "Example: gnomon discover Au-Cu",
    "generate": "Propose candidates.",
    "lab": "A laboratory that learns: recipes, outcomes, what they teach.",
    "model": "Train models, and learn what they are worth.",
    "model train": "Train on labelled data.",
    "weights": "Potentials by name.",
}
"""Groups of commands to their help."""

FORMER = {
    "calibrate": "model calibrate",
    "cross-validate": "model validate",
    "generate substitution": "generate substitutions",
    "learning-curve": "model curve",
    "predict-formulas": "predict",
    "predict-property": "predict",
    "reference": "databases",
    "simulate": "replay",
    "train join": "model join",
    "train transfer": "model transfer",
    "train": "model train",
}
"""Names that commands once had to those that they have."""


def program(words: Sequence[str] = ()) -> typer.Typer:
    """The command line; the command that the words begin with is whole, of others only the help."""
    apps = {
        name: typer.Typer(
            name=name.rpartition(" ")[2] or "gnomon",
            help=about,
            no_args_is_help=True,
            add_completion=False,
            pretty_exceptions_enable=False,
            rich_markup_mode=None,
        )
        for name, about in GROUPS.items()
    }
    apps[""].callback(invoke_without_command=True)(_root)
    for name, place in COMMANDS.items():
        whole = name.split() == list(words[: name.count(" ") + 1])
        group, _, verb = name.rpartition(" ")
        apps[group].command(verb)(function_of(place) if whole else _stub(place))
    for name in GROUPS:
        if name:
            apps[name.rpartition(" ")[0]].add_typer(apps[name])
    return apps[""]


def function_of(place: str) -> Callable[..., int]:
    """The command behind a place, with all its options."""
    from gnomon.cli.options import as_command

    module, _, name = place.partition(":")
    return as_command(getattr(importlib.import_module(f"gnomon.cli.{module}"), name))


def _stub(place: str) -> Callable[[], None]:
    """A function with the help of a command, read without importing it."""
    module, _, name = place.partition(":")

    def stub() -> None: ...

    stub.__doc__ = _docstrings(module)[name]
    return stub


@cache
def _docstrings(module: str) -> dict[str, str | None]:
    text = (resources.files("gnomon.cli") / f"{module}.py").read_text("utf-8")
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_docstring(node) for node in functions}


def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"gnomon {__version__}")
        raise typer.Exit()


def _named(given: Sequence[str]) -> str:
    """The command that the words begin with, or the longest part of one."""
    named = [n for n in (*GROUPS, *COMMANDS) if n.split() == list(given[: len(n.split())])]
    return max(named, key=len)


def how_to_go_on(given: Sequence[str]) -> str:
    """What to do when the command that the words begin with was stopped, from its own help."""
    module, _, name = COMMANDS.get(_named(given), "").partition(":")
    goes_on = module and re.search(r"goes\s+on\s+where\s+it", _docstrings(module)[name] or "")
    return f"the same command {'goes on where it stopped' if goes_on else 'begins anew'}"


def main(arguments: list[str] | None = None, began: float | None = None) -> int:
    """Run a command; returns the exit code.

    Args:
        arguments: of this process unless given.
        began: when it did, of time.monotonic(); now, if not given.
    """
    given = sys.argv[1:] if arguments is None else arguments
    for former, name in FORMER.items():
        if former.split() == given[: former.count(" ") + 1]:
            say(f"error: `gnomon {former}` is `gnomon {name}` now")
            return 2
    try:
        command = typer.main.get_command(program(given))
        options: Any = {"prog_name": "gnomon", "standalone_mode": False, "obj": began}
        return int(command.main(given, **options) or 0)
    except typer.Abort:
        say("error: stopped")
        return 1
    except KeyboardInterrupt:
        say(f"error: stopped\nhint: {how_to_go_on(given)}")
        return 130
    except Exception as error:
        verb = f"gnomon {_named(given)}".strip()
        return _explain(error, f"hint: `{verb} --help` shows options and an example")


def _explain(error: Any, hint: str) -> int:
    """Say what went wrong; an error that gnomon did not foresee keeps its traceback."""
    from gnomon.cli.options import CommandError
    from gnomon.discover.settings import ConfigError
    from gnomon.run.writing import StoreError

    if type(error).__name__ == "NoArgsIsHelpError":
        say(str(error))
        return 2
    if hasattr(error, "format_message"):  # a usage error of the argument parser
        say(f"error: {error.format_message()}\n{hint}")
        return 2
    if isinstance(error, (CommandError, ConfigError)):
        say(f"error: {error}\n{hint}")
        return 2
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        say(f"error: {error.filename}: {error.strerror}\n{hint}")
        return 1
    if isinstance(error, (ValueError, StoreError, OSError)):
        say(f"error: {error}\n{hint}")
        return 1
    raise error

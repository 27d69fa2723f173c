"""The command line: thin verbs over the modules of the same names, one file for each family.

Data goes to stdout, messages and progress bars to stderr.  Exit codes: 0 success, 1 failure, 2 a
command that is not understood.  Heavy libraries are imported by the commands that need them.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from gnomon import __version__
from gnomon.cli.campaigns import discover, report
from gnomon.cli.compositions import predict_formulas, train_composition
from gnomon.cli.duplicates import duplicates
from gnomon.cli.energies import calibrate, evaluate, predict
from gnomon.cli.generate_compositions import generate_compositions
from gnomon.cli.generate_substitutions import (
    generate_saps,
    generate_substitution,
    train_substitution,
)
from gnomon.cli.join import train_join
from gnomon.cli.label import label
from gnomon.cli.lineage import lineage
from gnomon.cli.md import md
from gnomon.cli.potentials import train_potential
from gnomon.cli.prototypes import generate_prototypes
from gnomon.cli.random_search import generate_random, search
from gnomon.cli.reduce import reduce
from gnomon.cli.reference import reference
from gnomon.cli.shared import CommandError
from gnomon.cli.simulate import simulate
from gnomon.cli.stability import hull
from gnomon.cli.structural import train_structural
from gnomon.cli.transfer import predict_property, train_transfer
from gnomon.cli.validation import cross_validate, learning_curve
from gnomon.cli.verify import verify
from gnomon.cli.weights import weights_fetch, weights_list

app = typer.Typer(
    name="gnomon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find stable inorganic crystals: propose, rank, verify, learn, repeat.\n\n"
    "Example: gnomon discover Au-Cu",
)
generate_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Propose candidates.")
train_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train energy models.")
weights_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Potentials by name.")
app.add_typer(generate_app, name="generate")
app.add_typer(train_app, name="train")
app.add_typer(weights_app, name="weights")

for command in (
    discover,
    report,
    lineage,
    verify,
    reference,
    hull,
    reduce,
    duplicates,
    evaluate,
    predict,
    calibrate,
    predict_formulas,
    predict_property,
    cross_validate,
    learning_curve,
    search,
    label,
    md,
    simulate,
):
    app.command()(command)
generate_app.command("prototypes")(generate_prototypes)
generate_app.command("substitutions")(generate_substitution)
generate_app.command("saps")(generate_saps)
generate_app.command("random")(generate_random)
generate_app.command("compositions")(generate_compositions)
train_app.command("structural")(train_structural)
train_app.command("join")(train_join)
train_app.command("composition")(train_composition)
train_app.command("transfer")(train_transfer)
train_app.command("potential")(train_potential)
train_app.command("substitution")(train_substitution)
weights_app.command("list")(weights_list)
weights_app.command("fetch")(weights_fetch)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"gnomon {__version__}")
        raise typer.Exit()


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    from gnomon.cli.terminal import say

    given = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(app)
    try:
        return int(command.main(given, prog_name="gnomon", standalone_mode=False) or 0)
    except typer.Abort:
        say("error: stopped")
        return 1
    except KeyboardInterrupt:
        say("error: interrupted\nhint: the same command goes on where it stopped")
        return 1
    except Exception as error:
        verb = given[0] if given and given[0] in getattr(command, "commands", {}) else ""
        hint = f"hint: `{f'gnomon {verb}'.strip()} --help` shows options and an example"
        return _explain(error, hint, say)


def _explain(error: Exception, hint: str, say: Any) -> int:
    """Say what went wrong; an error that gnomon did not foresee keeps its traceback."""
    from gnomon.discover.settings import ConfigError
    from gnomon.run.store import StoreError

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

"""The `banet` command: its subcommands, the start-up guard and the error boundary."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from banet_cli.commands.benchmark import benchmark
from banet_cli.commands.evaluate import evaluate
from banet_cli.commands.export import export
from banet_cli.commands.info import info
from banet_cli.commands.init import init
from banet_cli.commands.prepare import prepare
from banet_cli.commands.segment import segment
from banet_cli.commands.train import train
from banet_cli.failures import TerminationError, report_failure
from banet_cli.guard import foreign_package_message
from banet_cli.logs import configure_logging, open_stderr, release_logging
from banet_cli.values import split_places

COMMANDS = (segment, prepare, train, evaluate, benchmark, export, init, info)
ENVIRONMENT_PREFIX = "BANET"
VARIABLES_HINT = "Every value may also come from a variable, BANET_<COMMAND>_<OPTION>."
SETTINGS_HINT = (
    "Every value may also come from a variable, BANET_<COMMAND>_<OPTION>, or from banet.toml "
    "(`banet init` writes one); an option wins over a variable, a variable over the file."
)

logger = logging.getLogger(__name__)

app = typer.Typer(
    name="banet",
    add_completion=False,
    # Plain help: the panels that rich draws take longer than all else that `--help` does.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    reads_settings = "config" in command.__annotations__
    app.command(epilog=SETTINGS_HINT if reads_settings else VARIABLES_HINT)(command)


def _print_version(value: bool) -> None:  # noqa: FBT001 - the signature of a callback
    if value:
        from pipelines import __version__

        typer.echo(f"banet {__version__}")
        raise typer.Exit


@app.callback()
def banet(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version.",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,
        ),
    ] = False,
) -> None:
    """Cut people out of photos, unattended, over huge folders."""


def build_command() -> TyperGroup:
    """Return the whole command line, with `BANET_<COMMAND>_<ARGUMENT>` for arguments too.

    Typer itself derives such names for options only. The help names the rule once instead of
    every variable.
    """
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for name, subcommand in group.commands.items():
        for parameter in subcommand.params:
            if isinstance(parameter, TyperArgument):
                parameter.envvar = f"{ENVIRONMENT_PREFIX}_{name}_{parameter.name}".upper()
            if isinstance(parameter, TyperArgument | TyperOption):
                parameter.show_envvar = False
            if parameter.name == "inputs":
                # Typer would split the text at spaces.
                parameter.split_envvar_value = split_places  # type: ignore[assignment,method-assign]
    return group


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; no exception leaves this function."""
    configure_logging(open_stderr())
    try:
        if message := foreign_package_message():
            logger.error(message)
            return 1
        exit_code = _invoke(arguments or ["--help"])
        sys.stdout.flush()  # here, where it is noticed if whoever read it has left
    except (BrokenPipeError, SystemExit):  # rich turns the first into the second
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BaseException as error:  # noqa: BLE001 - the boundary
        return report_failure(error)
    finally:
        release_logging()
    return exit_code


def main() -> NoReturn:
    """Be the `banet` command."""
    signal.signal(signal.SIGTERM, _terminate)
    exit_code = run(sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # amid Python's own end they would raise tracebacks
    # Python's last collection would look at all that torch has loaded, for a third of a second.
    gc.freeze()
    sys.exit(exit_code)


def _invoke(arguments: Sequence[str]) -> int:
    group = build_command()
    try:
        with group.make_context(
            "banet", list(arguments), auto_envvar_prefix=ENVIRONMENT_PREFIX
        ) as context:
            group.invoke(context)
    except typer.Exit as exit_request:
        return exit_request.exit_code
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise TerminationError

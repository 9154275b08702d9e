"""`banet init`."""

from pathlib import Path
from typing import Annotated

import typer

from banet_cli import options
from banet_cli.configuration import root_command
from banet_cli.template import config_template

ConfigTarget = Annotated[Path, typer.Argument(metavar="FILE", help="Settings file to write.")]


def init(
    context: typer.Context,
    file: ConfigTarget = Path("banet.toml"),
    *,
    force: options.Overwrite = False,
    json: options.Json = False,
    log_format: options.LogFormatOption = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write a settings file that names every option."""
    from banet_cli.console import Console
    from pipelines.config import write_config

    console = Console(json=json, log_format=log_format, quiet=quiet, verbose=verbose)
    write_config(file, config_template(root_command(context)), overwrite=force)
    console.show({"written": str(file)})

"""What every command takes, and what several take; what one alone takes stands in its file.

A command's parameter must bear the name of its option, `batch_size` for `--batch-size`: it is
also the key in `banet.toml` and the end of the `BANET_*` variable.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from banet_cli.configuration import apply_configuration

LogFormat = Literal["text", "json"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

# What every command takes.
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Settings file; without it banet.toml of the current folder, if there is one.",
        envvar="BANET_CONFIG",
        allow_from_autoenv=False,
        is_eager=True,
        callback=apply_configuration,
        rich_help_panel="Terminal",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        help="Print the summary as one JSON object on standard output.",
        rich_help_panel="Terminal",
    ),
]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        help="Form of the messages on standard error; json gives one object per line.",
        rich_help_panel="Terminal",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet/--no-quiet",
        "-q",
        help="Say nothing on standard error but warnings and errors.",
        rich_help_panel="Terminal",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose/--no-verbose",
        "-v",
        help="Log what happens in detail, with tracebacks.",
        rich_help_panel="Terminal",
    ),
]

# What several commands take.
Datasets = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET.zarr...",
        help="Datasets written by `banet prepare`; or URLs of these, such as "
        "s3://bucket/people.zarr.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where networks run. A device that is named but missing is an error (exit 4).",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(help="Arithmetic; auto takes bf16 where the device is built for it."),
]
WorkingSize = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="Longer side of the photo as the network sees it; for networks that take any.",
        show_default="the weights' own",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Local workers, threads or processes; 0 does one thing after the other.",
        show_default="one per core; for `segment` two with a GPU; behind URLs four",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="tcp://HOST:PORT",
        help="An existing Dask cluster to run on.",
        show_default="this machine",
    ),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Stop once more inputs than this have failed.", show_default="no limit"
    ),
]
Force = Annotated[bool, typer.Option(help="Do again what is done already.")]
Overwrite = Annotated[bool, typer.Option(help="Replace the file if there is one.")]

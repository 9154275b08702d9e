"""`banet info`."""

from typing import Annotated

import typer

from banet_cli import options

DescribedWeights = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Weights to describe beside the shipped ones; of .onnx files, also how they are used. "
        "May be repeated.",
        show_default="none",
    ),
]


def info(
    *,
    weights: DescribedWeights = None,
    config: options.Config = None,
    json: options.Json = False,
    log_format: options.LogFormatOption = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Show what a bug report needs.

    Versions, devices, codecs and weights.
    """
    from banet_cli.console import Console
    from pipelines.info import describe_installation

    console = Console(json=json, log_format=log_format, quiet=quiet, verbose=verbose)
    console.show(describe_installation(tuple(weights or ())))

"""`banet export`."""

from pathlib import Path
from typing import Annotated

import typer

from banet_cli import options

ExportedWeights = Annotated[
    str, typer.Argument(metavar="WEIGHTS", help="Shipped weights or a .safetensors file.")
]
OnnxFile = Annotated[Path, typer.Argument(metavar="OUT.onnx", help="ONNX file to write.")]


def export(
    weights: ExportedWeights,
    out: OnnxFile,
    *,
    force: options.Overwrite = False,
    config: options.Config = None,
    json: options.Json = False,
    log_format: options.LogFormatOption = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Write weights as an ONNX file that is checked.

    Other programs and runtimes can use it; it gives the same masks as torch.
    """
    from banet_cli.console import Console
    from pipelines.export import ExportOptions
    from pipelines.export import export as run

    console = Console(json=json, log_format=log_format, quiet=quiet, verbose=verbose)
    settings = ExportOptions(weights=weights, out=out, force=force)
    with console.progress() as progress:
        summary = run(settings, progress=progress)
    console.finish(summary)

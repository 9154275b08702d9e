"""`banet evaluate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from banet_cli import options

DEFAULT_WEIGHTS = ["banet-64"]

EvaluatedSplit = Literal["train", "val", "test", "all"]

EvaluatedWeights = Annotated[
    list[str],
    typer.Option(
        metavar="NAME|FILE",
        help="Weights to judge: shipped, .safetensors, or .onnx of `banet export` or of others "
        "(docs/networks.md), which is computed on the CPU in fp32, as are all that are named "
        "beside it; may be repeated.",
    ),
]
EvaluatedSplitOption = Annotated[
    EvaluatedSplit, typer.Option(help="Part of the datasets to judge on.")
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder for the scores as files.", show_default="none"),
]


def evaluate(
    datasets: options.Datasets,
    *,
    weights: EvaluatedWeights = DEFAULT_WEIGHTS,
    split: EvaluatedSplitOption = "val",
    out: ReportFolder = None,
    size: options.WorkingSize = None,
    precision: options.PrecisionOption = "auto",
    device: options.Device = "auto",
    config: options.Config = None,
    json: options.Json = False,
    log_format: options.LogFormatOption = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Judge weights on prepared datasets."""
    from banet_cli.console import Console
    from pipelines.evaluate import EvaluateOptions
    from pipelines.evaluate import evaluate as run

    console = Console(json=json, log_format=log_format, quiet=quiet, verbose=verbose)
    settings = EvaluateOptions(
        datasets=tuple(datasets),
        weights=tuple(weights),
        split=split,
        out=out,
        size=size,
        precision=precision,
        device=device,
    )
    with console.progress() as progress:
        summary = run(settings, progress=progress)
    console.finish(summary)

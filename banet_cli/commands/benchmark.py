"""`banet benchmark`."""

from typing import Annotated

import typer

from banet_cli import options
from banet_cli.values import split_names

Models = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Networks to measure; may be repeated, or hold several names with commas.",
        show_default="all",
    ),
]
PhotoSize = Annotated[int, typer.Option(metavar="PIXELS", help="Side of the square photos.")]
PhotosPerPass = Annotated[int, typer.Option(metavar="N", help="Photos per forward pass.")]
Repeats = Annotated[
    int, typer.Option(metavar="N", help="Samples of each latency; their median is reported.")
]
MeasuredPrecision = Annotated[
    options.Precision,
    typer.Option(
        help="Arithmetic; auto takes for each network the faster of fp32 and the device's half "
        "precision."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="CPU threads of a forward pass.", show_default="all cores"),
]


def benchmark(
    *,
    models: Models = None,
    size: PhotoSize = 512,
    batch_size: PhotosPerPass = 1,
    repeats: Repeats = 20,
    precision: MeasuredPrecision = "auto",
    device: options.Device = "auto",
    threads: Threads = None,
    config: options.Config = None,
    json: options.Json = False,
    log_format: options.LogFormatOption = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Measure the networks side by side.

    Parameters, GFLOP, latency, frames per second and memory.
    """
    from banet_cli.console import Console
    from pipelines.benchmark import BenchmarkOptions
    from pipelines.benchmark import benchmark as run

    console = Console(json=json, log_format=log_format, quiet=quiet, verbose=verbose)
    settings = BenchmarkOptions(
        models=None if models is None else split_names(models),
        size=size,
        batch_size=batch_size,
        repeats=repeats,
        precision=precision,
        device=device,
        threads=threads,
    )
    with console.progress() as progress:
        summary = run(settings, progress=progress)
    console.finish(summary)

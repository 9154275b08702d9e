"""`banet benchmark`."""

from banet_cli import options
from banet_cli.values import split_names


def benchmark(
    *,
    models: options.Models = None,
    size: options.PhotoSize = 512,
    batch_size: options.PhotosPerPass = 1,
    repeats: options.Repeats = 20,
    precision: options.MeasuredPrecision = "auto",
    device: options.Device = "auto",
    threads: options.Threads = None,
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

"""`banet train`."""

from banet_cli import options
from banet_cli.failures import completed_with


def train(
    datasets: options.Datasets,
    *,
    out: options.RunFolder,
    model: options.Model = "banet-64",
    recipe: options.Recipe = "pretrain",
    init: options.Init = None,
    iterations: options.Iterations = None,
    batch_size: options.BatchSize = None,
    size: options.TrainingSize = None,
    learning_rate: options.LearningRate = None,
    precision: options.PrecisionOption = "auto",
    seed: options.Seed = 0,
    licence: options.Licence = "",
    resume: options.Resume = False,
    device: options.Device = "auto",
    config: options.Config = None,
    json: options.Json = False,
    log_format: options.LogFormatOption = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Train a network on prepared datasets."""
    from banet_cli.console import Console
    from pipelines.train import TrainOptions
    from pipelines.train import train as run

    console = Console(json=json, log_format=log_format, quiet=quiet, verbose=verbose)
    settings = TrainOptions(
        datasets=tuple(datasets),
        out=out,
        model=model,
        recipe=recipe,
        init=init,
        iterations=iterations,
        batch_size=batch_size,
        size=size,
        learning_rate=learning_rate,
        precision=precision,
        seed=seed,
        licence=licence,
        resume=resume,
        device=device,
    )
    with completed_with("--resume"), console.progress() as progress:
        summary = run(settings, progress=progress)
    if summary.first:
        console.finish(summary)

"""`banet evaluate`."""

from banet_cli import options

DEFAULT_WEIGHTS = ["banet-64"]


def evaluate(
    datasets: options.Datasets,
    *,
    weights: options.EvaluatedWeights = DEFAULT_WEIGHTS,
    split: options.EvaluatedSplitOption = "val",
    out: options.ReportFolder = None,
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

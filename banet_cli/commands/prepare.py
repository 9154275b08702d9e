"""`banet prepare`."""

from banet_cli import options
from banet_cli.values import CannyThresholds, SplitFractions, split_names


def prepare(
    source: options.Source,
    dataset: options.Dataset,
    *,
    format: options.SourceFormatOption = "auto",
    classes: options.Classes = None,
    size: options.FrameSize = 512,
    fit: options.FitOption = "letterbox",
    canonical_width: options.CanonicalWidth = 50,
    canny: options.Canny = CannyThresholds(100, 200),
    split: options.Split = SplitFractions(0.8, 0.1, 0.1),
    crops: options.Crops = None,
    check: options.Check = False,
    preview: options.Preview = None,
    force: options.Force = False,
    max_failures: options.MaxFailures = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    config: options.Config = None,
    json: options.Json = False,
    log_format: options.LogFormatOption = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Make a dataset for training from photos and their masks."""
    from banet_cli.console import Console
    from banet_cli.prepare_report import prepare_report
    from pipelines.prepare import PrepareOptions
    from pipelines.prepare import prepare as run

    console = Console(json=json, log_format=log_format, quiet=quiet, verbose=verbose)
    settings = PrepareOptions(
        source=source,
        dataset=dataset,
        format=format,
        classes=None if classes is None else split_names(classes),
        size=size,
        fit=fit,
        canonical_width=canonical_width,
        canny=canny,
        split=split,
        crops=crops,
        check=check,
        preview=preview,
        force=force,
        max_failures=max_failures,
        workers=workers,
        scheduler=scheduler,
    )
    with console.progress() as progress:
        summary = run(settings, progress=progress)
    console.finish(summary, report=prepare_report(summary))

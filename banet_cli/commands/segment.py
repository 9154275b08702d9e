"""`banet segment`."""

from banet_cli import options


def segment(
    inputs: options.Inputs,
    *,
    out: options.OutputFolder = None,
    weights: options.Weights = "banet-64",
    runtime: options.RuntimeOption = "auto",
    composite: options.CompositeOption = "transparent",
    background: options.Background = None,
    composite_format: options.CompositeFormatOption = "png",
    mask: options.MaskOption = "soft",
    refine: options.Refine = True,
    threshold: options.Threshold = 0.5,
    size: options.WorkingSize = None,
    batch_size: options.PhotosAtOnce = None,
    precision: options.PrecisionOption = "auto",
    device: options.Device = "auto",
    max_failures: options.MaxFailures = None,
    force: options.Force = False,
    dry_run: options.DryRun = False,
    shard: options.Shard = None,
    watch: options.Watch = False,
    stable_seconds: options.StableSeconds = 5.0,
    review_dir: options.ReviewFolder = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    config: options.Config = None,
    json: options.Json = False,
    log_format: options.LogFormatOption = "text",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Cut the people out of photos: masks, composites and a ledger."""
    from banet_cli.console import Console
    from banet_cli.segment_report import segment_report
    from pipelines.segment import SegmentOptions
    from pipelines.segment import segment as run

    console = Console(json=json, log_format=log_format, quiet=quiet, verbose=verbose)
    settings = SegmentOptions(
        inputs=tuple(inputs),
        out=out,
        weights=weights,
        runtime=runtime,
        composite=composite,
        background=background,
        composite_format=composite_format,
        mask=mask,
        refine=refine,
        threshold=threshold,
        size=size,
        batch_size=batch_size,
        precision=precision,
        device=device,
        max_failures=max_failures,
        force=force,
        dry_run=dry_run,
        shard=shard,
        watch=watch,
        stable_seconds=stable_seconds,
        review_dir=review_dir,
        workers=workers,
        scheduler=scheduler,
    )
    with console.progress() as progress:
        summary = run(settings, progress=progress)
    console.finish(summary, report=segment_report(summary))

"""`banet segment`."""

from typing import Annotated, Literal

import typer

from banet_cli import options
from banet_cli.values import parse_memory_option, parse_photos_at_once

Runtime = Literal["auto", "torch", "onnx"]
Composite = Literal["none", "transparent", "color", "image", "blur"]
CompositeFormat = Literal["png", "jpg", "webp"]
MaskKind = Literal["soft", "binary"]

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Photos, folders that are searched, or patterns; or URLs of these, such as "
        "s3://bucket/photos.",
    ),
]
OutputFolder = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|URL",
        help="Folder for masks, composites and the ledger.",
        show_default="<folder>-segmented beside the input folder",
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="Weights to segment with: shipped, .safetensors, or .onnx of `banet export` or of "
        "others, which a .toml of the same name beside it says how to use (docs/networks.md).",
    ),
]
RuntimeOption = Annotated[
    Runtime,
    typer.Option(
        help="What computes; auto takes ONNX Runtime for .onnx files, torch for all others. onnx "
        "needs --weights to be such a file."
    ),
]
PhotosAtOnce = Annotated[
    int | None,
    typer.Option(
        metavar="auto|N",
        parser=parse_photos_at_once,
        help="Most photos of a forward pass, which shares those of workers that wait at the same "
        "time. auto takes one on a CPU, and on a GPU what its memory holds.",
        show_default="auto",
    ),
]
CompositeOption = Annotated[Composite, typer.Option(help="What takes the background's place.")]
Background = Annotated[
    str | None,
    typer.Option(
        metavar="COLOUR|FILE|URL",
        help="Colour or picture for --composite color or image.",
        show_default="white",
    ),
]
CompositeFormatOption = Annotated[CompositeFormat, typer.Option(help="File format of composites.")]
MaskOption = Annotated[MaskKind, typer.Option(help="Grey levels at the edges, or black and white.")]
Refine = Annotated[
    bool,
    typer.Option(
        help="Draw the soft edges of masks anew along the edges that the photos have at full size."
    ),
]
Threshold = Annotated[
    float,
    typer.Option(
        metavar="PROBABILITY",
        help="Probability from which on a pixel shows a person: in binary masks, for the coverage "
        "in the ledger, and for whether a photo is empty.",
    ),
]
MaxMemory = Annotated[
    int | None,
    typer.Option(
        metavar="512M|2G",
        parser=parse_memory_option,
        help="Memory that the process may take, network and all; with --scheduler, each worker. A "
        "photo that cannot be done with so little fails.",
        show_default="no limit; half of the memory for photos",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Do the I-th of N parts of the photos; other jobs may do the others into the same "
        "folder at the same time.",
        show_default="all photos",
    ),
]
Watch = Annotated[
    bool,
    typer.Option(help="Go on looking for photos that are new or have changed, until interrupted."),
]
StableSeconds = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="With --watch: how long a file must keep size and time before it is taken.",
    ),
]
ReviewFolder = Annotated[
    str | None,
    typer.Option(
        "--review-dir",
        metavar="FOLDER|URL",
        help="Folder for pictures of the 50 least certain masks, beside photo and cut-out.",
        show_default="none",
    ),
]
DryRun = Annotated[bool, typer.Option(help="Only say what would be done; write nothing.")]


def segment(
    inputs: Inputs,
    *,
    out: OutputFolder = None,
    weights: Weights = "banet-64",
    runtime: RuntimeOption = "auto",
    composite: CompositeOption = "transparent",
    background: Background = None,
    composite_format: CompositeFormatOption = "png",
    mask: MaskOption = "soft",
    refine: Refine = True,
    threshold: Threshold = 0.5,
    size: options.WorkingSize = None,
    batch_size: PhotosAtOnce = None,
    precision: options.PrecisionOption = "auto",
    device: options.Device = "auto",
    max_memory: MaxMemory = None,
    max_failures: options.MaxFailures = None,
    force: options.Force = False,
    dry_run: DryRun = False,
    shard: Shard = None,
    watch: Watch = False,
    stable_seconds: StableSeconds = 5.0,
    review_dir: ReviewFolder = None,
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
        max_memory=max_memory,
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

"""`banet prepare`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from banet_cli import options
from banet_cli.values import (
    CannyThresholds,
    SplitFractions,
    parse_canny,
    parse_split,
    split_names,
)

SourceFormat = Literal["auto", "pairs", "csv", "rgba", "pfcn", "supervisely", "coco"]
Fit = Literal["letterbox", "stretch", "crop"]

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Folder that holds photos and their masks, or a CSV or COCO JSON file in it, or the "
        "URL of one; docs/datasets.md describes the layouts.",
    ),
]
Dataset = Annotated[
    str, typer.Argument(metavar="DATASET.zarr", help="Dataset to write, or the URL of one.")
]
SourceFormatOption = Annotated[
    SourceFormat, typer.Option(help="Layout of SOURCE; auto looks at its files.")
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|NUMBER",
        help="Classes that are people in annotations, or the values that mean them in mask files; "
        "those with a minus before them, as in person,-bag, are taken away again. May be repeated, "
        "or hold several with commas.",
        show_default="person; mask files are looked at",
    ),
]
FrameSize = Annotated[
    int, typer.Option(metavar="PIXELS", help="Side of the square frame of a sample.")
]
FitOption = Annotated[Fit, typer.Option(help="How a photo is brought into its frame.")]
CanonicalWidth = Annotated[
    float,
    typer.Option(
        metavar="PIXELS", help="Boundary width in a portrait that fills its frame (Eq. 1)."
    ),
]
Canny = Annotated[
    CannyThresholds,
    typer.Option(
        metavar="LOW,HIGH",
        parser=parse_canny,
        help="Edge thresholds.",
        show_default="100,200",
    ),
]
Split = Annotated[
    SplitFractions,
    typer.Option(
        metavar="TRAIN,VAL,TEST",
        parser=parse_split,
        help="Shares of the splits, drawn by content; lists that come with a dataset win.",
        show_default="0.8,0.1,0.1",
    ),
]
Crops = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv",
        help="Crops of the photos that become samples beside the full frames.",
        show_default="none",
    ),
]
Check = Annotated[
    bool, typer.Option(help="Only examine SOURCE and say what is wrong with it; write no dataset.")
]
Preview = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Write contact sheets there: samples with masks and boundaries, and what is wrong.",
        show_default="none",
    ),
]


def prepare(
    source: Source,
    dataset: Dataset,
    *,
    format: SourceFormatOption = "auto",
    classes: Classes = None,
    size: FrameSize = 512,
    fit: FitOption = "letterbox",
    canonical_width: CanonicalWidth = 50,
    canny: Canny = CannyThresholds(100, 200),
    split: Split = SplitFractions(0.8, 0.1, 0.1),
    crops: Crops = None,
    check: Check = False,
    preview: Preview = None,
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

"""Every argument and option of the command line, each defined once.

A command's parameter must bear the name of its option, `batch_size` for `--batch-size`: it is
also the key in `banet.toml` and the end of the `BANET_*` variable.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from banet_cli.configuration import apply_configuration
from banet_cli.values import (
    CannyThresholds,
    SplitFractions,
    parse_canny,
    parse_memory_option,
    parse_photos_at_once,
    parse_split,
)

LogFormat = Literal["text", "json"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
SourceFormat = Literal["auto", "pairs", "csv", "rgba", "pfcn", "supervisely", "coco"]
Fit = Literal["letterbox", "stretch", "crop"]
EvaluatedSplit = Literal["train", "val", "test", "all"]
Composite = Literal["none", "transparent", "color", "image", "blur"]
CompositeFormat = Literal["png", "jpg", "webp"]
MaskKind = Literal["soft", "binary"]
Runtime = Literal["auto", "torch", "onnx"]

# What every command takes.
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Settings file; without it banet.toml of the current folder, if there is one.",
        envvar="BANET_CONFIG",
        allow_from_autoenv=False,
        is_eager=True,
        callback=apply_configuration,
        rich_help_panel="Terminal",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        help="Print the summary as one JSON object on standard output.",
        rich_help_panel="Terminal",
    ),
]
LogFormatOption = Annotated[
    LogFormat,
    typer.Option(
        help="Form of the messages on standard error; json gives one object per line.",
        rich_help_panel="Terminal",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet/--no-quiet",
        "-q",
        help="Say nothing on standard error but warnings and errors.",
        rich_help_panel="Terminal",
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose/--no-verbose",
        "-v",
        help="Log what happens in detail, with tracebacks.",
        rich_help_panel="Terminal",
    ),
]

# What several commands take.
Datasets = Annotated[
    list[str],
    typer.Argument(
        metavar="DATASET.zarr...",
        help="Datasets written by `banet prepare`; or URLs of these, such as "
        "s3://bucket/people.zarr.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N|mps",
        help="Where networks run. A device that is named but missing is an error (exit 4).",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(help="Arithmetic; auto takes bf16 where the device is built for it."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Local worker threads; 0 runs all in the main thread.",
        show_default="one per core; for `segment` one more on a CPU, behind URLs four per core",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="tcp://HOST:PORT",
        help="An existing Dask cluster to run on.",
        show_default="this machine",
    ),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Stop once more inputs than this have failed.", show_default="no limit"
    ),
]
Force = Annotated[bool, typer.Option(help="Do again what is done already.")]
Overwrite = Annotated[bool, typer.Option(help="Replace the file if there is one.")]

# banet prepare
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

# banet train
RunFolder = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Folder of the run: weights, metrics, checkpoints.")
]
Model = Annotated[str, typer.Option(metavar="NAME", help="Network to train.")]
Recipe = Annotated[
    str,
    typer.Option(
        metavar="pretrain|finetune|generalise|polish|paper|quick|FILE.toml",
        help="Schedule, optimiser and augmentation.",
    ),
]
Init = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE", help="Weights to start from.", show_default="random"),
]
Iterations = Annotated[
    int | None, typer.Option(metavar="N", help="Optimiser steps.", show_default="the recipe's")
]
BatchSize = Annotated[
    int | None,
    typer.Option(metavar="N", help="Samples per step.", show_default="the recipe's"),
]
TrainingSize = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS", help="Longer side of the training views.", show_default="the recipe's"
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option(metavar="RATE", help="Peak learning rate.", show_default="the recipe's"),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of all that is random.")]
Licence = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help="Terms of use, written into the weights; `banet info` and whoever gets them sees it.",
        show_default="(those of the datasets)",
    ),
]
Resume = Annotated[
    bool,
    typer.Option(help="Go on with the run that the folder holds."),
]

# banet evaluate
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
WorkingSize = Annotated[
    int | None,
    typer.Option(
        metavar="PIXELS",
        help="Longer side of the photo as the network sees it; for networks that take any.",
        show_default="the weights' own",
    ),
]

# banet segment
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

# banet benchmark
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
    Precision,
    typer.Option(
        help="Arithmetic; auto takes for each network the faster of fp32 and the device's half "
        "precision."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", help="CPU threads of a forward pass.", show_default="all cores"),
]

# banet export
ExportedWeights = Annotated[
    str, typer.Argument(metavar="WEIGHTS", help="Shipped weights or a .safetensors file.")
]
OnnxFile = Annotated[Path, typer.Argument(metavar="OUT.onnx", help="ONNX file to write.")]

# banet info
DescribedWeights = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Weights to describe beside the shipped ones; of .onnx files, also how they are used. "
        "May be repeated.",
        show_default="none",
    ),
]

# banet init
ConfigTarget = Annotated[Path, typer.Argument(metavar="FILE", help="Settings file to write.")]

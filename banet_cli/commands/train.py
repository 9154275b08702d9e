"""`banet train`."""

from pathlib import Path
from typing import Annotated

import typer

from banet_cli import options
from banet_cli.failures import completed_with

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


def train(
    datasets: options.Datasets,
    *,
    out: RunFolder,
    model: Model = "banet-64",
    recipe: Recipe = "pretrain",
    init: Init = None,
    iterations: Iterations = None,
    batch_size: BatchSize = None,
    size: TrainingSize = None,
    learning_rate: LearningRate = None,
    precision: options.PrecisionOption = "auto",
    seed: Seed = 0,
    licence: Licence = "",
    resume: Resume = False,
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

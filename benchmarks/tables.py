"""Runs, or resumes, the cells of the paper's tables and renders them beside the paper's figures.

    python benchmarks/tables.py run pfcn.zarr --runs runs       train and score every network
    python benchmarks/tables.py run pfcn.zarr --runs runs --models enet,unet --seeds 0
    python benchmarks/tables.py speed                           time every network in one run
    python benchmarks/tables.py render                          write docs/reproduction.md

A cell is one network trained with one seed under one budget. Its result is a file of its own in
`benchmarks/results`, so that cells can come from several machines and processes; one that is there
is not run again, one that was stopped by Ctrl-C or SIGTERM goes on from there, one that was killed
begins at its last checkpoint. No figure of ours in the document is typed by hand: what has not been
run says so.
"""

import logging
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from cells import FRONTIER, TABLE_2, TABLE_3
from entry import run_app
from reproduction import render_document
from result_files import items, photos_sha256, sha256_of, write_result

from models import MODELS, build_model, count_parameters
from pipelines.devices import resolve_device
from pipelines.errors import ConfigError, LockedError
from pipelines.evaluate import EvaluateOptions, evaluate
from pipelines.locks import exclusive
from pipelines.recipes import load_recipe
from pipelines.store import Store, open_store
from pipelines.train import TrainOptions, train
from pipelines.whole_files import write_atomically

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCUMENT = HERE.parent / "docs" / "reproduction.md"
BUDGETS = {"small": str(HERE / "recipes" / "small.toml"), "paper": "paper"}

logger = logging.getLogger("tables")
app = typer.Typer(add_completion=False, help="The paper's tables, reproduced.")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One network, trained with one seed under one budget."""

    budget: str
    model: str
    seed: int

    @property
    def result(self) -> Path:
        """File of the result."""
        return RESULTS / self.budget / f"{self.model}-seed{self.seed}.json"


@app.command()
def run(
    datasets: Annotated[list[Path], typer.Argument(help="Stores to train on, as for banet train.")],
    *,
    runs: Annotated[Path, typer.Option(help="Folder for the runs.")],
    models: Annotated[str, typer.Option(help="Names with commas; default all.")] = "",
    seeds: Annotated[str, typer.Option(help="Numbers with commas.")] = "0",
    budget: Annotated[str, typer.Option(help="small or paper.")] = "small",
    device: Annotated[str, typer.Option(help="As of banet train.")] = "auto",
) -> None:
    """Train and score the cells that have no result yet."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # on which training saves its state
    MODELS.update(FRONTIER)
    cells = _cells(models, seeds, budget)
    resolve_device(device)
    for path in datasets:
        open_store(path)
    for cell in cells:
        folder = runs / cell.budget / f"{cell.model}-seed{cell.seed}"
        try:
            with exclusive(folder.with_suffix(".lock"), place=folder):
                _run_unless_there(cell, datasets, folder, device)
        except LockedError:
            logger.info("%s: another process is at it", folder)


@app.command()
def speed(
    device: Annotated[str, typer.Option(help="As of banet benchmark.")] = "auto",
    repeats: Annotated[int, typer.Option(help="As of banet benchmark.")] = 20,
    size: Annotated[int, typer.Option(help="As of banet benchmark.")] = 512,
    models: Annotated[str, typer.Option(help="Names with commas; default all.")] = "",
) -> None:
    """Time all networks, one photo at a time, interleaved in one run."""
    from pipelines.benchmark import BenchmarkOptions, benchmark

    MODELS.update(FRONTIER)
    chosen = tuple(items(models)) or None
    summary = benchmark(BenchmarkOptions(models=chosen, device=device, repeats=repeats, size=size))
    write_result(RESULTS / f"speed-{torch.device(summary.device).type}.json", summary.as_json())


@app.command()
def render() -> None:
    """Write docs/reproduction.md from the results that are there."""
    write_atomically(DOCUMENT, render_document(RESULTS).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    return run_app(app, arguments)


def _cells(models: str, seeds: str, budget: str) -> list[Cell]:
    names = list(dict.fromkeys(items(models) or [*TABLE_2, *TABLE_3, *FRONTIER]))
    mistakes = [f"--models {name}: use {', '.join(MODELS)}" for name in names if name not in MODELS]
    mistakes += [f"--seeds {each}: whole numbers" for each in items(seeds) if not each.isdecimal()]
    if budget not in BUDGETS:
        mistakes.append(f"--budget {budget}: use {', '.join(BUDGETS)}")
    if mistakes:
        raise ConfigError("; ".join(mistakes))
    return [
        Cell(budget=budget, model=name, seed=int(seed)) for seed in items(seeds) for name in names
    ]


def _run_unless_there(cell: Cell, datasets: list[Path], folder: Path, device: str) -> None:
    if cell.result.exists():
        logger.info("%s: there", cell.result)
        return
    resumable = (folder / "last").exists()
    if not resumable:
        shutil.rmtree(folder, ignore_errors=True)  # what was killed before it saved anything
    options = TrainOptions(
        datasets=tuple(datasets),
        out=folder,
        model=cell.model,
        recipe=BUDGETS[cell.budget],
        seed=cell.seed,
        device=device,
        resume=resumable,
    )
    trained = train(options)
    scored = evaluate(
        EvaluateOptions(datasets=(datasets[-1],), weights=(str(trained.weights),), device=device)
    )
    result = {
        **vars(cell),
        **_facts(cell, datasets),
        "iterations": trained.iterations,
        "device": trained.device,
        "precision": trained.precision,
        "torch": torch.__version__,
        "scores": scored.results[0].scores.as_json(),
    }
    write_result(cell.result, result)
    logger.info("%s: portrait IoU %.4f", cell.result, result["scores"]["portrait_iou"])


def _facts(cell: Cell, datasets: list[Path]) -> dict[str, Any]:
    """Return what must be the same for cells that stand in one table."""
    recipe = load_recipe(BUDGETS[cell.budget]).as_dict()
    stores = [open_store(path) for path in datasets]
    return {
        "parameters": count_parameters(build_model(cell.model)),
        "datasets": [path.stem for path in datasets],
        "photos_sha256": photos_sha256(stores),
        "recipe_sha256": sha256_of(recipe),
        "faces": _count_faces(stores) if MODELS[cell.model].face_prior else 0,
    }


def _count_faces(stores: list[Store]) -> int:
    faces = (face for store in stores for face in store.faces(store.indices("train")))
    return sum(face is not None for face in faces)


if __name__ == "__main__":
    sys.exit(main())

"""Runs, or resumes, the cells of the paper's tables and renders them beside the paper's figures.

    python benchmarks/tables.py run pfcn.zarr --runs runs       train and score every network
    python benchmarks/tables.py run pfcn.zarr --runs runs --models enet,unet --seeds 0
    python benchmarks/tables.py speed                           time every network in one run
    python benchmarks/tables.py render                          write docs/reproduction.md

A cell is one network trained with one seed under one budget. Its result is a file of its own in
`benchmarks/results`, so that cells can come from several machines; one that is there is not run
again, one that was interrupted goes on from where it stopped. No figure of ours in the document is
typed by hand: what has not been run says so.
"""

import json
import logging
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from cells import FRONTIER, TABLE_2, TABLE_3
from reproduction import render_document

from models import MODELS, count_parameters
from models.registry import build_model
from pipelines.evaluate import EvaluateOptions, evaluate
from pipelines.images import write_atomically
from pipelines.train import TrainOptions, train

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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # on which training saves its state
    MODELS.update(FRONTIER)
    names = models.split(",") if models else [*TABLE_2, *TABLE_3, *FRONTIER]
    cells = [
        Cell(budget=budget, model=name, seed=int(seed))
        for seed in seeds.split(",")
        for name in dict.fromkeys(names)
    ]
    for cell in cells:
        if cell.result.exists():
            logger.info("%s: there", cell.result)
        else:
            result = _run(cell, datasets, runs, device)
            _write(cell.result, result)
            logger.info("%s: portrait IoU %.4f", cell.result, result["scores"]["portrait_iou"])


@app.command()
def speed(
    device: Annotated[str, typer.Option(help="As of banet benchmark.")] = "auto",
    repeats: Annotated[int, typer.Option(help="As of banet benchmark.")] = 20,
) -> None:
    """Time all networks at 512 x 512, batch 1, interleaved in one run."""
    from pipelines.benchmark import BenchmarkOptions, benchmark

    MODELS.update(FRONTIER)
    summary = benchmark(BenchmarkOptions(device=device, repeats=repeats))
    kind = torch.device(summary.device.split()[0]).type
    _write(RESULTS / f"speed-{kind}.json", summary.as_json())


@app.command()
def render() -> None:
    """Write docs/reproduction.md from the results that are there."""
    write_atomically(DOCUMENT, render_document(RESULTS).encode())


def _run(cell: Cell, datasets: list[Path], runs: Path, device: str) -> dict[str, Any]:
    folder = runs / cell.budget / f"{cell.model}-seed{cell.seed}"
    resumable = (folder / "last").exists()
    if not resumable:
        shutil.rmtree(folder, ignore_errors=True)  # what was killed before it saved anything
    trained = train(
        TrainOptions(
            datasets=tuple(datasets),
            out=folder,
            model=cell.model,
            recipe=BUDGETS[cell.budget],
            seed=cell.seed,
            device=device,
            resume=resumable,
        )
    )
    scored = evaluate(
        EvaluateOptions(datasets=(datasets[-1],), weights=(str(trained.weights),), device=device)
    )
    return {
        "model": cell.model,
        "seed": cell.seed,
        "budget": cell.budget,
        "datasets": [path.stem for path in datasets],
        "scored_on": f"{datasets[-1].stem} val",
        "iterations": trained.iterations,
        "seconds": trained.seconds,
        "parameters": count_parameters(build_model(cell.model)),
        "device": trained.device,
        "precision": trained.precision,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "scores": scored.results[0].scores.as_json(),
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


if __name__ == "__main__":
    app()

"""Runs, or resumes, the ablation of augmentations and recipe steps, and renders it.

    python benchmarks/ablation.py run pfcn.zarr ccp.zarr nobody.zarr --nobody nobody.zarr \
        --folder runs                                   train and judge every row
    python benchmarks/ablation.py run pfcn.zarr ccp.zarr nobody.zarr --nobody nobody.zarr \
        --folder runs --rows paper,view --seeds 0,1
    python benchmarks/ablation.py render                write docs/training.md

A row is a change to `benchmarks/recipes/ablation.toml`. Its network is trained from random weights
and judged as `benchmarks/robustness.py` does, on the validation photos. The result is a file of its
own in `benchmarks/results/ablation`; one that is there, of the same recipe and photos, is not run
again; one that was stopped by Ctrl-C or SIGTERM goes on from there, one that was killed begins at
its last checkpoint.
"""

import json
import logging
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import tomli_w
import torch
import typer
from ablation_rows import ROWS, change_to_base, row_recipe
from ablation_scores import ablation_scores
from entry import run_app
from result_files import items, photos_sha256, sha256_of, write_result
from robustness_figures import Robustness
from robustness_scores import robustness
from training_document import render_document
from web_portraits import PHOTOS

from pipelines.devices import resolve_device
from pipelines.engines import load_network
from pipelines.errors import ConfigError, LockedError
from pipelines.inference import limit_threads
from pipelines.info import versions
from pipelines.locks import exclusive
from pipelines.runtimes import resolve_compute
from pipelines.store import open_store
from pipelines.train import TrainOptions, TrainSummary, train
from pipelines.whole_files import write_atomically

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "ablation"
DOCUMENT = HERE.parent / "docs" / "training.md"

logger = logging.getLogger("ablation")
app = typer.Typer(add_completion=False, help="The ablation of augmentations and recipe steps.")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A row, to be trained with one seed.

    Attributes:
        row: Its name.
        seed: As of `banet train`.
        datasets: To train on.
        nobody: Photos without people to judge with.
        device: As of `banet train`.
    """

    row: str
    seed: int
    datasets: tuple[Path, ...]
    nobody: Path
    device: str

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.row}-seed{self.seed}"

    @property
    def command(self) -> str:
        """What repeats it, wherever the datasets lie."""
        datasets = [path.name for path in self.datasets]
        options = ["--nobody", self.nobody.name, "--folder", "runs", "--rows", self.row]
        words = [*datasets, *options, "--seeds", str(self.seed)]
        return shlex.join(["python", "benchmarks/ablation.py", "run", *words])

    def facts(self) -> dict[str, Any]:
        """Return what tells the result from that of another trial."""
        stores = [open_store(path) for path in (*self.datasets, self.nobody)]
        return {
            "row": self.row,
            "seed": self.seed,
            "change": change_to_base(self.row),
            "datasets": [path.stem for path in self.datasets],
            "recipe_sha256": sha256_of(row_recipe(self.row)),
            "photos_sha256": photos_sha256(stores),
        }


@app.command()
def run(
    datasets: Annotated[list[Path], typer.Argument(help="Stores to train on, as for banet train.")],
    *,
    nobody: Annotated[Path, typer.Option(help="Store of photos without people, to judge with.")],
    folder: Annotated[Path, typer.Option(help="Folder for the runs.")],
    rows: Annotated[str, typer.Option(help="Names with commas; default all.")] = "",
    seeds: Annotated[str, typer.Option(help="Numbers with commas.")] = "0",
    device: Annotated[str, typer.Option(help="As of banet train.")] = "auto",
) -> None:
    """Train and judge the rows that have no result yet."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # on which training saves its state
    trials = _trials(tuple(datasets), nobody, rows=rows, seeds=seeds, device=device)
    resolve_device(device)
    limit_threads(torch.get_num_threads())  # OpenCV too, which does not know OMP_NUM_THREADS
    for trial in trials:
        out = folder / trial.name
        try:
            with exclusive(folder / f"{trial.name}.lock", place=out):
                _run_unless_there(trial, folder)
        except LockedError:
            logger.info("%s: another process is at it", out)


@app.command()
def render() -> None:
    """Write docs/training.md from the results that are there."""
    write_atomically(DOCUMENT, render_document(RESULTS).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    return run_app(app, arguments)


def _trials(
    datasets: tuple[Path, ...], nobody: Path, *, rows: str, seeds: str, device: str
) -> list[Trial]:
    names = list(dict.fromkeys(items(rows) or ROWS))
    mistakes = [f"--rows {name}: use {', '.join(ROWS)}" for name in names if name not in ROWS]
    mistakes += [f"--seeds {each}: whole numbers" for each in items(seeds) if not each.isdecimal()]
    people = _people(datasets, nobody)
    if not people:
        mistakes.append(f"DATASET: name at least one that shows people, beside {nobody}")
    if len({path.stem for path in people}) < len(people):
        mistakes.append(f"{', '.join(map(str, people))}: two datasets of one name; rename one")
    if mistakes:
        raise ConfigError("; ".join(mistakes))
    return [
        Trial(row=name, seed=int(seed), datasets=datasets, nobody=nobody, device=device)
        for seed in items(seeds)
        for name in names
    ]


def _people(datasets: tuple[Path, ...], nobody: Path) -> list[Path]:
    """Return the datasets of people, each once."""
    shown = [path for path in datasets if path.resolve() != nobody.resolve()]
    return list(dict.fromkeys(shown))


def _run_unless_there(trial: Trial, folder: Path) -> None:
    path = RESULTS / f"{trial.name}.json"
    facts = trial.facts()
    if path.exists() and facts.items() <= json.loads(path.read_text(encoding="utf-8")).items():
        logger.info("%s: there", path)
        return
    commit = _commit()
    started = perf_counter()
    trained = _train(trial, folder)
    trained_at = perf_counter()
    found = _judge(trial, trained)
    seconds = {"training": trained_at - started, "judging": perf_counter() - trained_at}
    result = {
        **facts,
        "command": trial.command,
        **_scores(trained, found),
        "seconds": {name: round(each, 1) for name, each in seconds.items()},
        "weights_sha256": load_network(str(trained.weights)).sha256,
        "iterations": trained.iterations,
        "device": trained.device,
        "precision": trained.precision,
        "threads": torch.get_num_threads(),
        "commit": commit,
        "versions": versions(),
    }
    write_result(path, result)
    together = result["web_portraits"]["together"]["portrait_iou"]
    logger.info("%s: portrait IoU of the web portraits %.4f", path, together)


def _commit() -> str | None:
    """Return the commit of this checkout: what training does changes between releases too."""
    command = ["git", "-C", str(HERE), "rev-parse", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip() or None


def _scores(trained: TrainSummary, found: Robustness) -> dict[str, Any]:
    validation = trained.best["validation"]
    assert isinstance(validation, dict)
    return ablation_scores(validation, found)


def _train(trial: Trial, folder: Path) -> TrainSummary:
    """Train a row, or go on with it where an earlier process was stopped."""
    out, recipe = folder / trial.name, folder / f"{trial.name}.toml"
    content = tomli_w.dumps(row_recipe(trial.row)).encode()
    resumable = (out / "last").exists()
    if resumable and recipe.read_bytes() != content:
        raise ConfigError(
            f"{out}: a run of another recipe than {trial.row} has today; remove it, or name "
            "another --folder"
        )
    if not resumable:
        shutil.rmtree(out, ignore_errors=True)  # what was killed before it saved anything
    write_atomically(recipe, content)
    return train(
        TrainOptions(
            datasets=trial.datasets,
            out=out,
            recipe=str(recipe),
            seed=trial.seed,
            device=trial.device,
            resume=resumable,
        )
    )


def _judge(trial: Trial, trained: TrainSummary) -> Robustness:
    network = load_network(str(trained.weights))
    device, dtype = resolve_compute(network.name, device=trial.device, precision="auto")
    return robustness(
        network,
        [open_store(path) for path in _people(trial.datasets, trial.nobody)],
        open_store(trial.nobody),
        count=PHOTOS,
        device=device,
        dtype=dtype,
    )


if __name__ == "__main__":
    sys.exit(main())

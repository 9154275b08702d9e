"""Compares training with the bare arithmetic of its steps, and watches its memory.

    python benchmarks/train.py pfcn.zarr ccp.zarr nobody.zarr --json train-cpu.json
    python benchmarks/train.py pfcn.zarr --recipe paper --size 256 --steps 100
    python benchmarks/train.py pfcn.zarr --memory-steps 2000

`overhead` is the wall time of steps as `banet train` takes them, samples, logs and progress
included, over that of as many bare steps (forward, backward, optimizer) on resident random batches
of the same shapes. Both alternate in short stretches, so that whatever else the machine does hits
both alike.

With `--memory-steps` as many steps of small views follow, and the resident memory of the process is
read on the way: `growth` is its mean over the last quarter over that of the second one.
"""

import tempfile
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Annotated

import psutil
import torch
import typer
from entry import told_in_a_sentence
from result_files import write_result

from models import build_model
from models.losses import BANetLoss
from pipelines.allocator import keep_freed_memory
from pipelines.augmentation.render import Batch
from pipelines.batches import BatchSource
from pipelines.checkpoints import WeightsInfo
from pipelines.devices import (
    autocast,
    device_name,
    precision_name,
    resolve_device,
    resolve_precision,
)
from pipelines.draws import Draws
from pipelines.info import versions
from pipelines.peak_memory import forget_process_peak, process_peak
from pipelines.progress import SilentProgress
from pipelines.ranks import Ranks
from pipelines.recipes import Recipe, load_recipe
from pipelines.runlog import RunLog
from pipelines.trainer import Trainer
from pipelines.trainingdata import TrainingData, load_training_data
from pipelines.trainstate import TrainState

STRETCH = 20
"""Steps of one kind before those of the other follow."""

MEMORY_SIZE, MEMORY_BATCH = 96, 4
"""Of the steps during which memory is watched: small, so that many are soon taken."""

READ_EVERY = 20


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """How much longer training takes than its arithmetic.

    Attributes:
        steps: Of either kind.
        training_seconds: Of the steps of `banet train`.
        bare_seconds: Of the bare steps.
        peak_memory_mb: The most that the process held at once.
    """

    steps: int
    training_seconds: float
    bare_seconds: float
    peak_memory_mb: float | None

    @property
    def ratio(self) -> float:
        """Training over bare steps."""
        return self.training_seconds / self.bare_seconds


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Resident memory over many steps.

    Attributes:
        steps: How many.
        resident_mb: Readings, evenly over the steps.
    """

    steps: int
    resident_mb: list[float]

    @property
    def growth(self) -> float:
        """Mean of the last quarter of the readings over that of the second quarter."""
        quarter = len(self.resident_mb) // 4
        return fmean(self.resident_mb[-quarter:]) / fmean(self.resident_mb[quarter : 2 * quarter])


class Bench:
    """A training run that is taken step by step, and bare steps of the same network.

    Args:
        recipe: Of the run; it is not validated.
        data: To train on.
        model: Name in the registry of networks.
        device: Where it trains.
        folder: For what a run leaves behind.
    """

    def __init__(
        self, recipe: Recipe, data: TrainingData, *, model: str, device: torch.device, folder: Path
    ) -> None:
        self._ranks = Ranks(device=device)
        self._dtype = resolve_precision("auto", device)
        self._recipe = recipe
        self._trainer = self._new_trainer(data, model, folder)
        source = BatchSource(Draws(data.training, recipe, seed=0, device=device))
        self._bare = TrainState(build_model(model), recipe, device=device, dtype=self._dtype)
        self._criterion = BANetLoss(refine_weight=recipe.stages[0].refine_weight).to(device)
        self._batches = source.batches(0)

    def overhead(self, steps: int) -> Overhead:
        """Take steps of both kinds in turn."""
        device = self._ranks.device
        training, bare = 0.0, 0.0
        shapes = self._train(STRETCH)[1]  # to warm up
        self._take_bare_steps(shapes)
        forget_process_peak(device)
        for start in range(0, steps, STRETCH):
            seconds, shapes = self._train(min(STRETCH, steps - start))
            training += seconds
            bare += self._take_bare_steps(shapes)
        peak = process_peak(device)
        return Overhead(
            steps=steps,
            training_seconds=round(training, 3),
            bare_seconds=round(bare, 3),
            peak_memory_mb=None if peak is None else round(peak / 1e6, 1),
        )

    def memory(self, steps: int) -> Memory:
        """Train and read the resident memory on the way."""
        process = psutil.Process()
        readings = []
        for _ in range(0, steps, READ_EVERY):
            self._train(READ_EVERY)
            readings.append(round(process.memory_info().rss / 1e6, 1))
        return Memory(steps=steps, resident_mb=readings)

    def _new_trainer(self, data: TrainingData, model: str, folder: Path) -> Trainer:
        state = TrainState(
            build_model(model), self._recipe, device=self._ranks.device, dtype=self._dtype
        )
        log = RunLog(folder, {})
        log.open(resume=False)
        log.begin(0, divergences=0)
        return Trainer(
            recipe=self._recipe,
            data=data,
            state=state,
            log=log,
            ranks=self._ranks,
            seed=0,
            info=WeightsInfo(model=model, temperature=None, size=self._recipe.stages[-1].size),
            progress=SilentProgress(),
        )

    def _train(self, steps: int) -> tuple[float, list[tuple[int, int]]]:
        """Take steps as `banet train` does; return seconds and the shapes of the views."""
        shapes = []
        started = perf_counter()
        for batch in islice(self._batches, steps):
            self._trainer.advance(batch)
            shapes.append((batch.mask.shape[2], batch.mask.shape[3]))
        return self._waited(started), shapes

    def _take_bare_steps(self, shapes: list[tuple[int, int]]) -> float:
        state, stage = self._bare, self._recipe.stages[0]
        optimizer = state.optimizer_for(stage, stage.warmup)
        batches = {shape: self._random_batch(shape) for shape in set(shapes)}
        state.network.train()
        started = perf_counter()
        for shape in shapes:
            image, mask, boundary, valid, _ = batches[shape]
            with autocast(state.device, state.dtype):
                prediction = state.network(image)
            optimizer.zero_grad(set_to_none=True)
            self._criterion(prediction, image, mask, boundary, valid).total.backward()
            optimizer.step()
        return self._waited(started)

    def _random_batch(self, shape: tuple[int, int]) -> Batch:
        views, device = self._recipe.stages[0].batch_size, self._ranks.device
        image = torch.rand(views, 3, *shape, device=device)
        mask = (torch.rand(views, 1, *shape, device=device) > 0.5).float()  # noqa: PLR2004 - half
        return Batch(
            image=image.contiguous(memory_format=self._bare.layout),
            mask=mask,
            boundary=mask,
            valid=torch.ones_like(mask),
        )

    def _waited(self, started: float) -> float:
        if self._ranks.device.type == "cuda":
            torch.cuda.synchronize(self._ranks.device)
        return perf_counter() - started


def main(
    datasets: Annotated[list[Path], typer.Argument(help="Stores to train on.")],
    *,
    recipe: Annotated[str, typer.Option(help="As of banet train; its first stage counts.")] = (
        "pretrain"
    ),
    model: Annotated[str, typer.Option(help="Network.")] = "banet-64",
    size: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    steps: Annotated[int, typer.Option(help="Of either kind.", min=STRETCH)] = 200,
    memory_steps: Annotated[int, typer.Option(help="Steps to watch memory during.", min=0)] = 0,
    device: Annotated[str, typer.Option(help="As of banet train.")] = "auto",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the results.")] = None,
) -> None:
    """Compare training with the bare arithmetic of its steps."""
    keep_freed_memory()
    with told_in_a_sentence():
        place = resolve_device(device)
        loaded = load_recipe(recipe).with_overrides(
            iterations=None, size=size, batch_size=batch_size, learning_rate=None
        )
        data = load_training_data(datasets)
    found = _overhead(loaded, data, model, place, steps)
    typer.echo(
        f"overhead {found.ratio:.3f} ({found.training_seconds:.1f} s over "
        f"{found.bare_seconds:.1f} s, {steps} steps each), peak memory {found.peak_memory_mb} MB"
    )
    results: dict[str, object] = {"overhead": {"ratio": round(found.ratio, 4), **asdict(found)}}
    if memory_steps:
        memory = _memory(loaded, data, model, place, memory_steps)
        typer.echo(f"memory: {memory.growth:.4f} times as much at the end of {memory_steps} steps")
        results["memory"] = {"growth": round(memory.growth, 4), **asdict(memory)}
    if json_file is not None:
        stage = loaded.stages[0]
        results |= {
            "model": model,
            "recipe": recipe,
            "size": stage.size,
            "batch_size": stage.batch_size,
            "device": device_name(place),
            "precision": precision_name(resolve_precision("auto", place)),
            "threads": torch.get_num_threads(),
            "photos": sum(len(each.photos) for each in data.training),
            "versions": versions(),
        }
        write_result(json_file, results)


def _overhead(
    recipe: Recipe, data: TrainingData, model: str, device: torch.device, steps: int
) -> Overhead:
    endless = _without_end(recipe, steps + STRETCH)
    with tempfile.TemporaryDirectory() as folder:
        return Bench(endless, data, model=model, device=device, folder=Path(folder)).overhead(steps)


def _memory(
    recipe: Recipe, data: TrainingData, model: str, device: torch.device, steps: int
) -> Memory:
    small = recipe.with_overrides(
        iterations=None, size=MEMORY_SIZE, batch_size=MEMORY_BATCH, learning_rate=None
    )
    with tempfile.TemporaryDirectory() as folder:
        endless = _without_end(small, steps)
        return Bench(endless, data, model=model, device=device, folder=Path(folder)).memory(steps)


def _without_end(recipe: Recipe, steps: int) -> Recipe:
    """Return the first stage of a recipe, long enough not to be validated meanwhile."""
    longer = replace(recipe.stages[0], iterations=steps + 1)
    return replace(recipe, stages=(longer,), validate_every=steps + 1)


if __name__ == "__main__":
    typer.run(main)

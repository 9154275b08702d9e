"""Training batches: pure functions of seed and iteration, made on the device that trains."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from pipelines.augmentation.photos import TrainingPhoto
from pipelines.augmentation.plan import SamplePlan, plan_sample
from pipelines.augmentation.render import Batch, background_warps, render
from pipelines.augmentation.warp import DevicePhotos, Views, Warp, warp_on_host
from pipelines.inference import limit_threads
from pipelines.recipes import Recipe, Stage
from pipelines.trainingdata import TrainingSet

CPU = torch.device("cpu")

logger = logging.getLogger(__name__)

READERS = 2
"""Processes that read photos from stores that do not fit into memory."""

BATCHES_AHEAD = 4
"""Of each of these processes."""


class Drawn(NamedTuple):
    """What the host contributes to a batch."""

    plans: list[SamplePlan]
    views: Views
    backgrounds: Views


class Draws(Dataset[Drawn]):
    """The host's part of every batch, by iteration; other processes may compute it too.

    Args:
        datasets: What to draw from.
        recipe: Says how, stage by stage.
        seed: Of all randomness.
        device: If it is a GPU, it holds the photos and makes the views.
    """

    def __init__(
        self, datasets: list[TrainingSet], recipe: Recipe, *, seed: int, device: torch.device
    ) -> None:
        # One that was named twice is held once.
        distinct = list(dict.fromkeys(datasets))
        starts = dict(zip(distinct, accumulate(map(_size, distinct), initial=0), strict=False))
        self._ranges = [range(starts[each], starts[each] + _size(each)) for each in datasets]
        self._backgrounds = [starts[each] + index for each in distinct for index in each.empty]
        self._photos: ConcatDataset[TrainingPhoto] = ConcatDataset(
            [each.photos for each in distinct]  # type: ignore[misc] # sequences will do
        )
        self._recipe = recipe
        self._seed = seed
        self._on_device = None if device.type == "cpu" else self._held_by(device)

    def __getitem__(self, iteration: int) -> Drawn:
        """Draw the batch of an iteration, counted from 0."""
        stage, _ = self._recipe.stage_at(iteration)
        rng = np.random.default_rng((self._seed, iteration))
        tall, wide = stage.shapes[rng.integers(len(stage.shapes))]
        size = {"height": round(tall * stage.size), "width": round(wide * stage.size)}
        plans = self._plans(iteration, **size)
        warps = [
            Warp(plan.photo, plan.level, plan.framing, replaced=plan.background is not None)
            for plan in plans
        ]
        return Drawn(
            plans, self._views(warps, **size), self._views(background_warps(plans), **size)
        )

    def _held_by(self, device: torch.device) -> DevicePhotos | None:
        photos = [self._photos[index] for index in range(len(self._photos))]
        try:
            return DevicePhotos(photos, device)
        except torch.OutOfMemoryError:
            logger.info("%s: cannot hold the photos too; the CPU makes views of them", device)
            return None

    def _views(self, warps: list[Warp], *, height: int, width: int) -> Views:
        if self._on_device is not None:
            return self._on_device.warp(warps, height=height, width=width)
        return warp_on_host(self._photos, warps, height=height, width=width)

    def _plans(self, iteration: int, *, height: int, width: int) -> list[SamplePlan]:
        stage, position = self._recipe.stage_at(iteration)
        pool = self._pool(stage)
        # A generator of its own for each sample, so that none depends on its neighbours.
        return [
            plan_sample(
                pool[index],
                self._photos,
                self._backgrounds,
                height=height,
                width=width,
                augmentation=stage.augmentation,
                rng=np.random.default_rng((self._seed, iteration, place)),
            )
            for place, index in enumerate(self._indices(len(pool), position, stage.batch_size))
        ]

    def _pool(self, stage: Stage) -> list[int]:
        chosen = [
            self._ranges[position - 1 if position > 0 else position] for position in stage.datasets
        ] or self._ranges
        return list(chain.from_iterable(chosen))

    def _indices(self, count: int, position: int, batch_size: int) -> list[int]:
        """Walk through one random permutation per epoch."""
        steps = range(position * batch_size, (position + 1) * batch_size)
        epochs = {
            epoch: self._permutation(count, epoch) for epoch in {step // count for step in steps}
        }
        return [int(epochs[step // count][step % count]) for step in steps]

    def _permutation(self, count: int, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self._seed, count, epoch)).permutation(count)


class BatchSource:
    """Yields the batches of a recipe.

    Every batch is a pure function of the seed and the iteration's number, so that a resumed run
    sees what an uninterrupted one would have seen, without any state being kept.

    Args:
        datasets: What to draw from.
        recipe: Says how, stage by stage.
        seed: Of all randomness.
        device: Where the batches are made.
    """

    def __init__(
        self, datasets: list[TrainingSet], recipe: Recipe, *, seed: int, device: torch.device
    ) -> None:
        self._resident = all(each.resident for each in datasets)
        self._draws = Draws(datasets, recipe, seed=seed, device=device if self._resident else CPU)
        self._iterations = recipe.iterations
        self._seed = seed
        self._generator = torch.Generator(device)
        self._device = device

    def batches(self, first: int) -> Iterator[Batch]:
        """Yield the batches from iteration `first` to the end."""
        iterations = range(first, self._iterations)
        drawn = map(self._draws.__getitem__, iterations)
        return _ahead(
            map(self._render, iterations, drawn if self._resident else self._streamed(iterations))
        )

    def batch(self, iteration: int) -> Batch:
        """Make the batch of one iteration, counted from 0."""
        return self._render(iteration, self._draws[iteration])

    def _streamed(self, iterations: range) -> Iterator[Drawn]:
        """Let other processes read photos and draw batches."""
        return iter(
            DataLoader(
                self._draws,
                sampler=iterations,
                batch_size=None,
                num_workers=READERS,
                worker_init_fn=_limit_reader,
                # Threads of zarr and torch do not survive a fork.
                multiprocessing_context="spawn",
                prefetch_factor=BATCHES_AHEAD,
            )
        )

    def _render(self, iteration: int, drawn: Drawn) -> Batch:
        """Do the device's part."""
        seed = np.random.SeedSequence((self._seed, iteration)).generate_state(1)
        return render(
            drawn.plans,
            drawn.views.to(self._device),
            drawn.backgrounds.to(self._device),
            generator=self._generator.manual_seed(int(seed[0])),
        )


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Make each batch in a thread, while the device trains on the last."""
    with ThreadPoolExecutor(1, "batch", initializer=limit_threads, initargs=(1,)) as executor:
        following = executor.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = executor.submit(next, batches, None)
            yield batch


def _size(dataset: TrainingSet) -> int:
    return len(dataset.photos)


def _limit_reader(_worker: int) -> None:
    limit_threads(1)

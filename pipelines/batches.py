"""Training batches: pure functions of seed and iteration, made on the device that trains."""

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from pipelines.augmentation.photos import TrainingPhoto
from pipelines.augmentation.plan import SamplePlan, plan_sample
from pipelines.augmentation.render import Batch, background_warps, joined, render
from pipelines.augmentation.warp import (
    DevicePhotos,
    Views,
    Warp,
    moved,
    pictures_on_host,
    warp_on_host,
)
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
    grounds: Tensor


class Draws(Dataset[Drawn]):
    """The host's part of every batch, by iteration; other processes may compute it too.

    Args:
        datasets: What to draw from.
        recipe: Says how, stage by stage.
        seed: Of all randomness.
        device: If it is a GPU, it holds the photos and makes the views.
        share: Number of this process and count of those that share each batch.
    """

    def __init__(
        self,
        datasets: list[TrainingSet],
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        share: tuple[int, int],
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
        self._share = share
        self._on_device = None if device.type == "cpu" else self._held_by(device)

    def __getitem__(self, iteration: int) -> Drawn:
        """Draw this process's share of the batch of an iteration, counted from 0."""
        return self.draw(iteration, self.places(iteration))

    def places(self, iteration: int) -> range:
        """Return which samples of a batch are this process's share."""
        stage, _ = self._recipe.stage_at(iteration)
        number, count = self._share
        return range(stage.batch_size * number // count, stage.batch_size * (number + 1) // count)

    def draw(self, iteration: int, places: range) -> Drawn:
        """Draw some samples of a batch."""
        stage, _ = self._recipe.stage_at(iteration)
        rng = np.random.default_rng((self._seed, iteration))
        height, width = stage.view_sizes[rng.integers(len(stage.shapes))]
        size = {"height": height, "width": width}
        plans = self._plans(iteration, places, **size)
        warps = [
            Warp(plan.photo, plan.level, plan.framing, replaced=plan.background is not None)
            for plan in plans
        ]
        grounds = background_warps(plans)
        if self._on_device is not None:
            views = self._on_device.warp(warps, **size)
            return Drawn(plans, views, self._on_device.pictures(grounds, **size))
        views = warp_on_host(self._photos, warps, **size)
        return Drawn(plans, views, pictures_on_host(self._photos, grounds, **size))

    def _held_by(self, device: torch.device) -> DevicePhotos | None:
        photos = [self._photos[index] for index in range(len(self._photos))]
        try:
            return DevicePhotos(photos, device)
        except torch.OutOfMemoryError:
            logger.info("%s: cannot hold the photos too; the CPU makes views of them", device)
            return None

    def _plans(self, iteration: int, places: range, *, height: int, width: int) -> list[SamplePlan]:
        stage, position = self._recipe.stage_at(iteration)
        pool = self._pool(stage)
        first = position * stage.batch_size
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
            for place, index in zip(
                places, self._indices(len(pool), [first + place for place in places]), strict=True
            )
        ]

    def _pool(self, stage: Stage) -> list[int]:
        chosen = [
            self._ranges[position - 1 if position > 0 else position] for position in stage.datasets
        ] or self._ranges
        return list(chain.from_iterable(chosen))

    def _indices(self, count: int, steps: list[int]) -> list[int]:
        """Walk through one random permutation per epoch."""
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
        share: Number of this process and count of those that share each batch.
    """

    def __init__(
        self,
        datasets: list[TrainingSet],
        recipe: Recipe,
        *,
        seed: int,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._resident = all(each.resident for each in datasets)
        place = device if self._resident else CPU
        self._draws = Draws(datasets, recipe, seed=seed, device=place, share=share)
        self._iterations = recipe.iterations
        self._device = device
        self._threads = torch.get_num_threads() if device.type == "cpu" else 1
        self._executor = ThreadPoolExecutor(
            self._threads, "batch", initializer=limit_threads, initargs=(1,)
        )

    def batches(self, first: int) -> Iterator[Batch]:
        """Yield the batches from iteration `first` to the end."""
        iterations = range(first, self._iterations)
        if not self._resident:
            return map(self._render, self._streamed(iterations))
        if self._device.type == "cpu":
            # Not ahead of the training step, which would wait for a core that is busy with this.
            return map(self.batch, iterations)
        return self._ahead(iterations)

    def batch(self, iteration: int) -> Batch:
        """Make the batch of one iteration, counted from 0, in as many threads as compute."""
        places = self._draws.places(iteration)
        ends = [len(places) * part // self._threads for part in range(self._threads + 1)]
        parts = [places[start:end] for start, end in pairwise(ends) if start < end]
        return joined(list(self._executor.map(partial(self._part, iteration), parts)))

    def _part(self, iteration: int, places: range) -> Batch:
        return self._render(self._draws.draw(iteration, places))

    def _ahead(self, iterations: range) -> Iterator[Batch]:
        """Make each batch while the device trains on the last."""
        ahead: deque[Future[Batch]] = deque()
        for iteration in iterations:
            ahead.append(
                self._executor.submit(self._part, iteration, self._draws.places(iteration))
            )
            if len(ahead) > 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

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

    def _render(self, drawn: Drawn) -> Batch:
        """Do the device's part."""
        views = Views(*(moved(plane, self._device) for plane in drawn.views))
        return render(drawn.plans, views, moved(drawn.grounds, self._device))


def _size(dataset: TrainingSet) -> int:
    return len(dataset.photos)


def _limit_reader(_worker: int) -> None:
    limit_threads(1)

"""Training batches: pure functions of seed and iteration, made on the device that trains."""

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset

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
from pipelines.devices import is_out_of_memory
from pipelines.inference import limit_threads
from pipelines.readers import available_cores, read_ahead
from pipelines.recipes import Recipe, Stage
from pipelines.stored_photos import StoredPhotos
from pipelines.trainingdata import TrainingSet

CPU = torch.device("cpu")

logger = logging.getLogger(__name__)

DEVICE_SHARE = 0.5
"""Of the free memory of a GPU that photos may take; the training itself needs the rest."""


class Drawn(NamedTuple):
    """What the host contributes to a batch."""

    plans: list[SamplePlan]
    views: Views
    grounds: Tensor

    def share(self) -> None:
        """Move to memory that other processes reach."""
        for plane in (*self.views, self.grounds):
            plane.share_memory_()

    def part(self, places: slice) -> "Drawn":
        """Return what belongs to some of the samples."""
        first, end = (
            len(background_warps(self.plans[:place])) for place in (places.start, places.stop)
        )
        views = Views(*(plane[places] for plane in self.views))
        return Drawn(self.plans[places], views, self.grounds[first:end])


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
        self._keep_photos_of_a_batch(distinct)
        self._warn_of_missing_backgrounds()
        self._on_device = None if device.type == "cpu" else self._held_by(device)

    @property
    def on_device(self) -> bool:
        """Whether a GPU holds the photos."""
        return self._on_device is not None

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
        if fits_device(photos, device):
            try:
                return DevicePhotos(photos, device)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
        logger.info("%s: cannot hold the photos too; the CPU makes views of them", device)
        return None

    def _keep_photos_of_a_batch(self, datasets: list[TrainingSet]) -> None:
        largest = max(stage.batch_size for stage in self._recipe.stages)
        for each in datasets:
            if isinstance(each.photos, StoredPhotos):
                # Every sample may have a photo of its own as background.
                each.photos.kept = 2 * -(-largest // self._share[1])

    def _warn_of_missing_backgrounds(self) -> None:
        replaced = any(stage.augmentation.background > 0 for stage in self._recipe.stages)
        if replaced and not self._backgrounds:
            logger.warning(
                "none of the training photos shows nobody, so that all other backgrounds are made "
                "textures; name a dataset of photos without people too, with black masks"
            )

    def _plans(self, iteration: int, places: range, *, height: int, width: int) -> list[SamplePlan]:
        stage, position = self._recipe.stage_at(iteration)
        pool = self._pool(stage)
        first = position * stage.batch_size
        # A generator of its own for each sample, so that none depends on its neighbours; from 1,
        # because numpy takes a trailing 0 for nothing, which the batch draws from.
        return [
            plan_sample(
                pool[index],
                self._photos,
                self._backgrounds,
                height=height,
                width=width,
                augmentation=stage.augmentation,
                rng=np.random.default_rng((self._seed, iteration, place + 1)),
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
        # Processes that share the batches share the cores, too.
        self._cores = max(1, available_cores() // share[1])
        self._threads = self._thread_count()
        self._executor = ThreadPoolExecutor(
            self._threads, "batch", initializer=limit_threads, initargs=(1,)
        )

    def batches(self, first: int) -> Iterator[Batch]:
        """Yield the batches from iteration `first` to the end.

        Raises:
            StoreError: A photo that memory does not hold cannot be read.
            BanetError: A process that reads photos is gone.
        """
        iterations = range(first, self._iterations)
        if not self._resident:
            return self._streamed(iterations)
        if self._device.type == "cpu":
            # Not ahead of the training step, which would wait for a core that is busy with this.
            return map(self.batch, iterations)
        return self._ahead(iterations)

    def batch(self, iteration: int) -> Batch:
        """Make the batch of one iteration, counted from 0, in as many threads as compute."""
        return _joined_results(self._submitted(iteration))

    def _thread_count(self) -> int:
        """Return how many threads share the work on a batch that falls to this process."""
        if self._device.type == "cpu":
            return torch.get_num_threads()
        host_warps = self._resident and not self._draws.on_device
        return self._cores if host_warps else 1

    def _submitted(self, iteration: int) -> list[Future[Batch]]:
        places = self._draws.places(iteration)
        return [
            self._executor.submit(self._part, iteration, places[part])
            for part in self._parts(len(places))
        ]

    def _parts(self, count: int) -> list[slice]:
        """Divide samples among the threads."""
        ends = [count * part // self._threads for part in range(self._threads + 1)]
        return [slice(start, end) for start, end in pairwise(ends) if start < end]

    def _part(self, iteration: int, places: range) -> Batch:
        return self._render(self._draws.draw(iteration, places))

    def _ahead(self, iterations: range) -> Iterator[Batch]:
        """Make each batch while the device trains on the last."""
        ahead: deque[list[Future[Batch]]] = deque()
        for iteration in iterations:
            ahead.append(self._submitted(iteration))
            if len(ahead) > 1:
                yield _joined_results(ahead.popleft())
        while ahead:
            yield _joined_results(ahead.popleft())

    def _streamed(self, iterations: range) -> Iterator[Batch]:
        """Let other processes read photos and draw batches."""
        for drawn in read_ahead(self._draws, iterations, cores=self._cores):
            # In the same threads as batches of photos in memory, for the same rounding.
            parts = [drawn.part(part) for part in self._parts(len(drawn.plans))]
            yield joined(list(self._executor.map(self._render, parts)))

    def _render(self, drawn: Drawn) -> Batch:
        """Do the device's part."""
        views = Views(*(moved(plane, self._device) for plane in drawn.views))
        return render(drawn.plans, views, moved(drawn.grounds, self._device))


def _joined_results(parts: list[Future[Batch]]) -> Batch:
    return joined([part.result() for part in parts])


def _size(dataset: TrainingSet) -> int:
    return len(dataset.photos)


def fits_device(photos: list[TrainingPhoto], device: torch.device) -> bool:
    """Tell whether a GPU can hold photos beside the training, where it says what is free."""
    if device.type != "cuda":
        return True
    sizes = [[level.distance.shape for level in photo.levels] for photo in photos]
    # Of each level, 5 planes of the greatest height and width.
    frames = np.max(sizes, axis=0).prod(axis=1)
    free, _ = torch.cuda.mem_get_info(device)
    return 5 * len(photos) * int(frames.sum()) <= DEVICE_SHARE * free

"""Training batches: pure functions of seed and iteration, made on the device that trains."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.augmentation.photos import TrainingPhoto
from pipelines.augmentation.plan import SamplePlan, plan_sample
from pipelines.augmentation.render import Batch, background_warps, render
from pipelines.augmentation.warp import Views, Warp, warp_on_host
from pipelines.inference import limit_threads
from pipelines.recipes import Recipe, Stage
from pipelines.trainingdata import TrainingSet


class _Drawn(NamedTuple):
    """What the host contributes to a batch."""

    plans: list[SamplePlan]
    views: Views
    backgrounds: Views


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
        self._photos: list[TrainingPhoto] = list(
            chain.from_iterable(dataset.photos for dataset in datasets)
        )
        ends = np.cumsum([len(dataset.photos) for dataset in datasets])
        self._ranges = [
            range(end - len(dataset.photos), end)
            for end, dataset in zip(ends.tolist(), datasets, strict=True)
        ]
        self._backgrounds = [index for index, photo in enumerate(self._photos) if photo.empty]
        self._recipe = recipe
        self._seed = seed
        self._generator = torch.Generator(device)
        self.device = device

    def batches(self, first: int) -> Iterator[Batch]:
        """Yield the batches from iteration `first` to the end.

        What the host does for a batch it does in a thread, while the device trains on the last.
        """
        with ThreadPoolExecutor(1, "warp", initializer=limit_threads, initargs=(1,)) as executor:
            ahead = None
            for iteration in range(first, self._recipe.iterations):
                drawn = ahead.result() if ahead else self._draw(iteration)
                if iteration + 1 < self._recipe.iterations:
                    ahead = executor.submit(self._draw, iteration + 1)
                yield self._render(iteration, drawn)

    def batch(self, iteration: int) -> Batch:
        """Make the batch of one iteration, counted from 0."""
        return self._render(iteration, self._draw(iteration))

    def _draw(self, iteration: int) -> _Drawn:
        """Do what is the host's part."""
        stage, _ = self._recipe.stage_at(iteration)
        height, width = self._shape(stage, iteration)
        plans = self._plans(iteration, height=height, width=width)
        warps = [
            Warp(plan.photo, plan.level, plan.framing, replaced=plan.background is not None)
            for plan in plans
        ]
        views, backgrounds = (
            warp_on_host(self._photos, each, height=height, width=width)
            for each in (warps, background_warps(plans))
        )
        return _Drawn(plans, views, backgrounds)

    def _render(self, iteration: int, drawn: _Drawn) -> Batch:
        """Do what is the device's part."""
        seed = np.random.SeedSequence((self._seed, iteration)).generate_state(1)
        return render(
            drawn.plans,
            self._photos,
            drawn.views.to(self.device),
            drawn.backgrounds.to(self.device),
            generator=self._generator.manual_seed(int(seed[0])),
        )

    def _shape(self, stage: Stage, iteration: int) -> tuple[int, int]:
        rng = np.random.default_rng((self._seed, iteration))
        tall, wide = stage.shapes[rng.integers(len(stage.shapes))]
        return round(tall * stage.size), round(wide * stage.size)

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

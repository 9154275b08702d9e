"""What the host contributes to training batches: pure functions of seed and iteration."""

import logging
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset

from pipelines.augmentation.photos import TrainingPhoto
from pipelines.augmentation.plan import SamplePlan, plan_sample
from pipelines.augmentation.render import background_warps
from pipelines.augmentation.warp import (
    DevicePhotos,
    Views,
    Warp,
    fits_device,
    pictures_on_host,
    warp_on_host,
)
from pipelines.devices import is_out_of_memory
from pipelines.reading_ahead import map_ahead
from pipelines.recipes import Recipe, Stage
from pipelines.stored_photos import StoredPhotos
from pipelines.trainingdata import TrainingSet

logger = logging.getLogger(__name__)


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
        device: Where batches are made. If it is a GPU and the memory of the host holds the photos,
            it holds them too and makes the views.
        share: Number of this process and count of those that share each batch.

    Attributes:
        iterations: Of the recipe.
        device: Where batches are made.
        resident: Whether the memory of the host holds all photos.
        sharing: Count of the processes that share each batch.
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
        self.iterations = recipe.iterations
        self.device = device
        self.resident = all(each.resident for each in datasets)
        self.sharing = share[1]
        self._awaits_photos = any(
            isinstance(each.photos, StoredPhotos) and each.photos.are_remote for each in datasets
        )
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
        self._pools = {stage: self._pool(stage) for stage in recipe.stages}
        self._keep_photos_of_a_batch(distinct)
        self._warn_of_missing_backgrounds()
        held = self.resident and device.type != "cpu"
        self._on_device = self._held_by(device) if held else None

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
        pool = self._pools[stage]
        first = position * stage.batch_size

        # A generator of its own for each sample, so that none depends on its neighbours; from 1,
        # because numpy takes a trailing 0 for nothing, which the batch draws from.
        def plan(place: int) -> SamplePlan:
            return plan_sample(
                int(pool[_index_of(first + place, len(pool), seed=self._seed)]),
                self._photos,
                self._backgrounds,
                height=height,
                width=width,
                augmentation=stage.augmentation,
                rng=np.random.default_rng((self._seed, iteration, place + 1)),
            )

        mapped = map_ahead if self._awaits_photos else map
        return list(mapped(plan, places))

    def _pool(self, stage: Stage) -> NDArray[np.int64]:
        """Return the indices of all photos that a stage draws from."""
        chosen = [
            self._ranges[position - 1 if position > 0 else position] for position in stage.datasets
        ] or self._ranges
        return np.concatenate([np.asarray(each) for each in chosen])


def _size(dataset: TrainingSet) -> int:
    return len(dataset.photos)


def _index_of(sample: int, count: int, *, seed: int) -> int:
    """Return which of `count` photos is shown as that sample: each once in every epoch."""
    return int(_permutation(seed, count, sample // count)[sample % count])


@lru_cache(maxsize=4)
def _permutation(seed: int, count: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, count, epoch)).permutation(count)

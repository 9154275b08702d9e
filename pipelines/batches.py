"""Training batches: held in memory, augmented ahead of the training step in threads."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.augment import TrainingView, augment
from pipelines.face_prior import Face, face_prior
from pipelines.inference import limit_threads
from pipelines.recipes import Recipe, Stage
from pipelines.trainingdata import LabelledPhoto, TrainingSet

PREFETCHED_PER_THREAD = 2


class Batch(NamedTuple):
    """What a training step needs, as small as it can travel to a device.

    Attributes:
        image: RGB, (B, 3, H, W) uint8 in channels-last strides.
        mask: (B, 1, H, W) uint8, 0-255.
        boundary: (B, 1, H, W) uint8 in {0, 1}.
        valid: (B, 1, H, W) uint8, 0 beyond the frame of the photo.
        prior: Position and shape channels, (B, 3, H, W) float16 in channels-last strides, zero
            for photos without a known face; None if no photo has one. Rounding moves a pixel by
            at most a thousandth of a face.
    """

    image: Tensor
    mask: Tensor
    boundary: Tensor
    valid: Tensor
    prior: Tensor | None = None

    def on(self, device: torch.device) -> "Batch":
        """Move to a device and convert to float32; image and mask come to lie in [0, 1]."""
        planes = [each for each in self if each is not None]
        if device.type == "cuda":
            moved = [each.pin_memory().to(device, non_blocking=True) for each in planes]
        else:
            moved = [each.to(device) for each in planes]
        image, mask, *others = (each.float() for each in moved)
        return Batch(image / 255, mask / 255, *others)


class BatchSource:
    """Yields the batches of a recipe.

    Every batch is a pure function of the seed and the iteration's number, so that a resumed run
    sees what an uninterrupted one would have seen, without any state being kept.

    Args:
        datasets: What to draw from.
        recipe: Says how, stage by stage.
        seed: Of all randomness.
    """

    def __init__(self, datasets: list[TrainingSet], recipe: Recipe, *, seed: int) -> None:
        self._datasets = datasets
        self._recipe = recipe
        self._seed = seed

    def batches(self, first: int, *, threads: int) -> Iterator[Batch]:
        """Yield the batches from iteration `first` to the end, made ahead in `threads` threads."""
        with ThreadPoolExecutor(
            threads, thread_name_prefix="augment", initializer=limit_threads, initargs=(1,)
        ) as executor:
            pending: deque[Future[Batch]] = deque()
            remaining = iter(range(first, self._recipe.iterations))
            for iteration in remaining:
                pending.append(executor.submit(self.batch, iteration))
                if len(pending) > PREFETCHED_PER_THREAD * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def batch(self, iteration: int) -> Batch:
        """Make the batch of one iteration, counted from 0."""
        stage, position = self._recipe.stage_at(iteration)
        rng = np.random.default_rng((self._seed, iteration))
        tall, wide = stage.shapes[rng.integers(len(stage.shapes))]
        pool = self._pool(stage)
        chosen = [pool[index] for index in self._indices(len(pool), position, stage.batch_size)]
        views = [
            augment(
                each.photo,
                each.mask,
                height=round(tall * stage.size),
                width=round(wide * stage.size),
                augmentation=stage.augmentation,
                canonical_width=dataset.canonical_width,
                canny=dataset.canny,
                rng=rng,
            )
            for each, dataset in chosen
        ]
        return _stack(views, [each.face for each, _ in chosen])

    def _pool(self, stage: Stage) -> list[tuple[LabelledPhoto, TrainingSet]]:
        chosen = [
            self._datasets[position - 1 if position > 0 else position]
            for position in stage.datasets
        ] or self._datasets
        return [(photo, each) for each in chosen for photo in each.photos]

    def _indices(self, count: int, position: int, batch_size: int) -> list[int]:
        """Walk through one random permutation per epoch."""
        steps = range(position * batch_size, (position + 1) * batch_size)
        epochs = {
            epoch: self._permutation(count, epoch) for epoch in {step // count for step in steps}
        }
        return [int(epochs[step // count][step % count]) for step in steps]

    def _permutation(self, count: int, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self._seed, count, epoch)).permutation(count)


def _stack(views: list[TrainingView], faces: list[Face | None]) -> Batch:
    def plane(name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(view, name) for view in views])).unsqueeze(1)

    images = torch.from_numpy(np.stack([view.image for view in views]))
    return Batch(
        image=images.permute(0, 3, 1, 2),
        mask=plane("mask"),
        boundary=plane("boundary"),
        valid=plane("valid"),
        prior=_priors(views, faces) if any(faces) else None,
    )


def _priors(views: list[TrainingView], faces: list[Face | None]) -> Tensor:
    priors = [
        face_prior(face and face.in_view(view.to_photo), height=height, width=width)
        for view, face in zip(views, faces, strict=True)
        for height, width in [view.mask.shape]
    ]
    return torch.from_numpy(np.stack(priors).astype(np.float16)).permute(0, 3, 1, 2)

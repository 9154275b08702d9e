"""Batches in parts, for devices whose memory does not hold the features of a whole one."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from models.losses import BANetLoss, LossTerms
from pipelines.augmentation.render import Batch


class MicroBatch(NamedTuple):
    """Some views of a batch, and how much they count.

    The terms of the loss are means over pixels. The sum of a term over all micro-batches, each
    times its share of the pixels, is the term of the whole batch, and so is its gradient. Only
    batch normalisation sees fewer views at a time.

    Attributes:
        batch: The views.
        of_valid: Share of the batch's valid pixels, a scalar: counts for segmentation and boundary.
        of_boundary: Share of the valid pixels in the boundary area, a scalar: for the refine loss.
    """

    batch: Batch
    of_valid: Tensor
    of_boundary: Tensor

    def weigh(self, terms: LossTerms, criterion: BANetLoss) -> LossTerms:
        """Turn the loss of these views into their part of the loss of the batch."""
        return criterion.weighted_sum(
            terms.segmentation * self.of_valid,
            terms.boundary * self.of_valid,
            terms.refine * self.of_boundary,
        )


def micro_batches(
    batch: Batch, *, least: int, mean: Callable[[Tensor], Tensor] = lambda own: own
) -> Iterator[MicroBatch]:
    """Cut a batch into as many parts as can have `least` views each, the larger ones first.

    Args:
        batch: This process's share.
        least: Fewest views of a part.
        mean: Averages over the processes that train together. What their micro-batches count is
            then relative to the whole batch, so that the mean of their gradients is its gradient
            even where their views show more and less of frame and boundary.
    """
    pixels = torch.stack((batch.valid.sum(), (batch.boundary * batch.valid).sum()))
    valid, boundary = mean(pixels)
    for views in cut(batch, parts_of(len(batch.image), least=least)):
        yield MicroBatch(
            views,
            of_valid=views.valid.sum() / valid.clamp_min(1.0),
            of_boundary=(views.boundary * views.valid).sum() / boundary.clamp_min(1.0),
        )


def parts_of(views: int, *, least: int) -> int:
    """Return how many parts views make that have `least` each, or more."""
    return max(1, views // least)


def largest_part(views: int, *, least: int) -> int:
    """Return how many views the largest of these parts has, which takes the most memory."""
    return math.ceil(views / parts_of(views, least=least))


def cut(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into parts that differ by one view at most, the larger ones first."""
    planes = [None if plane is None else plane.tensor_split(parts) for plane in batch]
    return [
        Batch(*(None if plane is None else plane[part] for plane in planes))  # type: ignore[arg-type] # only `prior` is None
        for part in range(parts)
    ]

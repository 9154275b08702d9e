"""Batches in parts, for devices whose memory does not hold the features of a whole one."""

from collections.abc import Iterator
from typing import NamedTuple

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


def micro_batches(batch: Batch, *, least: int) -> Iterator[MicroBatch]:
    """Cut a batch into as many parts as can have `least` views each, the larger ones first."""
    parts = max(1, len(batch.image) // least)
    valid, boundary = batch.valid.sum(), (batch.boundary * batch.valid).sum()
    for views in cut(batch, parts):
        yield MicroBatch(
            views,
            of_valid=views.valid.sum() / valid.clamp_min(1.0),
            of_boundary=(views.boundary * views.valid).sum() / boundary.clamp_min(1.0),
        )


def cut(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into parts that differ by one view at most, the larger ones first."""
    planes = [None if plane is None else plane.tensor_split(parts) for plane in batch]
    return [
        Batch(*(None if plane is None else plane[part] for plane in planes))  # type: ignore[arg-type] # only `prior` is None
        for part in range(parts)
    ]

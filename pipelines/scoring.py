"""Scores of a network on the samples of a store, shared by `train` and `evaluate`."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.metrics import Overlap, boundary_iou, count_overlap, pooled_miou, portrait_iou
from pipelines.images import PERSON_FROM, Pixels
from pipelines.matting import absolute_error, connectivity_error, gradient_error

THRESHOLD = 0.5
"""Probability from which on a pixel counts as portrait in the overlap scores."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores over a set of photos, fractions of 1.

    Attributes:
        samples: Number of photos.
        portrait_iou: Mean over photos of the IoU of the portrait class (PFCN's "mean IoU").
        miou: Mean of both classes' IoU, pooled over all pixels.
        boundary_iou: Mean over photos of the boundary IoU.
        mae: Mean absolute difference between soft mask and target.
        sad: Mean over photos of the sum of absolute differences, in thousands of pixels.
        grad: Mean over photos of the gradient error, see `matting`.
        conn: Mean over photos of the connectivity error, see `matting`.
    """

    samples: int
    portrait_iou: float
    miou: float
    boundary_iou: float
    mae: float
    sad: float
    grad: float
    conn: float

    def as_json(self) -> dict[str, object]:
        """Return the scores as plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PhotoScore:
    """Counts and scores of one photo."""

    overlap: Overlap
    boundary_iou: float
    mae: float
    sad: float
    grad: float
    conn: float

    @property
    def portrait_iou(self) -> float:
        """IoU of the portrait class, a fraction of 1."""
        return float(portrait_iou(self.overlap))


def score_mask(probability: NDArray[np.float32], target: Pixels) -> PhotoScore:
    """Compare a predicted mask, brought to the size of the target, with the target.

    Args:
        probability: (h, w) in [0, 1].
        target: (H, W) uint8, 0-255.
    """
    height, width = target.shape
    predicted = functional.interpolate(
        torch.from_numpy(probability)[None, None],
        size=(height, width),
        mode="bilinear",
        align_corners=False,
    )[0]
    truth = torch.from_numpy(np.ascontiguousarray(target)).unsqueeze(0)
    everywhere = torch.ones_like(truth, dtype=torch.bool)
    person, is_person = predicted >= THRESHOLD, truth >= PERSON_FROM
    alpha, true_alpha = predicted[0].numpy(), target / np.float32(255)
    return PhotoScore(
        overlap=count_overlap(person, is_person, everywhere),
        boundary_iou=float(boundary_iou(person, is_person, everywhere)),
        mae=float(np.abs(alpha - true_alpha).mean()),
        sad=absolute_error(alpha, true_alpha),
        grad=gradient_error(alpha, true_alpha),
        conn=connectivity_error(alpha, true_alpha),
    )


def summarise(scores: list[PhotoScore]) -> Scores:
    """Reduce the scores of single photos to those of the set.

    Raises:
        ValueError: There is no photo.
    """
    if not scores:
        raise ValueError("no photo to score")
    overlap = Overlap(
        *(torch.cat(counts) for counts in zip(*(s.overlap for s in scores), strict=True))
    )
    return Scores(
        samples=len(scores),
        portrait_iou=float(portrait_iou(overlap).mean()),
        miou=pooled_miou(overlap),
        boundary_iou=_mean(score.boundary_iou for score in scores),
        mae=_mean(score.mae for score in scores),
        sad=_mean(score.sad for score in scores),
        grad=_mean(score.grad for score in scores),
        conn=_mean(score.conn for score in scores),
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))

"""Scores of predicted masks. Overlaps are counted once; every score is derived from the counts."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

BOUNDARY_RATIO = 0.02
"""Width of the band of boundary IoU as a share of the image diagonal (Cheng et al. 2021)."""


class Overlap(NamedTuple):
    """Pixel counts of binary masks, each (B,) int64."""

    true_positive: Tensor
    false_positive: Tensor
    false_negative: Tensor
    true_negative: Tensor


def count_overlap(prediction: Tensor, target: Tensor, valid: Tensor) -> Overlap:
    """Count agreeing and disagreeing pixels, photo by photo.

    Args:
        prediction: (B, H, W) bool, True where a person is predicted.
        target: (B, H, W) bool.
        valid: (B, H, W) bool, False for pixels that do not count.
    """

    def count(pixels: Tensor) -> Tensor:
        return (pixels & valid).flatten(1).sum(dim=1)

    return Overlap(
        true_positive=count(prediction & target),
        false_positive=count(prediction & ~target),
        false_negative=count(~prediction & target),
        true_negative=count(~prediction & ~target),
    )


def intersection_over_union(intersection: Tensor, union: Tensor) -> Tensor:
    """Divide counts elementwise to float64; 1 where the union is empty, since nothing is wrong."""
    return torch.where(union > 0, intersection.double() / union.clamp_min(1), 1.0)


def portrait_iou(overlap: Overlap) -> Tensor:
    """IoU of the portrait class of each photo, (B,) float64 in [0, 1].

    Its mean over a test set is the "mean IoU" of PFCN (Shen et al. 2016) and of Table 2.
    """
    union = overlap.true_positive + overlap.false_positive + overlap.false_negative
    return intersection_over_union(overlap.true_positive, union)


def pooled_miou(overlap: Overlap) -> float:
    """Mean of the IoUs of both classes, counts pooled over all photos, in [0, 1]."""
    pooled = Overlap(*(counts.sum(dim=0, keepdim=True) for counts in overlap))
    errors = pooled.false_positive + pooled.false_negative
    portrait = intersection_over_union(pooled.true_positive, pooled.true_positive + errors)
    background = intersection_over_union(pooled.true_negative, pooled.true_negative + errors)
    return float((portrait + background) / 2)


def boundary_band(mask: Tensor, valid: Tensor, *, ratio: float = BOUNDARY_RATIO) -> Tensor:
    """Return the pixels of each mask that lie near its contour, (B, H, W) bool.

    The band is the mask minus its erosion by `ratio` of the diagonal of the valid area.
    As in the reference code of boundary IoU, the frame of the photo counts as a contour.
    """
    bands = []
    for single, area in zip(mask & valid, valid, strict=True):
        rows, columns = area.any(dim=1).sum().item(), area.any(dim=0).sum().item()
        steps = max(1, round(ratio * (rows**2 + columns**2) ** 0.5))
        # Repeated erosion by a 3x3 square is one by a larger square, which is separable; beyond
        # the frame there is no person.
        outside = F.pad((~single).float()[None], (steps,) * 4, value=1.0)
        outside = F.max_pool2d(outside, (2 * steps + 1, 1), stride=1)
        outside = F.max_pool2d(outside, (1, 2 * steps + 1), stride=1)
        bands.append(single & (outside[0] > 0))
    return torch.stack(bands)


def boundary_iou(
    prediction: Tensor, target: Tensor, valid: Tensor, *, ratio: float = BOUNDARY_RATIO
) -> Tensor:
    """Boundary IoU (Cheng et al. 2021, Eq. 2) of each photo, (B,) float64 in [0, 1].

    Args:
        prediction: (B, H, W) bool.
        target: (B, H, W) bool.
        valid: (B, H, W) bool, False for pixels that do not count.
        ratio: Width of the band as a share of the diagonal of the valid area.
    """
    predicted, true = (boundary_band(mask, valid, ratio=ratio) for mask in (prediction, target))
    return portrait_iou(count_overlap(predicted, true, valid))

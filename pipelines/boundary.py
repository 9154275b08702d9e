"""Boundary targets made from masks: Canny edges, dilated adaptively (Eq. 1, figure 4)."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.images import OPAQUE, PERSON_FROM, Pixels

CANONICAL_SIZE = 512
"""Size of the frame, in pixels, at which the canonical width W of Eq. 1 is meant."""

CANNY_THRESHOLDS = (100.0, 200.0)
"""Paper is silent. The mask is binary, so that any sane pair gives the same edges."""


def dilation_kernel_size(mask: NDArray[np.bool_], *, canonical_width: float) -> int:
    """Compute K of Eq. 1, the portrait's share of the photo times the canonical width.

    Paper is silent: rounding. It is to the nearest integer, and at least 1.

    Args:
        mask: True where there is a person, any shape; only pixels of the photo, no padding.
        canonical_width: W of Eq. 1 in pixels of this mask.
    """
    share = float(mask.mean()) if mask.size else 0.0
    return max(1, round(share * canonical_width))


def boundary_target(
    mask: Pixels,
    *,
    canonical_width: float,
    canny: tuple[float, float] = CANNY_THRESHOLDS,
) -> tuple[Pixels, int]:
    """Make the target of the boundary attention map (Eq. 4) from a mask.

    Args:
        mask: (H, W) uint8, 0-255, without padding.
        canonical_width: W of Eq. 1 in pixels of this mask.
        canny: Lower and upper threshold of the hysteresis.

    Returns:
        The target, (H, W) uint8 in {0, 1}, and the kernel size K that its edges were dilated by.
    """
    kernel_size = dilation_kernel_size(mask >= PERSON_FROM, canonical_width=canonical_width)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (kernel_size, kernel_size))
    dilated = cv2.dilate(mask_edges(mask, canny=canny), kernel)
    return (dilated > 0).astype(np.uint8), kernel_size


def mask_edges(mask: Pixels, *, canny: tuple[float, float] = CANNY_THRESHOLDS) -> Pixels:
    """Find the edges of a mask, (H, W) uint8: 255 on the edge, else 0.

    Args:
        mask: 0-255.
        canny: Lower and upper threshold of the hysteresis.
    """
    _, person = cv2.threshold(mask, PERSON_FROM - 1, OPAQUE, cv2.THRESH_BINARY)
    return np.asarray(cv2.Canny(person, *canny), np.uint8)

"""Drawing masks from the shapes of annotations."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import PhotoError
from pipelines.images import MAX_PIXELS, Pixels

DRAWN = "drawn"
"""The convention of a mask that was drawn."""

POINTS = 3
"""A polygon of fewer points covers nothing."""


def blank_mask(height: Any, width: Any) -> Pixels:
    """Return a mask of nobody, (height, width) uint8.

    Raises:
        PhotoError: They are no numbers of pixels that a photo has.
    """
    for side in (height, width):
        if not isinstance(side, int) or isinstance(side, bool) or side < 1:
            raise PhotoError(f"height {height!r} and width {width!r} are no numbers of pixels")
    if height * width > MAX_PIXELS:
        raise PhotoError(f"{width} x {height} pixels, the limit is {MAX_PIXELS:,}")
    return np.zeros((height, width), np.uint8)


def checked_points(points: Any, mask: Pixels) -> NDArray[np.float64]:
    """Return the points of a polygon, (N, 2) float64, x and y in pixels.

    Those that lie as far beside the mask as it is large cannot be meant, and would make those who
    draw them run out of numbers or memory.

    Raises:
        PhotoError: They are no points, or lie far outside of the mask.
    """
    try:
        array = np.asarray(points, np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError) as error:
        raise PhotoError("a polygon is not a list of pairs of numbers") from error
    height, width = mask.shape
    size = np.array([width, height])
    # Comparisons with what is not a number are false.
    inside = (array >= -size) & (array <= 2 * size)
    if not inside.all():
        x, y = array[~inside.all(axis=1)][0].tolist()
        raise PhotoError(f"the point {x:g}, {y:g} lies outside of {width} x {height} pixels")
    return array


def paste(mask: Pixels, part: Pixels, origin: Sequence[int]) -> Pixels:
    """Return a plane of the size of a mask with a part put where it belongs, cut at the edges.

    Args:
        mask: (H, W).
        part: (h, w).
        origin: x and y of the upper left pixel of the part.

    Raises:
        PhotoError: It lies outside of the mask.
    """
    plane = np.zeros_like(mask)
    x, y = origin
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + part.shape[1], mask.shape[1]), min(y + part.shape[0], mask.shape[0])
    if left >= right or top >= bottom:
        raise PhotoError(
            f"a bitmap at {x}, {y} lies outside of {mask.shape[1]} x {mask.shape[0]} pixels"
        )
    plane[top:bottom, left:right] = part[top - y : bottom - y, left - x : right - x]
    return plane

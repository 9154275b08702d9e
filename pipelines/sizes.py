"""Sizes of pictures: those that networks and people see them in, and how they get there."""

import cv2

from pipelines.images import Pixels

STRIDE = 16
"""Networks see photos whose sides are multiples of so many pixels."""


def resize(pixels: Pixels, *, height: int, width: int) -> Pixels:
    """Resize (H, W) or (H, W, 3) uint8: by area when it shrinks, bilinearly when it grows."""
    # OpenCV halves so fast that large photos reach a small size in a quarter of the time. It rounds
    # up, by an eighth of a grey level in the mean.
    while _can_be_halved(pixels, height=height, width=width):
        half = pixels.shape[1] // 2, pixels.shape[0] // 2
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=method)  # type: ignore[return-value]


def fitted_size(*, height: float, width: float, long_side: float) -> tuple[int, int]:
    """Return (height, width) scaled so that the longer one is `long_side`, each at least 1."""
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def working_size(
    *, height: float, width: float, long_side: float, multiple: int = STRIDE
) -> tuple[int, int]:
    """Return (height, width) for a network: as `fitted_size`, but multiples of a number of pixels.

    Features that are a fraction larger than their share of the photo lie beside it once they are
    enlarged. At 320 x 213 pixels the masks of BANet-64 lie a pixel to the left, which a photo that
    is wider or narrower by a few per cent avoids, at a cost that no score shows.
    """
    fitted = fitted_size(height=height, width=width, long_side=long_side)
    height, width = (max(1, round(side / multiple)) * multiple for side in fitted)
    return height, width


def _can_be_halved(pixels: Pixels, *, height: int, width: int) -> bool:
    """Tell whether half of a picture is a whole number of pixels, and large enough.

    It is to be twice as large as what is wanted: from little more, sharp edges would come out
    softer than from the whole picture.
    """
    rows, columns = pixels.shape[:2]
    is_even = rows % 2 == 0 and columns % 2 == 0
    return is_even and rows >= 4 * height and columns >= 4 * width

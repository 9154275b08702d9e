"""Fitting a photo of any shape into the square frame of a store."""

from typing import Literal, get_args

import numpy as np

from pipelines.images import Pixels, fitted_size, resize

Fit = Literal["letterbox", "stretch", "crop"]
FITS: tuple[Fit, ...] = get_args(Fit)


def fit_frame(
    photo: Pixels, mask: Pixels, *, size: int, fit: Fit
) -> tuple[Pixels, Pixels, tuple[int, int, int, int]]:
    """Bring photo and mask into a square frame.

    Args:
        photo: RGB, (H, W, 3) uint8.
        mask: (H, W) uint8.
        size: Side S of the frame.
        fit: `letterbox` keeps all of the photo and pads with black, `stretch` changes its
            proportions, `crop` keeps its central square.

    Returns:
        Photo (S, S, 3), mask (S, S), and y, x, height, width of the photo inside the frame.
    """
    height, width = photo.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = slice(top, top + side), slice(left, left + side)
        photo, mask = photo[square], mask[square]
    fitted = fitted_size(height=height, width=width, long_side=size)
    height, width = fitted if fit == "letterbox" else (size, size)
    y, x = (size - height) // 2, (size - width) // 2
    frame = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
    frame[0][y : y + height, x : x + width] = resize(photo, height=height, width=width)
    frame[1][y : y + height, x : x + width] = resize(mask, height=height, width=width)
    return *frame, (y, x, height, width)

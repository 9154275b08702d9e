"""Fitting a photo of any shape into the square frame of a store."""

from typing import Literal, get_args

import numpy as np

from pipelines.affine import AffineMap, compose, resizing, shift
from pipelines.images import Pixels
from pipelines.sizes import fitted_size, resize

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
    top, left, height, width = _shown(photo.shape[0], photo.shape[1], fit)
    shown = slice(top, top + height), slice(left, left + width)
    photo, mask = photo[shown], mask[shown]
    y, x, height, width = _place(height, width, size=size, fit=fit)
    frame = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.uint8)
    frame[0][y : y + height, x : x + width] = resize(photo, height=height, width=width)
    frame[1][y : y + height, x : x + width] = resize(mask, height=height, width=width)
    return *frame, (y, x, height, width)


def frame_map(*, height: int, width: int, size: int, fit: Fit) -> AffineMap:
    """Return the map from the pixels of a photo (H, W) to those of its frame, see `fit_frame`."""
    top, left, height, width = _shown(height, width, fit)
    y, x, new_height, new_width = _place(height, width, size=size, fit=fit)
    resized = compose(resizing((height, width), (new_height, new_width)), shift(-left, -top))
    return compose(shift(x, y), resized)


def _shown(height: int, width: int, fit: Fit) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the part of a photo that its frame shows."""
    if fit != "crop":
        return 0, 0, height, width
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def _place(height: int, width: int, *, size: int, fit: Fit) -> tuple[int, int, int, int]:
    """Return y, x, height and width inside the frame for a part of a photo."""
    fitted = fitted_size(height=height, width=width, long_side=size)
    height, width = fitted if fit == "letterbox" else (size, size)
    return (size - height) // 2, (size - width) // 2, height, width

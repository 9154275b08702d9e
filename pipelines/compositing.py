"""Putting cut-out people before another background, without a halo of the old one.

At soft edges the colour of a photo is a mixture of person and background. What belongs to the
person is estimated after Forte, "Approximate Fast Foreground Colour Estimation" (ICIP 2021):
foreground F and background B are local means of the photo weighted by alpha and by 1 - alpha,
and F is corrected by what the mixture of both leaves unexplained. As there, a first estimate from
far around (here at a small size) fills in where a second one from close by has nothing to see.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from pipelines.images import Pixels, fitted_size, resize

Floats = NDArray[np.float32]
Colour = tuple[int, int, int]

COARSE_SIDE = 384
"""Longer side in pixels of the small photo for estimates from far around."""

COARSE_RADIUS = 24
"""Radius of the mean in that small photo."""

FINE_RADIUS_RATIO = 1 / 80
"""Radius of the mean in the whole photo, as a share of its longer side."""

BACKGROUND_BLUR_RATIO = 1 / 50
"""Standard deviation of a blurred background, as a share of the longer side of the photo."""

TILE = 256
"""Side in pixels of the tiles that are estimated one by one, where they hold a soft edge."""

PURITY = 16
"""Power of the weights of the local means: mixed pixels hardly count where pure ones are near."""

EPSILON = 1e-3
"""Weight of the estimate from far around where nothing close by has any."""


def parse_colour(text: str) -> Colour:
    """Read a colour such as `white`, `#fff` or `#4080ff`; an alpha value is dropped.

    Raises:
        ValueError: It is none.
    """
    red, green, blue = ImageColor.getrgb(text)[:3]
    return red, green, blue


def estimate_foreground(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Estimate the colours of the person without their background.

    Args:
        pixels: RGB photo, (H, W, 3).
        alpha: Its mask, (H, W), 0 to 255.

    Returns:
        RGB, (H, W, 3): estimates where alpha is neither 0 nor 255, elsewhere the photo itself.
    """
    soft = (alpha > 0) & (alpha < 255)
    if not soft.any():
        return pixels
    height, width = alpha.shape
    coarse = _coarse_estimate(pixels, alpha)
    radius = max(2, round(max(height, width) * FINE_RADIUS_RATIO))
    foreground = pixels.copy()
    for rows, columns in _tiles(soft):
        estimate = _fine_estimate(pixels, alpha, coarse, rows, columns, radius=radius)
        np.copyto(foreground[rows, columns], estimate, where=soft[rows, columns][..., None])
    return foreground


def cut_out(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Return the person as RGBA (H, W, 4); what is fully transparent is black, to pack well."""
    foreground = estimate_foreground(pixels, alpha)
    rgba = np.empty((*alpha.shape, 4), np.uint8)
    rgba[..., :3] = foreground
    rgba[..., 3] = alpha
    rgba[alpha == 0] = 0
    return rgba


def put_before(pixels: Pixels, alpha: Pixels, background: Pixels) -> Pixels:
    """Blend the person into `background` (H, W, 3), all RGB; pure where alpha is 0 or 255."""
    foreground = estimate_foreground(pixels, alpha)
    blended = background.copy()
    np.copyto(blended, pixels, where=(alpha == 255)[..., None])
    soft = (alpha > 0) & (alpha < 255)
    share = alpha[soft].astype(np.float32)[:, None] / 255
    mixture = foreground[soft] * share + background[soft] * (1 - share)
    blended[soft] = mixture.round().astype(np.uint8)
    return blended


def plain_background(colour: Colour, *, height: int, width: int) -> Pixels:
    """Return an area of one colour, RGB (height, width, 3)."""
    return np.full((height, width, 3), colour, np.uint8)


def picture_background(picture: Pixels, *, height: int, width: int) -> Pixels:
    """Crop a picture around its middle and resize it to fill (height, width, 3)."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    rows = min(picture.shape[0], max(1, round(height / scale)))
    columns = min(picture.shape[1], max(1, round(width / scale)))
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    cropped = picture[top : top + rows, left : left + columns]
    return resize(np.ascontiguousarray(cropped), height=height, width=width)


def blurred_background(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Blur the background of a photo, RGB (H, W, 3), without the person bleeding into it."""
    height, width = alpha.shape
    small, share = _shrink(pixels, alpha)
    sigma = max(small.shape[:2]) * BACKGROUND_BLUR_RATIO
    weight = 1 - share
    # A wide second blur gives the place of the person a colour where the first reaches nothing.
    blurred = _weighted_gaussian(small, weight, sigma=sigma)
    total = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    filled = _weighted_gaussian(small, weight + EPSILON, sigma=4 * sigma)
    mixture = (blurred * total + filled * EPSILON) / (total + EPSILON)
    return resize(_to_uint8(mixture), height=height, width=width)


def _weighted_gaussian(image: Floats, weight: Floats, *, sigma: float) -> Floats:
    total = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(image * weight[..., None], (0, 0), sigma)
    return np.asarray(blurred / np.maximum(total, 1e-6), np.float32)


def _coarse_estimate(pixels: Pixels, alpha: Pixels) -> tuple[Floats, Floats]:
    """Estimate foreground and background, each (h, w, 3), at a small size."""
    small, share = _shrink(pixels, alpha)
    overall = small.reshape(-1, 3).mean(axis=0)
    anywhere = np.broadcast_to(overall, small.shape)
    return _local_means(small, share, anywhere, anywhere, radius=COARSE_RADIUS)


def _fine_estimate(
    pixels: Pixels,
    alpha: Pixels,
    coarse: tuple[Floats, Floats],
    rows: slice,
    columns: slice,
    *,
    radius: int,
) -> Pixels:
    """Estimate the foreground of one tile, looking `radius` pixels beyond it."""
    height, width = alpha.shape
    top, left = max(0, rows.start - radius), max(0, columns.start - radius)
    bottom, right = min(height, rows.stop + radius), min(width, columns.stop + radius)
    image = pixels[top:bottom, left:right].astype(np.float32)
    share = alpha[top:bottom, left:right].astype(np.float32) / 255
    far = [_enlarge_part(level, alpha.shape, top, left, image.shape) for level in coarse]
    foreground, background = _local_means(image, share, far[0], far[1], radius=radius)
    share = share[..., None]
    unexplained = image - share * foreground - (1 - share) * background
    estimate = foreground + share * unexplained
    return _to_uint8(estimate[rows.start - top :, columns.start - left :])[
        : rows.stop - rows.start, : columns.stop - columns.start
    ]


def _local_means(
    image: Floats, share: Floats, far_foreground: Floats, far_background: Floats, *, radius: int
) -> tuple[Floats, Floats]:
    """Average (h, w, 3) around each pixel, weighted by powers of `share` (h, w) and 1 - `share`."""
    means = []
    for weight, far in ((share, far_foreground), (1 - share, far_background)):
        pure = weight**PURITY
        mean = _box(image * pure[..., None], radius) + EPSILON * far
        means.append(mean / (_box(pure, radius)[..., None] + EPSILON))
    return means[0], means[1]


def _box(values: Floats, radius: int) -> Floats:
    side = 2 * radius + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


def _shrink(pixels: Pixels, alpha: Pixels) -> tuple[Floats, Floats]:
    """Bring a photo to the coarse size, as (h, w, 3) in 0 to 255, and its alpha, (h, w) in [0, 1]."""
    height, width = alpha.shape
    if max(height, width) > COARSE_SIDE:
        height, width = fitted_size(height=height, width=width, long_side=COARSE_SIDE)
    small = resize(pixels, height=height, width=width).astype(np.float32)
    return small, resize(alpha, height=height, width=width).astype(np.float32) / 255


def _enlarge_part(
    level: Floats, whole: tuple[int, ...], top: int, left: int, part: tuple[int, ...]
) -> Floats:
    """Cut the part of a coarse estimate that lies under a part of the whole photo, enlarged."""
    scale_y, scale_x = level.shape[0] / whole[0], level.shape[1] / whole[1]
    first_y, first_x = int(top * scale_y), int(left * scale_x)
    last_y = min(level.shape[0], int((top + part[0] - 1) * scale_y) + 1)
    last_x = min(level.shape[1], int((left + part[1] - 1) * scale_x) + 1)
    under = np.ascontiguousarray(level[first_y:last_y, first_x:last_x])
    return np.asarray(cv2.resize(under, (part[1], part[0])), np.float32)


def _tiles(soft: NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
    """Yield tiles that together cover all soft pixels, each shrunk to its soft pixels."""
    height, width = soft.shape
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            x, y, columns, rows = cv2.boundingRect(
                soft[top : top + TILE, left : left + TILE].astype(np.uint8)
            )
            if rows:
                yield slice(top + y, top + y + rows), slice(left + x, left + x + columns)


def _to_uint8(values: Floats) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)

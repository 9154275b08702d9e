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

from pipelines.images import OPAQUE, Pixels, Strips, fitted_size, resize

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
"""Side in pixels of the tiles that are estimated one by one, where they hold a soft edge. Pictures
are composed in strips of the same height."""

EPSILON = 1e-3
"""Weight of the estimate from far around where nothing close by has any."""


def parse_colour(text: str) -> Colour:
    """Read a colour such as `white`, `#fff` or `#4080ff`; an alpha value is dropped.

    Raises:
        ValueError: It is none, or one with values beyond 255.
    """
    red, green, blue = ImageColor.getrgb(text)[:3]
    if not all(0 <= value <= OPAQUE for value in (red, green, blue)):
        raise ValueError(f"{text}: values of a colour go from 0 to {OPAQUE}")
    return red, green, blue


def estimate_foreground(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Estimate the colours of the person without their background.

    Args:
        pixels: RGB photo, (H, W, 3).
        alpha: Its mask, (H, W), 0 to 255.

    Returns:
        RGB, (H, W, 3): estimates where alpha is neither 0 nor 255, elsewhere the photo itself.
    """
    foreground = np.empty_like(pixels)
    for rows, strip in _foreground_strips(pixels, alpha):
        foreground[rows] = strip
    return foreground


def cut_out(pixels: Pixels, alpha: Pixels) -> Strips:
    """Return the person as RGBA (H, W, 4); what is fully transparent is black, to pack well.

    Args:
        pixels: As for `estimate_foreground`; not to be changed before the strips are drawn.
        alpha: Likewise.
    """
    height, width = alpha.shape
    return Strips(height=height, width=width, channels=4, rows=_cut_out_strips(pixels, alpha))


def put_before(pixels: Pixels, alpha: Pixels, background: Pixels) -> Strips:
    """Blend the person into `background` (H, W, 3), all RGB; pure where alpha is 0 or 255.

    Args:
        pixels: As for `estimate_foreground`; not to be changed before the strips are drawn.
        alpha: Likewise.
        background: Likewise.
    """
    height, width = alpha.shape
    rows = _blended_strips(pixels, alpha, background)
    return Strips(height=height, width=width, channels=3, rows=rows)


def plain_background(colour: Colour, *, height: int, width: int) -> Pixels:
    """Return an area of one colour, RGB (height, width, 3), whose rows are one in memory."""
    row = np.full((width, 3), colour, np.uint8)
    return np.broadcast_to(row, (height, width, 3))


def picture_background(picture: Pixels, *, height: int, width: int) -> Pixels:
    """Crop a picture around its middle and resize it to fill (height, width, 3)."""
    scale = max(height / picture.shape[0], width / picture.shape[1])
    rows = min(picture.shape[0], max(1, round(height / scale)))
    columns = min(picture.shape[1], max(1, round(width / scale)))
    top, left = (picture.shape[0] - rows) // 2, (picture.shape[1] - columns) // 2
    cropped = picture[top : top + rows, left : left + columns]
    return resize(cropped, height=height, width=width)


def blurred_background(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Blur the background of a photo, RGB (H, W, 3), without the person bleeding into it."""
    height, width = alpha.shape
    small, share = _shrink(pixels, alpha)
    sigma = max(small.shape[:2]) * BACKGROUND_BLUR_RATIO
    weight = 1 - share
    # In the middle of the person the blur finds no background: a colour from far around fills it.
    far = _local_mean(small, weight, _everywhere(small), radius=round(8 * sigma))
    total = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None] + EPSILON
    blurred = cv2.GaussianBlur(small * weight[..., None], (0, 0), sigma) + EPSILON * far
    return resize(_to_uint8(blurred / total), height=height, width=width)


def _foreground_strips(pixels: Pixels, alpha: Pixels) -> Iterator[tuple[slice, Pixels]]:
    """Yield what `estimate_foreground` returns in strips, with the rows that each takes."""
    estimator: _ForegroundEstimator | None = None
    for top in range(0, len(alpha), TILE):
        rows = slice(top, min(top + TILE, len(alpha)))
        soft = (alpha[rows] > 0) & (alpha[rows] < OPAQUE)
        strip = pixels[rows]
        if soft.any():
            estimator = estimator or _ForegroundEstimator(pixels, alpha)
            strip = strip.copy()
            for part, columns in _tiles(soft):
                estimate = estimator.estimate(slice(top + part.start, top + part.stop), columns)
                np.copyto(strip[part, columns], estimate, where=soft[part, columns][..., None])
        yield rows, strip


def _cut_out_strips(pixels: Pixels, alpha: Pixels) -> Iterator[Pixels]:
    for rows, foreground in _foreground_strips(pixels, alpha):
        share = alpha[rows]
        if not share.any():
            yield np.zeros((*share.shape, 4), np.uint8)
            continue
        rgba = cv2.merge([*cv2.split(foreground), share])
        yield np.asarray(cv2.copyTo(rgba, share, np.zeros_like(rgba)))


def _blended_strips(pixels: Pixels, alpha: Pixels, background: Pixels) -> Iterator[Pixels]:
    for rows, foreground in _foreground_strips(pixels, alpha):
        behind = np.ascontiguousarray(background[rows])
        if not alpha[rows].any():
            yield behind
            continue
        share = _to_share(alpha[rows])
        yield np.asarray(cv2.blendLinear(foreground, behind, share, 1 - share), np.uint8)


class _ForegroundEstimator:
    """Estimates the foreground of a photo tile by tile.

    Args:
        pixels: RGB photo, (H, W, 3).
        alpha: Its mask, (H, W).
    """

    def __init__(self, pixels: Pixels, alpha: Pixels) -> None:
        self._pixels = pixels
        self._alpha = alpha
        self._radius = max(2, round(max(alpha.shape) * FINE_RADIUS_RATIO))
        small, share = _shrink(pixels, alpha)
        anywhere = _everywhere(small)
        self._far = _local_means(small, share, (anywhere, anywhere), radius=COARSE_RADIUS)

    def estimate(self, rows: slice, columns: slice) -> Pixels:
        """Return the colours of one tile, (h, w, 3), valid where alpha is above 0."""
        margin = self._radius
        top, left = max(0, rows.start - margin), max(0, columns.start - margin)
        around = slice(top, rows.stop + margin), slice(left, columns.stop + margin)
        image = self._pixels[around].astype(np.float32)
        share = _to_share(self._alpha[around])
        far = self._far_part(top, left, share.shape)
        foreground, background = _local_means(image, share, far, radius=margin)
        weight = share[..., None]
        unexplained = image - weight * foreground - (1 - weight) * background
        inside = (
            slice(rows.start - top, rows.stop - top),
            slice(columns.start - left, columns.stop - left),
        )
        return _to_uint8((foreground + weight * unexplained)[inside])

    def _far_part(self, top: int, left: int, size: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Enlarge the part of the estimates from far around that lies under a part of the photo."""
        small, whole = self._far[0].shape, self._alpha.shape
        under = tuple(
            slice(start * small[axis] // whole[axis], -(-stop * small[axis] // whole[axis]))
            for axis, (start, stop) in enumerate(((top, top + size[0]), (left, left + size[1])))
        )
        foreground, background = (
            np.asarray(cv2.resize(level[under], (size[1], size[0])), np.float32)
            for level in self._far
        )
        return foreground, background


def _local_means(
    image: Floats, share: Floats, far: tuple[Floats, Floats], *, radius: int
) -> tuple[Floats, Floats]:
    """Estimate foreground and background, each (h, w, 3), around every pixel.

    Args:
        image: (h, w, 3).
        share: Of the foreground in it, (h, w) in [0, 1].
        far: What to take for foreground and background where none is near, each (h, w, 3).
        radius: How far is near.
    """
    return (
        _local_mean(image, _purify(share), far[0], radius=radius),
        _local_mean(image, _purify(1 - share), far[1], radius=radius),
    )


def _purify(weight: Floats) -> Floats:
    """Raise weights to the 16th power: mixed pixels hardly count where pure ones are near."""
    for _ in range(4):  # an order of magnitude faster than a power of floats
        weight = weight * weight
    return weight


def _everywhere(image: Floats) -> Floats:
    """Return an area as large as `image`, (h, w, 3), of its mean colour."""
    return np.broadcast_to(image.reshape(-1, 3).mean(axis=0), image.shape)


def _local_mean(image: Floats, weight: Floats, far: Floats, *, radius: int) -> Floats:
    mean = _box(image * weight[..., None], radius) + EPSILON * far
    return np.asarray(mean / (_box(weight, radius)[..., None] + EPSILON), np.float32)


def _box(values: Floats, radius: int) -> Floats:
    side = 2 * radius + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


def _shrink(pixels: Pixels, alpha: Pixels) -> tuple[Floats, Floats]:
    """Bring a photo to the coarse size: RGB (h, w, 3), 0 to 255, and alpha (h, w) in [0, 1]."""
    height, width = alpha.shape
    if max(height, width) > COARSE_SIDE:
        height, width = fitted_size(height=height, width=width, long_side=COARSE_SIDE)
    small = resize(pixels, height=height, width=width).astype(np.float32)
    return small, _to_share(resize(alpha, height=height, width=width))


def _to_share(alpha: Pixels) -> Floats:
    return alpha.astype(np.float32) / np.float32(OPAQUE)


def _tiles(soft: NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
    """Yield tiles that together cover the soft pixels of a strip, each shrunk to its own."""
    for left in range(0, soft.shape[1], TILE):
        x, y, columns, rows = cv2.boundingRect(soft[:, left : left + TILE].astype(np.uint8))
        if rows:
            yield slice(y, y + rows), slice(left + x, left + x + columns)


def _to_uint8(values: Floats) -> Pixels:
    return values.round().clip(0, 255).astype(np.uint8)

"""Putting cut-out people before another background, without a halo of the old one.

At soft edges the colour of a photo is a mixture of person and background. What belongs to the
person is estimated after Forte, "Approximate Fast Foreground Colour Estimation" (ICIP 2021):
foreground F and background B are local means of the photo weighted by alpha and by 1 - alpha,
and F is corrected by what the mixture of both leaves unexplained. As there, a first estimate from
far around fills in where a second one from close by has nothing to see. Local means are smooth, so
that both are made at small sizes and enlarged; only the correction looks at every pixel.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from pipelines.encoding import Strips
from pipelines.images import OPAQUE, Pixels
from pipelines.sizes import fitted_size, resize

Floats = NDArray[np.float32]
Colour = tuple[int, int, int]

FAR_SIDE, FAR_RADIUS = 192, 12
"""Longer side in pixels of the small photo for estimates from far around; radius of its means."""

NEAR_SIDE = 400
"""The most pixels of the longer side of the small photo for estimates from close by."""

NEAR_RADIUS_RATIO = 1 / 80
"""Radius of the mean in it, as a share of its longer side."""

BLURRED_SIDE = 384
"""Longer side in pixels of the small photo whose background is blurred."""

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
    small, small_alpha = _shrink(pixels, alpha, long_side=BLURRED_SIDE)
    sigma = max(small.shape[:2]) * BACKGROUND_BLUR_RATIO
    weight = 1 - _to_share(small_alpha)
    # In the middle of the person the blur finds no background: a colour from far around fills it.
    far = _local_mean(small, weight, _mean_colour(small), radius=round(8 * sigma))
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
        # A whole number of pixels for one, so that every tile can begin between two of them.
        self._step = math.ceil(max(alpha.shape) / NEAR_SIDE)
        near, near_alpha = (_reduced(plane, self._step) for plane in (pixels, alpha))
        far, far_alpha = _shrink(near, near_alpha, long_side=FAR_SIDE)
        foreground, background = (
            _two_means(near, near_weight, far, far_weight)
            for near_weight, far_weight in zip(_pure(near_alpha), _pure(far_alpha), strict=True)
        )
        self._foreground, self._contrast = foreground, foreground - background

    def estimate(self, rows: slice, columns: slice) -> Pixels:
        """Return the colours of one tile, (h, w, 3), valid where alpha is above 0."""
        image = self._pixels[rows, columns].astype(np.float32)
        share = _in_all_channels(_to_share(self._alpha[rows, columns]))
        # With foreground F, background B and alpha a, F + a (I - a F - (1 - a) B) is the mixture
        # of the photo I with F + a (F - B), which takes fewer steps.
        estimate = share * self._part(self._contrast, rows, columns)
        estimate += self._part(self._foreground, rows, columns)
        image -= estimate
        image *= share
        image += estimate
        return _to_uint8(image)

    def _part(self, level: Floats, rows: slice, columns: slice) -> Floats:
        """Enlarge what lies under a tile, (h, w, 3)."""
        (y, down), (x, across) = (
            self._span(part, small)
            for part, small in zip((rows, columns), level.shape, strict=False)
        )
        enlarged = cv2.resize(level[np.ix_(y, x)], None, fx=self._step, fy=self._step)
        return np.asarray(enlarged[down, across], np.float32)

    def _span(self, part: slice, small: int) -> tuple[NDArray[np.intp], slice]:
        """Return which small pixels to enlarge for a part of an axis, and where it lies in them.

        There is one more at either end, for what lies between it and the next one; beyond the photo
        the last one goes on.
        """
        first, last = part.start // self._step - 1, (part.stop - 1) // self._step + 1
        begin = part.start - first * self._step
        return (
            np.arange(first, last + 1).clip(0, small - 1),
            slice(begin, begin + part.stop - part.start),
        )


def _pure(alpha: Pixels) -> tuple[Floats, Floats]:
    """Return the weights of pixels in the means of foreground and background."""
    share = _to_share(alpha)
    return _purify(share), _purify(1 - share)


def _purify(weight: Floats) -> Floats:
    """Raise weights to the 16th power: mixed pixels hardly count where pure ones are near."""
    for _ in range(4):  # an order of magnitude faster than a power of floats
        weight = weight * weight
    return weight


def _mean_colour(image: Pixels) -> Floats:
    """Return an area as large as `image`, (h, w, 3), of its mean colour."""
    return np.broadcast_to(np.array(cv2.mean(image)[:3], np.float32), image.shape)


def _two_means(near: Pixels, near_weight: Floats, far: Pixels, far_weight: Floats) -> Floats:
    """Average the colours close by, or where there is nothing those far around, (h, w, 3)."""
    around = _local_mean(far, far_weight, _mean_colour(far), radius=FAR_RADIUS)
    enlarged = cv2.resize(around, (near.shape[1], near.shape[0]))
    radius = max(2, round(max(near.shape) * NEAR_RADIUS_RATIO))
    return _local_mean(near, near_weight, np.asarray(enlarged, np.float32), radius=radius)


def _local_mean(image: Pixels, weight: Floats, otherwise: Floats, *, radius: int) -> Floats:
    """Average the colours around every pixel, (h, w, 3).

    Args:
        image: (h, w, 3).
        weight: Of its pixels, (h, w).
        otherwise: What to take where no pixel around has any weight, (h, w, 3).
        radius: How far is around.
    """
    total = _in_all_channels(_box(weight, radius) + np.float32(EPSILON))
    weighted = _box(image * _in_all_channels(weight), radius)
    weighted += np.float32(EPSILON) * otherwise
    weighted /= total
    return weighted


def _in_all_channels(plane: Floats) -> Floats:
    """Repeat a plane (h, w) to (h, w, 3): broadcasting over so short an axis is slow."""
    return np.asarray(cv2.merge([plane, plane, plane]))


def _box(values: Floats, radius: int) -> Floats:
    side = 2 * radius + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


def _reduced(picture: Pixels, step: int) -> Pixels:
    """Average (H, W, ...) over squares of `step` pixels, of which the last may be smaller."""
    if step == 1:
        return picture
    rows, columns = (_cuts(side, step) for side in picture.shape[:2])
    return np.vstack(
        [
            np.hstack(
                [
                    cv2.resize(picture[y, x], (wide, tall), interpolation=cv2.INTER_AREA)
                    for x, wide in columns
                ]
            )
            for y, tall in rows
        ]
    )


def _cuts(side: int, step: int) -> list[tuple[slice, int]]:
    """Return the part of an axis that squares fill, and the rest, each with its small pixels."""
    whole = side // step * step
    cuts = [(slice(0, whole), whole // step), (slice(whole, side), 1)]
    return [(part, small) for part, small in cuts if part.stop > part.start]


def _shrink(pixels: Pixels, alpha: Pixels, *, long_side: int) -> tuple[Pixels, Pixels]:
    """Bring a photo to a small size: RGB (h, w, 3), and alpha (h, w)."""
    height, width = alpha.shape
    if max(height, width) > long_side:
        height, width = fitted_size(height=height, width=width, long_side=long_side)
    return (
        resize(pixels, height=height, width=width),
        resize(alpha, height=height, width=width),
    )


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

"""People cut out of photos and put before others, at any place and size that a camera could see.

Where the frame of the original photo cuts a person, that side of the person touches or leaves the
frame of the composition too, so that nobody ends in mid-air.
"""

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from pipelines.affine import AffineMap, shift
from pipelines.augmentation.photos import person_box
from pipelines.compositing import estimate_foreground
from pipelines.images import PERSON_FROM, Pixels
from pipelines.sizes import resize

CANVASES = ((512, 512), (512, 384), (512, 341), (384, 512), (341, 512), (288, 512))
"""Heights and widths of the compositions in pixels."""

LEAST_HEIGHT = 0.4
"""Of a person in heights of the canvas."""

GREATEST_HEIGHT = 1.8
"""Of a person who is whole in the photo: the bottom cuts him below the waist."""

GREATEST_CUT_HEIGHT = 1.25
"""Of a person whom the photo cuts at the bottom already: more would leave hair and eyes."""

GREATEST_WIDTH = 1.6
"""Of a person in widths of the canvas: half a face is no portrait."""

SEEN = 0.7
"""Share of a person's height that the canvas shows, if it is high enough."""

CONTOUR = 127
"""Value of a blurred mask at its contour."""

EDGE_SIGMA = 2.0
"""Standard deviation in pixels of the blur that makes a mask's edge soft."""

FREE_SHARE = 0.6
"""A person whom the sides cut is shown above that, if this share of his height remains."""

LIGHT = (0.85, 1.15)
"""Least and greatest factor of the brightness, of person and ground each on their own."""

DEFOCUS = 6.0
"""Greatest standard deviation of a ground's blur in pixels; half of the grounds are sharp."""


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """A person without background.

    Attributes:
        colours: RGB, (h, w, 3) uint8, of the person alone where alpha is not 0.
        alpha: (h, w) uint8, 0-255, which fills the box (h, w).
        cut_top: The person goes on beyond this side of the box, as do the next three say of theirs.
    """

    colours: Pixels
    alpha: Pixels
    cut_top: bool
    cut_bottom: bool
    cut_left: bool
    cut_right: bool


def without_background(photo: Pixels, mask: Pixels) -> tuple[Pixels, Pixels]:
    """Estimate the colours of the people of a photo alone, a little inside of the mask's edge.

    The edge is where masks err and where the old background shines through: alpha is 0 at the
    contour, 1 about three pixels within, and the colours between are estimated from those inside.

    Args:
        photo: RGB, (H, W, 3) uint8.
        mask: (H, W) uint8, 0-255.

    Returns:
        Colours (h, W, 3) and alpha (h, W), uint8, where h is less than H if the photo is cut off
        above where its sides cut the person.
    """
    rows = _rows_above_side_cuts(mask)
    photo, mask = photo[:rows], mask[:rows]
    inner = cv2.subtract(cv2.GaussianBlur(mask, (0, 0), EDGE_SIGMA), np.full_like(mask, CONTOUR))
    alpha = np.asarray(cv2.convertScaleAbs(inner, alpha=255 / (255 - CONTOUR)), np.uint8)
    return estimate_foreground(photo, alpha), alpha


def cut_out_person(photo: Pixels, mask: Pixels) -> CutOut:
    """Cut the people out of a photo, see `without_background`."""
    colours, alpha = without_background(photo, mask)
    x, y, width, height = person_box(alpha)
    box = slice(y, y + height), slice(x, x + width)
    return CutOut(
        colours=colours[box],
        alpha=alpha[box],
        cut_top=y == 0,
        cut_bottom=y + height == alpha.shape[0],
        cut_left=x == 0,
        cut_right=x + width == alpha.shape[1],
    )


def compose(person: CutOut, ground: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Put a person before a part of another photo.

    Args:
        person: Who.
        ground: RGB photo without people, (h, w, 3) uint8.
        rng: Source of all randomness.

    Returns:
        Photo (H, W, 3) and mask (H, W), uint8, of one of the `CANVASES`.
    """
    height, width = CANVASES[rng.integers(len(CANVASES))]
    ground = _lit(_part_of(ground, height, width, rng), rng)
    if rng.random() < 1 / 2:
        person = _mirrored(person)
    scale = _scale(person, height, width, rng)
    rows, columns = (round(side * scale) for side in person.alpha.shape)
    top, left = _top(person, rows, height, rng), _left(person, columns, width, rng)
    place = partial(
        _place, rows=rows, columns=columns, offset=shift(left, top), height=height, width=width
    )
    mask = place(person.alpha)
    return blend(place(_lit(person.colours, rng)), mask, ground), mask


def blend(colours: Pixels, alpha: Pixels, ground: Pixels) -> Pixels:
    """Put colours (H, W, 3) before a ground (H, W, 3) where alpha (H, W) has them, all uint8."""
    share = alpha.astype(np.float32) / 255
    return np.asarray(cv2.blendLinear(colours, ground, share, 1 - share), np.uint8)


def _rows_above_side_cuts(mask: Pixels) -> int:
    """Return how many rows to keep so that no side cuts the person, or all where that is few."""
    _, y, _, height = person_box(mask)
    at_sides = np.flatnonzero((mask[:, [0, -1]] >= PERSON_FROM).any(axis=1))
    is_free = at_sides.size > 0 and at_sides[0] - y >= FREE_SHARE * height
    return int(at_sides[0]) if is_free else mask.shape[0]


def _place(
    layer: Pixels, *, rows: int, columns: int, offset: AffineMap, height: int, width: int
) -> Pixels:
    """Scale a layer to rows x columns and move it by `offset` on a black canvas (height, width)."""
    scaled = resize(layer, height=rows, width=columns)
    return np.asarray(cv2.warpAffine(scaled, offset, (width, height)), np.uint8)


def _part_of(ground: Pixels, height: int, width: int, rng: np.random.Generator) -> Pixels:
    """Cut a random part of the proportions (height, width) and bring it to that size."""
    largest = min(ground.shape[0] / height, ground.shape[1] / width)
    scale = largest * rng.uniform(0.5, 1)
    rows, columns = round(height * scale), round(width * scale)
    top = rng.integers(ground.shape[0] - rows + 1)
    left = rng.integers(ground.shape[1] - columns + 1)
    part = ground[top : top + rows, left : left + columns]
    part = resize(np.ascontiguousarray(part), height=height, width=width)
    if rng.random() < 1 / 2:
        return part
    return np.asarray(cv2.GaussianBlur(part, (0, 0), rng.uniform(1, DEFOCUS)), np.uint8)


def _lit(picture: Pixels, rng: np.random.Generator) -> Pixels:
    return np.asarray(cv2.convertScaleAbs(picture, alpha=rng.uniform(*LIGHT)), np.uint8)


def _mirrored(person: CutOut) -> CutOut:
    return replace(
        person,
        colours=np.ascontiguousarray(person.colours[:, ::-1]),
        alpha=np.ascontiguousarray(person.alpha[:, ::-1]),
        cut_left=person.cut_right,
        cut_right=person.cut_left,
    )


def _scale(person: CutOut, height: int, width: int, rng: np.random.Generator) -> float:
    """Draw the size; who is cut on both sides is made to reach both again."""
    rows, columns = person.alpha.shape
    greatest = GREATEST_CUT_HEIGHT if person.cut_bottom else GREATEST_HEIGHT
    scale = np.exp(rng.uniform(np.log(LEAST_HEIGHT), np.log(greatest))) * height / rows
    scale = min(scale, GREATEST_WIDTH * width / columns)
    if person.cut_left and person.cut_right:
        scale = max(scale, (width + 1) / columns)
    if person.cut_top and person.cut_bottom:
        scale = max(scale, (height + 1) / rows)
    return float(scale)


def _top(person: CutOut, rows: int, height: int, rng: np.random.Generator) -> int:
    """Draw where the person begins: feet in the lower quarter, or cut off by the bottom."""
    first, last = max(height - rows, -0.05 * rows), min(0.4 * height, height - SEEN * rows)
    if person.cut_top:
        first, last = -0.2 * rows, 0.0
        if person.cut_bottom:
            first = max(first, height - rows)
    elif rows < height and not person.cut_bottom:
        first, last = max(0.0, 0.75 * height - rows), height - rows
    return round(rng.uniform(first, max(first, last)))


def _left(person: CutOut, columns: int, width: int, rng: np.random.Generator) -> int:
    """Draw where the person begins: anywhere, or beyond the sides that cut him."""
    first, last = 0.2 * width - columns / 2, 0.8 * width - columns / 2
    if person.cut_left:
        first, last = -0.2 * columns, 0.0
    if person.cut_right:
        first = width - columns
        last = 0.0 if person.cut_left else width - 0.8 * columns
    return round(rng.uniform(first, last))

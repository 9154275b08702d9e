"""Changes to a photo that should change nothing about who is on it."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from composition import blend, without_background

from pipelines.augmentation.photos import person_box
from pipelines.compositing import picture_background
from pipelines.images import Pixels
from pipelines.sizes import resize

Change = Callable[[Pixels, Pixels, Pixels], tuple[Pixels, Pixels]]
"""Takes photo (H, W, 3), mask (H, W) and a photo without people (h, w, 3), all uint8; returns photo
and mask of what it made, of any size."""

PLAIN = "plain"


def _plain(photo: Pixels, mask: Pixels, _: Pixels) -> tuple[Pixels, Pixels]:
    return photo, mask


def _grey(photo: Pixels, mask: Pixels, _: Pixels) -> tuple[Pixels, Pixels]:
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8), mask


def _compressed(photo: Pixels, mask: Pixels, _: Pixels, *, quality: int) -> tuple[Pixels, Pixels]:
    bgr = cv2.cvtColor(photo, cv2.COLOR_RGB2BGR)
    _done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)
    return np.asarray(decoded, np.uint8), mask


def _lit(photo: Pixels, mask: Pixels, _: Pixels, *, factor: float) -> tuple[Pixels, Pixels]:
    return np.asarray(cv2.convertScaleAbs(photo, alpha=factor), np.uint8), mask


def _mirrored(photo: Pixels, mask: Pixels, _: Pixels) -> tuple[Pixels, Pixels]:
    return np.ascontiguousarray(photo[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])


def _resized(photo: Pixels, mask: Pixels, _: Pixels, *, factor: float) -> tuple[Pixels, Pixels]:
    height, width = (max(1, round(side * factor)) for side in mask.shape)
    return resize(photo, height=height, width=width), resize(mask, height=height, width=width)


def _elsewhere(
    photo: Pixels, mask: Pixels, background: Pixels, *, factor: float
) -> tuple[Pixels, Pixels]:
    """Put the people, cut out, at the bottom middle of a picture that is larger by 1 / factor.

    The photo itself within that picture would show its frame, which costs more than the size. The
    bottom, because most photos end before the person does. Whom the sides of the photo cut near the
    head ends at a straight line here.
    """
    height, width = mask.shape
    whole_height, whole_width = round(height / factor), round(width / factor)
    whole = picture_background(background, height=whole_height, width=whole_width).copy()
    whole_mask = np.zeros((whole_height, whole_width), np.uint8)
    colours, alpha = without_background(photo, mask)
    left = (whole_width - width) // 2
    inside = slice(whole_height - len(alpha), None), slice(left, left + width)
    whole[inside] = blend(colours, alpha, np.ascontiguousarray(whole[inside]))
    whole_mask[inside] = alpha
    return whole, whole_mask


def _nearer(photo: Pixels, mask: Pixels, _: Pixels, *, factor: float) -> tuple[Pixels, Pixels]:
    """Crop the photo to a part of its own shape around the middle of the person's box."""
    x, y, width, height = person_box(mask)
    part = tuple(round(side / factor) for side in mask.shape)
    middle = y + height / 2, x + width / 2
    rows, columns = (
        slice(start, start + length)
        for length, whole, centre in zip(part, mask.shape, middle, strict=True)
        for start in [round(min(max(centre - length / 2, 0), whole - length))]
    )
    return np.ascontiguousarray(photo[rows, columns]), np.ascontiguousarray(mask[rows, columns])


CHANGES: dict[str, Change] = {
    PLAIN: _plain,
    "grey": _grey,
    "jpeg quality 30": partial(_compressed, quality=30),
    "brightness x 0.5": partial(_lit, factor=0.5),
    "brightness x 1.5": partial(_lit, factor=1.5),
    "mirrored": _mirrored,
    "pixels x 0.5": partial(_resized, factor=0.5),
    "pixels x 2": partial(_resized, factor=2.0),
    "person x 1.4": partial(_nearer, factor=1.4),
    "person x 2": partial(_nearer, factor=2.0),
    "other ground": partial(_elsewhere, factor=1.0),
    "other ground, person x 0.7": partial(_elsewhere, factor=0.7),
    "other ground, person x 0.5": partial(_elsewhere, factor=0.5),
}
"""`pixels` scales height and width of the picture, `person` those of the person in the frame. Who
is to be smaller needs more ground than the photo has: what the size alone costs is the difference
to `other ground`."""

"""What is measured of a pair while it is in memory: a few numbers, never pixels."""

from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.doctor.alignment import Alignment, align
from pipelines.doctor.fingerprint import fingerprint
from pipelines.doctor.mask_shape import MaskShape, mask_shape
from pipelines.images import PERSON_FROM, Pixels
from pipelines.landmarks import Landmarks
from pipelines.sizes import fitted_size, resize

LONG_SIDE = 96
"""Of the small photo that most is measured on, in pixels."""

PICKED = 3
"""Times `LONG_SIDE` that are left of a photo by picking pixels, which is faster than any mean."""

HALF_GREY = 128
"""What decoders fill the missing part of a photo with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFacts:
    """Facts about one pair, from which `pair_findings` draws its conclusions.

    Attributes:
        height: Of the photo, or of its crop, in pixels.
        width: Likewise.
        fingerprint: See `fingerprint`.
        spread: Standard deviation of the channel of the photo that varies most.
        colour: Greatest difference of two channels of the photo in any pixel.
        grey_end: Share of the photo, from below, that is one flat grey.
        shape: Of the mask.
        alignment: Of the mask with the photo; None if its outline is too short.
        face_inside: Share of the landmarks of the face that the mask calls a person; None if
            there are none inside of the photo.
    """

    height: int
    width: int
    fingerprint: bytes
    spread: float
    colour: int
    grey_end: float
    shape: MaskShape
    alignment: Alignment | None
    face_inside: float | None

    @property
    def traits(self) -> "PairTraits":
        """What of it is compared with other pairs."""
        return PairTraits(
            height=self.height,
            width=self.width,
            fingerprint=self.fingerprint,
            mask_digest=self.shape.digest,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTraits:
    """What is compared between the pairs of a dataset: little, since there may be a million.

    Attributes:
        height: Of the photo, or of its crop, in pixels.
        width: Likewise.
        fingerprint: See `fingerprint`.
        mask_digest: Hash of where the person is.
    """

    height: int
    width: int
    fingerprint: bytes
    mask_digest: str


def pair_facts(photo: Pixels, mask: Pixels, landmarks: Landmarks | None) -> PairFacts:
    """Measure a pair.

    Args:
        photo: RGB, (H, W, 3) uint8.
        mask: (H, W) uint8, 0-255.
        landmarks: x and y in pixels of the photo, (49, 2).
    """
    mask = np.ascontiguousarray(mask)  # those of MATLAB run down the columns
    height, width = mask.shape
    small_height, small_width = fitted_size(height=height, width=width, long_side=LONG_SIDE)
    size = small_height, small_width
    small, small_mask = _reduced(photo, *size), _reduced(mask, *size)
    return PairFacts(
        height=height,
        width=width,
        fingerprint=fingerprint(small),
        spread=float(cv2.meanStdDev(small)[1].max()),
        colour=_colour(small),
        grey_end=_grey_end(photo),
        shape=mask_shape(mask),
        alignment=align(small, small_mask),
        face_inside=None if landmarks is None else _inside(mask, landmarks),
    )


def _reduced(pixels: Pixels, height: int, width: int) -> Pixels:
    if min(pixels.shape[:2]) > PICKED * max(height, width):
        picked = PICKED * width, PICKED * height
        pixels = np.asarray(cv2.resize(pixels, picked, interpolation=cv2.INTER_NEAREST), np.uint8)
    return resize(pixels, height=height, width=width)


def _colour(photo: Pixels) -> int:
    red, green, blue = cv2.split(photo)
    pairs = ((red, green), (green, blue), (blue, red))
    return max(int(cv2.absdiff(one, other).max()) for one, other in pairs)


def _grey_end(photo: Pixels) -> float:
    if (photo[-1] != HALF_GREY).any():
        return 0.0
    is_grey = (photo == HALF_GREY).all(axis=(1, 2))[::-1]
    return float(1.0 if is_grey.all() else is_grey.argmin() / len(is_grey))


def _inside(mask: Pixels, landmarks: Landmarks) -> float | None:
    columns, rows = np.rint(landmarks).astype(int).T
    height, width = mask.shape
    shown = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    if not shown.any():
        return None
    return float((mask[rows[shown], columns[shown]] >= PERSON_FROM).mean())

"""Training photos, made ready for views of any scale."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from pipelines.boundary import mask_edges
from pipelines.face_prior import Face
from pipelines.images import PERSON_FROM, Pixels
from pipelines.sizes import resize

LEVELS = 6
"""Each half the size of the last; the deepest of a frame of 512 pixels has 16."""

LEAST_BILINEAR_SCALE = 0.6
"""A bilinear warp that shrinks further than this would alias."""

DISTANCE_STEPS = 4
"""Steps per pixel in which distances to the edge are kept: 8 bits reach 64 pixels far, and the
widest boundary of Eq. 1 is 25 to either side at a size of 512."""

GREATEST_DISTANCE = 255
"""The greatest distance, which may be more than it says."""


class Sides(NamedTuple):
    """Something about each side of a frame."""

    left: bool
    top: bool
    right: bool
    bottom: bool


class Level(NamedTuple):
    """A photo at one size.

    Attributes:
        picture: RGB and mask, (H, W, 4) uint8.
        distance: From each pixel to the nearest edge of the mask, in `DISTANCE_STEPS` of a pixel
            of the whole photo and at most 255, (H, W) uint8.
    """

    picture: Pixels
    distance: Pixels


@dataclass(frozen=True, kw_only=True)
class TrainingPhoto:
    """A photo without the padding of its frame, at several sizes, and what is known of it.

    Attributes:
        levels: From the whole photo down.
        box: x, y, width and height of the person, of the whole photo if nobody is in it.
        cut: At which sides of the frame the person is cut off.
        empty: Whether the photo shows nobody.
        canonical_width: W of Eq. 1 at 512 pixels.
        face: For networks that take a face prior; None for others, or if it is not known.
    """

    levels: tuple[Level, ...]
    box: tuple[int, int, int, int]
    cut: Sides
    empty: bool
    canonical_width: float
    face: Face | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.levels[0].distance.shape
        return height, width

    def level_for(self, scale: float) -> int:
        """Return the level to make a view from.

        Args:
            scale: Pixels of the view per pixel of the photo.
        """
        level = 0
        while level + 1 < len(self.levels) and scale * 2**level <= LEAST_BILINEAR_SCALE:
            level += 1
        return level


class Photos(Protocol):
    """Training photos, in memory or not."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int, /) -> TrainingPhoto:
        """Return one."""


def training_photo(
    photo: Pixels,
    mask: Pixels,
    *,
    canonical_width: float,
    canny: tuple[float, float],
    face: Face | None = None,
) -> TrainingPhoto:
    """Make a photo (H, W, 3) with its mask (H, W), both uint8, ready for training.

    Args:
        photo: RGB.
        mask: 0-255.
        canonical_width: W of Eq. 1 at 512 pixels.
        canny: Thresholds of the edge detector.
        face: Of the photo.
    """
    person = mask >= PERSON_FROM
    off_edge = 255 - mask_edges(mask, canny=canny)
    away = cv2.distanceTransform(off_edge, cv2.DIST_L2, cv2.DIST_MASK_5)
    distance = (
        (np.minimum(away, GREATEST_DISTANCE / DISTANCE_STEPS) * DISTANCE_STEPS)
        .round()
        .astype(np.uint8)
    )
    top, bottom, left, right = person[0], person[-1], person[:, 0], person[:, -1]
    return TrainingPhoto(
        levels=_pyramid(Level(np.dstack((photo, mask)), distance)),
        box=person_box(mask),
        cut=Sides(*(bool(side.any()) for side in (left, top, right, bottom))),
        empty=not person.any(),
        canonical_width=canonical_width,
        face=face,
    )


def person_box(mask: Pixels) -> tuple[int, int, int, int]:
    """Return x, y, width and height of the person; of the whole photo if nobody is in it."""
    x, y, width, height = cv2.boundingRect((mask >= PERSON_FROM).astype(np.uint8))
    return (x, y, width, height) if width else (0, 0, mask.shape[1], mask.shape[0])


def _pyramid(whole: Level) -> tuple[Level, ...]:
    """Shrink by area, which unlike a warp does not alias."""
    levels = [whole]
    for _ in range(LEVELS - 1):
        height, width = (max(1, side // 2) for side in levels[-1].distance.shape)
        levels.append(Level(*(resize(each, height=height, width=width) for each in levels[-1])))
    return tuple(levels)

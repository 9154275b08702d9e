"""Taking photos into views: on a CPU with OpenCV, on other devices for a whole batch at once.

On a CPU 8-bit pixels are warped by OpenCV at a tenth of what torch's `grid_sample` takes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from pipelines.affine import AffineMap, apply, compose, invert, resizing
from pipelines.augmentation.framing import Framing
from pipelines.augmentation.photos import Sides, TrainingPhoto
from pipelines.images import Pixels

NO_SIDES = Sides(False, False, False, False)

FAR = 4096.0
"""Farther beyond its photo than this, in pixels of the photo, no view reaches."""

FRACTION_BITS = 4
"""Of the fixed-point coordinates that OpenCV draws with."""


class Warp(NamedTuple):
    """One view to make.

    Attributes:
        photo: Index among the training photos.
        level: Of its pyramid.
        framing: Of the view.
        replaced: Whether the background is to be another one.
    """

    photo: int
    level: int
    framing: Framing
    replaced: bool = False


class Views(NamedTuple):
    """Photos as their views show them; beyond the frame they are mirrored.

    Attributes:
        picture: RGB and mask, (B, 4, H, W) uint8.
        distance: As in `Level`, (B, 1, H, W) uint8.
        valid: Whether it is known what belongs there, (B, 1, H, W) bool: the photo, and where
            the background is to be another one, also what lies beyond those sides of the frame at
            which the person is not cut off. There the mask is 0.
    """

    picture: Tensor
    distance: Tensor
    valid: Tensor

    def to(self, device: torch.device) -> "Views":
        """Move to a device, without waiting for it."""
        if device.type == "cpu":
            return self
        return Views(*(plane.pin_memory().to(device, non_blocking=True) for plane in self))


def warp_on_host(
    photos: Sequence[TrainingPhoto], warps: Sequence[Warp], *, height: int, width: int
) -> Views:
    """Make views of a size (H, W) with the CPU."""
    pictures = np.empty((len(warps), height, width, 4), np.uint8)
    distances, valids = np.empty((2, len(warps), height, width), np.uint8)
    for warp, picture, distance, valid in zip(warps, pictures, distances, valids, strict=True):
        photo = photos[warp.photo]
        to_level = _to_level(photo, warp)
        for source, target in zip(photo.levels[warp.level], (picture, distance), strict=True):
            cv2.warpAffine(
                source,
                to_level,
                (width, height),
                dst=target,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            )
        _draw_valid(photo, warp, picture[..., 3], valid)
    planes = (torch.from_numpy(plane).unsqueeze(1) for plane in (distances, valids))
    distance, valid = planes
    return Views(torch.from_numpy(pictures).permute(0, 3, 1, 2), distance, valid.bool())


def _draw_valid(photo: TrainingPhoto, warp: Warp, mask: Pixels, valid: Pixels) -> None:
    """Draw what is known of a view into `valid`, and clear the mask where nobody can be."""
    valid[:] = 0
    if not warp.replaced:
        _fill_frame(photo, warp.framing, valid)
        return
    _fill_frame(photo, warp.framing, valid, beyond=Sides(*(not cut for cut in photo.cut)))
    shown = np.zeros_like(valid)
    _fill_frame(photo, warp.framing, shown)
    mask[shown < valid] = 0


def _fill_frame(
    photo: TrainingPhoto, framing: Framing, view: Pixels, *, beyond: Sides = NO_SIDES
) -> None:
    """Fill with 1 what the frame of the photo covers, and what lies beyond some of its sides."""
    height, width = photo.shape
    left, top, right, bottom = (FAR * side for side in beyond)
    x = np.array([-left, width + right, width + right, -left]) - 0.5
    y = np.array([-top, -top, height + bottom, height + bottom]) - 0.5
    corners = apply(invert(framing.to_photo), np.column_stack((x, y)))
    # Pixels whose centre is inside; those on the outline are filled too, hence half a pixel less.
    centre = corners.mean(axis=0)
    inner = corners + 0.5 * np.sign(centre - corners)
    fixed = (inner * 2**FRACTION_BITS).round().astype(np.int32)
    cv2.fillConvexPoly(view, fixed, 1, shift=FRACTION_BITS)


def _to_level(photo: TrainingPhoto, warp: Warp) -> AffineMap:
    """Return the map from the pixels of a view to those of the level that it is made from."""
    level_shape = photo.levels[warp.level].distance.shape
    return compose(resizing(photo.shape, level_shape), warp.framing.to_photo)

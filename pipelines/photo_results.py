"""What is made of a photo and the network's answer: its mask and its composite, in memory."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.compositing import (
    blurred_background,
    cut_out,
    picture_background,
    plain_background,
    put_before,
)
from pipelines.encoding import Strips
from pipelines.images import Photo, Pixels
from pipelines.inference import binary_mask, soft_mask, split_mask, to_alpha
from pipelines.photo_memory import Output
from pipelines.photo_tasks import TaskSettings
from pipelines.refinement import GUIDE_SIDE, refined_mask
from pipelines.sizes import resize
from pipelines.stage_clock import StageClock
from pipelines.worker_process import load_background

OVERSAMPLING = 2
"""Masks alone are made of photos decoded to no less than so many times the working size.

Against whole decoding, masks of 12-megapixel photos differ by 0.05 to 0.6 grey levels in the mean;
with half of this it would be twice that, and decoding and resizing took a quarter less time.
"""


def least_side(output: Output, *, size: int) -> int | None:
    """Return how many pixels the shorter side of a photo needs; None if all of them count.

    Masks alone need no more than the network sees, and what their edges are drawn after.

    Args:
        output: What is made of the photo.
        size: Working size.
    """
    if output.composite != "none":
        return None
    enough = OVERSAMPLING * size
    return max(enough, GUIDE_SIDE) if output.refine else enough


def full_mask(
    probability: NDArray[np.float32],
    photo: Photo,
    small: Pixels,
    settings: TaskSettings,
    clock: StageClock,
) -> Pixels:
    """Return the mask of a photo that shows somebody, (height, width) of the whole photo.

    Args:
        probability: What the network made of it, (h, w).
        photo: It may be decoded reduced.
        small: The photo as the network saw it, RGB.
        settings: Of the run.
        clock: Counts the time.
    """
    height, width = photo.height, photo.width
    if settings.refine:
        with clock("refine"):
            mask = refined_mask(to_alpha(probability), photo.pixels, small)
        with clock("mask"):
            mask = resize(mask, height=height, width=width)
            is_soft = settings.mask == "soft"
            return mask if is_soft else split_mask(mask, threshold=settings.threshold)
    with clock("mask"):
        if settings.mask == "soft":
            return soft_mask(to_alpha(probability), height=height, width=width)
        return binary_mask(probability, height=height, width=width, threshold=settings.threshold)


def composite_of(photo: Photo, mask: Pixels, settings: TaskSettings, clock: StageClock) -> Strips:
    """Return the composite, which is made while it is encoded.

    Args:
        photo: Decoded whole.
        mask: Of it, (height, width).
        settings: Of a run with composites.
        clock: Counts the time, also while strips are drawn.

    Raises:
        InputError: As `load_background`.
    """
    with clock("composite"):
        if settings.composite == "transparent":
            picture = cut_out(photo.pixels, mask)
        else:
            picture = put_before(photo.pixels, mask, _background(photo, mask, settings))
    return replace(picture, rows=clock.each("composite", picture.rows))


def _background(photo: Photo, mask: Pixels, settings: TaskSettings) -> Pixels:
    height, width = mask.shape
    if settings.colour is not None:
        return plain_background(settings.colour, height=height, width=width)
    if settings.background is not None:
        picture = load_background(*settings.background)
        return picture_background(picture, height=height, width=width)
    return blurred_background(photo.pixels, mask)

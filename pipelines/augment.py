"""Making every training sample unique (section 4 of the paper, and views of any framing).

One random affine map turns a stored photo into a training view. Drawing the parameters and applying
them are separate, so that a view is a pure function of a random generator.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from pipelines.affine import AffineMap, compose, invert, resizing
from pipelines.boundary import CANNY_THRESHOLDS, CANONICAL_SIZE, boundary_target
from pipelines.images import PERSON_FROM, Pixels

LEAST_BILINEAR_SCALE = 0.6
"""A bilinear warp that shrinks further than this would alias."""

PHOTO_MARGIN = 1.3
"""A view is at most this many times as large as the photo: beyond is only padding."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far training views may differ from the stored photos.

    Attributes:
        rotation: Greatest rotation in degrees, either way; the paper takes 45.
        lightness: Least and greatest factor of the brightness; the paper takes 0.7 to 1.3.
        flip: Probability of a mirror image.
        grey: Probability of a grey picture. Not in the paper.
        view: Probability that the framing is drawn anew; otherwise it is the whole photo. Not in
            the paper, which trains on one tight framing.
        view_heights: Least and greatest height of a new framing in heights of the person.
    """

    rotation: float = 45.0
    lightness: tuple[float, float] = (0.7, 1.3)
    flip: float = 0.5
    grey: float = 0.0
    view: float = 0.0
    view_heights: tuple[float, float] = (0.35, 2.2)


@dataclass(frozen=True, kw_only=True)
class TrainingView:
    """One augmented sample of height H and width W.

    Attributes:
        image: RGB, (H, W, 3) uint8.
        mask: (H, W) uint8, 0-255.
        boundary: (H, W) uint8 in {0, 1}, by Eq. 1 for what the view shows.
        valid: (H, W) uint8, 1 where the view shows the photo, 0 beyond its frame.
        to_photo: Map from the pixels of the view to those of the photo.
    """

    image: Pixels
    mask: Pixels
    boundary: Pixels
    valid: Pixels
    to_photo: AffineMap


def person_box(mask: Pixels) -> tuple[int, int, int, int]:
    """Return x, y, width and height of the person; of the whole photo if nobody is in it."""
    x, y, width, height = cv2.boundingRect((mask >= PERSON_FROM).astype(np.uint8))
    return (x, y, width, height) if width else (0, 0, mask.shape[1], mask.shape[0])


def augment(
    image: Pixels,
    mask: Pixels,
    *,
    height: int,
    width: int,
    augmentation: Augmentation,
    canonical_width: float,
    canny: tuple[float, float] = CANNY_THRESHOLDS,
    rng: np.random.Generator,
) -> TrainingView:
    """Draw a random view of a photo.

    Args:
        image: RGB, (H, W, 3) uint8.
        mask: (H, W) uint8, 0-255.
        height: Of the view in pixels.
        width: Of the view in pixels.
        augmentation: Bounds of the randomness.
        canonical_width: W of Eq. 1 at 512 pixels; it shrinks with the view.
        canny: Thresholds of the edge detector.
        rng: Source of all randomness.
    """
    x, y, view_height = _framing(mask, height / width, augmentation, rng)
    angle = rng.uniform(-augmentation.rotation, augmentation.rotation)
    mirror = bool(rng.random() < augmentation.flip)
    scale = height / view_height
    whole = mask.shape
    image, mask, halvings = _halve_before_shrinking(image, mask, scale)
    x, y, scale = x / halvings, y / halvings, scale * halvings
    affine = _affine(x, y, scale=scale, angle=angle, mirror=mirror, height=height, width=width)
    warped, warped_mask, valid = _warp(image, mask, affine, height=height, width=width)
    boundary, _ = boundary_target(
        warped_mask,
        canonical_width=canonical_width * max(height, width) / CANONICAL_SIZE,
        canny=canny,
        valid=valid,
    )
    return TrainingView(
        image=_recolour(warped, augmentation, rng),
        mask=warped_mask,
        boundary=boundary * valid,
        valid=valid,
        to_photo=compose(resizing(mask.shape, whole), invert(affine)),
    )


def _framing(
    mask: Pixels, aspect: float, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Choose centre x, y and height of the view, in pixels of the photo."""
    photo_height, photo_width = mask.shape
    whole = max(photo_height, photo_width * aspect)
    new_framing = rng.random() < augmentation.view
    low, high = np.log(augmentation.view_heights)
    heights, shift_x, shift_y = np.exp(rng.uniform(low, high)), *rng.uniform(-0.5, 0.5, size=2)
    if not new_framing:
        return photo_width / 2, photo_height / 2, whole
    x, y, person_width, person_height = person_box(mask)
    view = min(float(heights * person_height), PHOTO_MARGIN * whole)
    # A view smaller than the person is centred anywhere on him, a larger one holds him anywhere.
    slack_x = abs(person_width - view / aspect)
    slack_y = abs(person_height - view)
    return (
        x + person_width / 2 + shift_x * slack_x,
        y + person_height / 2 + shift_y * slack_y,
        view,
    )


def _halve_before_shrinking(
    image: Pixels, mask: Pixels, scale: float
) -> tuple[Pixels, Pixels, int]:
    """Shrink by area, in powers of two, as far as the warp cannot."""
    factor = 1
    while scale * factor <= LEAST_BILINEAR_SCALE:
        factor *= 2
    if factor == 1:
        return image, mask, 1
    size = max(1, image.shape[1] // factor), max(1, image.shape[0] // factor)
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return image, mask, factor


def _affine(
    x: float, y: float, *, scale: float, angle: float, mirror: bool, height: int, width: int
) -> AffineMap:
    """Return the 2 x 3 map that carries (x, y) of the photo to the centre of the view."""
    cosine, sine = scale * np.cos(np.deg2rad(angle)), scale * np.sin(np.deg2rad(angle))
    linear = np.array([[cosine, -sine], [sine, cosine]])
    if mirror:
        linear[0] *= -1
    offset = np.array([width / 2, height / 2]) - linear @ np.array([x, y])
    return np.column_stack((linear, offset))


def _warp(
    image: Pixels, mask: Pixels, affine: AffineMap, *, height: int, width: int
) -> tuple[Pixels, Pixels, Pixels]:
    """Apply the map; beyond the frame the picture is mirrored, and not valid."""
    size = width, height
    mirrored = cv2.BORDER_REFLECT_101
    warped = cv2.warpAffine(image, affine, size, borderMode=mirrored)
    warped_mask = cv2.warpAffine(mask, affine, size, borderMode=mirrored)
    inside = np.ones(mask.shape, np.uint8)
    valid = cv2.warpAffine(inside, affine, size, flags=cv2.INTER_NEAREST, borderValue=0)
    return warped, warped_mask, valid  # type: ignore[return-value]


def _recolour(image: Pixels, augmentation: Augmentation, rng: np.random.Generator) -> Pixels:
    lightness = rng.uniform(*augmentation.lightness)
    grey = rng.random() < augmentation.grey
    if grey:
        image = cv2.cvtColor(  # type: ignore[assignment]
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB
        )
    return cv2.convertScaleAbs(image, alpha=lightness)  # type: ignore[return-value]

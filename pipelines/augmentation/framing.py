"""Where a view lies on its photo."""

from dataclasses import dataclass

import numpy as np

from pipelines.affine import AffineMap
from pipelines.augmentation.photos import TrainingPhoto
from pipelines.augmentation.settings import Augmentation

PHOTO_MARGIN = 1.3
"""A view is at most this many times as large as the photo: beyond is only padding."""

COVER_ZOOM = 2.0
"""A background is shown at most this many times larger than it takes to fill the view."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """Where a view lies on its photo.

    Attributes:
        to_photo: Map from the pixels of the view to those of the photo.
        scale: Pixels of the view per pixel of the photo.
    """

    to_photo: AffineMap
    scale: float


def draw_framing(
    photo: TrainingPhoto,
    *,
    height: int,
    width: int,
    augmentation: Augmentation,
    replaced: bool,
    rng: np.random.Generator,
) -> Framing:
    """Draw the framing of a training view.

    Args:
        photo: What it shows.
        height: Of the view in pixels.
        width: Of the view in pixels.
        augmentation: Bounds of the randomness.
        replaced: Whether the background is to be replaced, so that the view may reach far beyond
            the photo wherever the frame does not cut the person off.
        rng: Source of all randomness.
    """
    centre_x, centre_y, view_height = _framing(photo, height / width, augmentation, replaced, rng)
    angle = rng.uniform(-augmentation.rotation, augmentation.rotation)
    mirror = bool(rng.random() < augmentation.flip)
    return _framing_at(
        centre_x,
        centre_y,
        scale=height / view_height,
        angle=angle,
        mirror=mirror,
        height=height,
        width=width,
    )


def draw_cover(
    photo: TrainingPhoto, *, height: int, width: int, rng: np.random.Generator
) -> Framing:
    """Draw a view that lies wholly on its photo, for a background; arguments as `draw_framing`."""
    photo_height, photo_width = photo.shape
    scale = max(height / photo_height, width / photo_width) * rng.uniform(1, COVER_ZOOM)
    slack_x, slack_y = photo_width - width / scale, photo_height - height / scale
    shift_x, shift_y = rng.uniform(-0.5, 0.5, size=2)
    return _framing_at(
        photo_width / 2 + shift_x * slack_x,
        photo_height / 2 + shift_y * slack_y,
        scale=scale,
        angle=0.0,
        mirror=bool(rng.random() < 0.5),  # noqa: PLR2004 - either way
        height=height,
        width=width,
    )


def _framing(
    photo: TrainingPhoto,
    aspect: float,
    augmentation: Augmentation,
    replaced: bool,  # noqa: FBT001 - as above
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Choose centre x, y and height of the view, measured on the photo from its corner."""
    photo_height, photo_width = photo.shape
    whole = max(photo_height, photo_width * aspect)
    new_framing = rng.random() < augmentation.view
    low, high = np.log(augmentation.view_heights)
    heights, shift_x, shift_y = np.exp(rng.uniform(low, high)), *rng.uniform(-0.5, 0.5, size=2)
    if not new_framing:
        return photo_width / 2, photo_height / 2, whole
    x, y, person_width, person_height = photo.box
    limit = _limit_before_another_background(photo, aspect) if replaced else PHOTO_MARGIN * whole
    view = min(float(heights * person_height), limit)
    # A view smaller than the person is centred anywhere on him, a larger one holds him anywhere.
    slack_x = abs(person_width - view / aspect)
    slack_y = abs(person_height - view)
    centre_x = x + person_width / 2 + shift_x * slack_x
    centre_y = y + person_height / 2 + shift_y * slack_y
    if replaced:
        cut = photo.cut
        centre_x = _kept_off(centre_x, view / aspect, photo_width, low=cut.left, high=cut.right)
        centre_y = _kept_off(centre_y, view, photo_height, low=cut.top, high=cut.bottom)
    return centre_x, centre_y, view


def _limit_before_another_background(photo: TrainingPhoto, aspect: float) -> float:
    """Return the greatest height of a view that need not show where the frame cuts the person."""
    photo_height, photo_width = photo.shape
    cut = photo.cut
    limits = [np.inf]
    if cut.top and cut.bottom:
        limits.append(photo_height)
    if cut.left and cut.right:
        limits.append(photo_width * aspect)
    return min(limits)


def _kept_off(centre: float, extent: float, limit: float, *, low: bool, high: bool) -> float:
    """Move a view of a given extent off the sides of the photo at which the person is cut off."""
    if high:
        centre = min(centre, limit - extent / 2)
    return max(centre, extent / 2) if low else centre


def _framing_at(
    x: float, y: float, *, scale: float, angle: float, mirror: bool, height: int, width: int
) -> Framing:
    """Return the framing whose centre is (x, y), measured on the photo from its corner."""
    cosine, sine = np.cos(np.deg2rad(angle)) / scale, np.sin(np.deg2rad(angle)) / scale
    linear = np.array([[cosine, sine], [-sine, cosine]])
    if mirror:
        linear[:, 0] *= -1
    # Whole numbers are the centres of pixels, half a pixel from the corner.
    offset = np.array([x, y]) - 0.5 - linear @ (np.array([width, height]) / 2 - 0.5)
    return Framing(to_photo=np.column_stack((linear, offset)), scale=scale)

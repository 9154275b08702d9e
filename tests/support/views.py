"""Training views of single photos, made as `banet train` makes them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.augmentation.framing import Framing
from pipelines.augmentation.photos import TrainingPhoto, training_photo
from pipelines.augmentation.plan import plan_sample
from pipelines.augmentation.render import Batch, background_warps, render
from pipelines.augmentation.settings import Augmentation
from pipelines.augmentation.warp import Warp, pictures_on_host, warp_on_host

Pixels = NDArray[np.uint8]

STILL = Augmentation(rotation=0, lightness=(1, 1), flip=0)
"""Changes nothing."""


class View(NamedTuple):
    """A view, with pixels as photos have them.

    Attributes:
        image: RGB, (H, W, 3) uint8.
        mask: (H, W) uint8.
        boundary: (H, W) bool.
        valid: (H, W) bool.
        framing: Where it lies on the photo.
    """

    image: Pixels
    mask: Pixels
    boundary: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    framing: Framing


def prepared(photo: Pixels, mask: Pixels) -> TrainingPhoto:
    """Make a photo with its mask ready for training."""
    return training_photo(photo, mask, canonical_width=50, canny=(100, 200))


def draw_view(
    photo: Pixels,
    mask: Pixels,
    augmentation: Augmentation = STILL,
    *,
    seed: int = 0,
    height: int = 120,
    width: int = 90,
    grounds: tuple[Pixels, ...] = (),
) -> View:
    """Draw a view of a photo; `grounds` are photos that show nobody."""
    photos = [prepared(photo, mask)]
    photos += [prepared(ground, np.zeros(ground.shape[:2], np.uint8)) for ground in grounds]
    plan = plan_sample(
        0,
        photos,
        list(range(1, len(photos))),
        height=height,
        width=width,
        augmentation=augmentation,
        rng=np.random.default_rng(seed),
    )
    warp = Warp(plan.photo, plan.level, plan.framing, replaced=plan.background is not None)
    views = warp_on_host(photos, [warp], height=height, width=width)
    behind = pictures_on_host(photos, background_warps([plan]), height=height, width=width)
    return _view(render([plan], views, behind), plan.framing)


def _view(batch: Batch, framing: Framing) -> View:
    image, mask = ((255 * plane[0]).round().byte().numpy() for plane in batch[:2])
    boundary, valid = (plane[0, 0].bool().numpy() for plane in batch[2:4])
    return View(image.transpose(1, 2, 0), mask[0], boundary, valid, framing)

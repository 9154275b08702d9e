"""What is to happen to the samples of a batch: drawn on the host, as small numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.losses import LUMA_WEIGHTS
from pipelines.augmentation.framing import Framing, draw_cover, draw_framing
from pipelines.augmentation.photos import Photos
from pipelines.augmentation.settings import Augmentation
from pipelines.face_prior import Face

TEXTURE_SHARE = 0.3
"""Share of the other backgrounds that are made textures; the rest are photos."""

BLURRED_SHARE = 0.4
"""Share of the photos among the other backgrounds that are out of focus."""

BLUR_LEVELS = (1, 4)
"""A background out of focus is made from a level so many steps deeper, about as many octaves."""

TEXTURE_GRIDS = (2, 2, 3, 5, 9, 17, 33)
"""Nodes per side of the random grids that textures are made from: walls, gradients, blotches."""

BACKGROUND_LIGHTNESS = (0.6, 1.4)
"""Least and greatest brightness of another background relative to what it was."""


@dataclass(frozen=True, kw_only=True)
class PhotoBackground:
    """A photo of nobody as background.

    Attributes:
        photo: Its index among the training photos.
        level: Of its pyramid.
    """

    photo: int
    framing: Framing
    level: int
    lightness: float


@dataclass(frozen=True, kw_only=True)
class TextureBackground:
    """A made background: a coarse grid of colours, (n, n, 3) in [0, 1], to be enlarged."""

    grid: NDArray[np.float32]


Background = PhotoBackground | TextureBackground


@dataclass(frozen=True, kw_only=True)
class SamplePlan:
    """What is to happen to one sample.

    Attributes:
        photo: Index among the training photos.
        level: Of its pyramid.
        background: To put the person before; None leaves the photo's own.
        colours: Map of colours: (3, 3) that multiplies the distance of RGB from the mean luma of
            the view.
        lightness: Factor of that mean luma.
        blur: Standard deviation in pixels of the view; 0 for none.
        noise: Standard deviation; white is 1.
        noise_seed: Which noise it is.
        quality: Of the JPEG compression; None for none.
        canonical_width: W of Eq. 1 at 512 pixels.
        face: Of the photo, for networks that take a face prior.
    """

    photo: int
    framing: Framing
    level: int
    background: Background | None
    colours: NDArray[np.float32]
    lightness: float
    blur: float
    noise: float
    noise_seed: int
    quality: float | None
    canonical_width: float
    face: Face | None


def plan_sample(
    index: int,
    photos: Photos,
    backgrounds: Sequence[int],
    *,
    height: int,
    width: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> SamplePlan:
    """Draw all that happens to one sample.

    Args:
        index: Of the photo.
        photos: All training photos.
        backgrounds: Indices of those that show nobody.
        height: Of the view in pixels.
        width: Of the view in pixels.
        augmentation: Bounds of the randomness.
        rng: Source of all randomness.
    """
    photo = photos[index]
    replaced = not photo.empty and rng.random() < augmentation.background
    framing = draw_framing(
        photo, height=height, width=width, augmentation=augmentation, replaced=replaced, rng=rng
    )
    background = None
    if replaced:
        background = _draw_background(photos, backgrounds, height=height, width=width, rng=rng)
    colours, lightness = _draw_colours(augmentation, rng)
    blurred, noisy, compressed = rng.random(3) < (
        augmentation.blur,
        augmentation.noise,
        augmentation.compression,
    )
    blur = rng.uniform(*augmentation.blur_radius) * max(height, width)
    noise, quality = rng.uniform(*augmentation.noise_level), rng.uniform(*augmentation.quality)
    return SamplePlan(
        photo=index,
        framing=framing,
        level=photo.level_for(framing.scale),
        background=background,
        colours=colours,
        lightness=lightness,
        blur=blur if blurred else 0.0,
        noise=noise if noisy else 0.0,
        noise_seed=int(rng.integers(2**31)),
        quality=quality if compressed else None,
        canonical_width=photo.canonical_width,
        face=photo.face,
    )


def _draw_background(
    photos: Photos,
    backgrounds: Sequence[int],
    *,
    height: int,
    width: int,
    rng: np.random.Generator,
) -> Background:
    if not backgrounds or rng.random() < TEXTURE_SHARE:
        return TextureBackground(grid=_draw_grid(rng))
    index = backgrounds[int(rng.integers(len(backgrounds)))]
    photo = photos[index]
    framing = draw_cover(photo, height=height, width=width, rng=rng)
    deeper = rng.integers(*BLUR_LEVELS, endpoint=True) if rng.random() < BLURRED_SHARE else 0
    return PhotoBackground(
        photo=index,
        framing=framing,
        level=min(photo.level_for(framing.scale) + int(deeper), len(photo.levels) - 1),
        lightness=rng.uniform(*BACKGROUND_LIGHTNESS),
    )


def _draw_grid(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw colours around one colour, more often a greyish one, with more or less contrast."""
    nodes = rng.choice(TEXTURE_GRIDS)
    colourful = rng.uniform() ** 2
    colour = rng.uniform() + colourful * rng.uniform(-0.5, 0.5, size=3)
    contrast = rng.uniform(0, 0.4)
    luma = rng.normal(size=(nodes, nodes, 1))
    chroma = colourful * rng.normal(size=(nodes, nodes, 3))
    grid = colour + contrast * (luma + chroma)
    return grid.clip(0, 1).astype(np.float32)


def _draw_colours(
    augmentation: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """Draw the matrix and the lightness of a `SamplePlan`."""
    lightness = rng.uniform(*augmentation.lightness)
    grey, coloured = rng.random(2) < (augmentation.grey, augmentation.colour)
    span = augmentation.colour_range
    gains = 1 + rng.uniform(-span, span, size=3) / 2
    saturation, contrast = 1 + rng.uniform(-span, span, size=2)
    if not coloured:
        gains, saturation, contrast = np.ones(3), 1.0, 1.0
    if grey:
        saturation = 0.0
    luma = np.broadcast_to(LUMA_WEIGHTS, (3, 3))
    saturate = saturation * np.eye(3) + (1 - saturation) * luma
    tint = saturate if grey else np.diag(gains) @ saturate
    return (lightness * contrast * tint).astype(np.float32), lightness

"""Folders of pairs, photos in `images/` and masks in `masks/`, all different."""

from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from made_photos import HEIGHT, WIDTH, make_photos
from photo_sets import filling, read_photos, with_grain

from pipelines.encoding import encode
from pipelines.images import Pixels

LEAST_PART = 0.5
"""Of a photo's sides that a picture shows: parts of one photo are no near duplicates."""

COLOURED = 0.6
"""Share of a colour in the figure of a pair."""

SMALL_SHAPES = 100
"""Masks of small pairs, which are repeated."""


def write_pair_set(folder: Path, source: Path, *, count: int, height: int, width: int) -> None:
    """Write JPEG photos of one size, and PNG masks of figures.

    Each shows a part of one of the photos of `source`, in its own grain; half of them are turned
    upside down.

    Raises:
        InputError: There are no photos.
    """
    images, masks = _folders(folder)
    originals = list(read_photos(source))
    for number, pixels in enumerate(islice(cycle(originals), count)):
        random = np.random.default_rng(number)
        part = np.rot90(_part(pixels, random, aspect=width / height), int(random.choice((0, 2))))
        photo = filling(np.ascontiguousarray(part), height=height, width=width)
        mask = draw_figure(random, height=height, width=width)
        name = f"{number:06d}"
        shown = with_grain(_coloured(photo, mask, random), random)
        (images / f"{name}.jpg").write_bytes(encode(shown, "jpg"))
        _write_mask(masks / f"{name}.png", mask)


def write_small_pairs(folder: Path, count: int) -> None:
    """Write pairs that are small and quickly made, a thousand in each folder."""
    images, masks = _folders(folder)
    make_photos(images, count)
    shapes = [
        draw_figure(np.random.default_rng(number), height=HEIGHT, width=WIDTH)
        for number in range(SMALL_SHAPES)
    ]
    for number, photo in enumerate(sorted(images.rglob("*.*"))):
        mask = masks / photo.relative_to(images).with_suffix(".png")
        mask.parent.mkdir(exist_ok=True)
        _write_mask(mask, shapes[number % SMALL_SHAPES])


def draw_figure(random: np.random.Generator, *, height: int, width: int) -> Pixels:
    """Draw the mask of a head on shoulders, (height, width), 0-255 with a smooth outline."""
    mask = np.zeros((height, width), np.uint8)
    x, y = width * random.uniform(0.35, 0.65), height * random.uniform(0.25, 0.45)
    head = width * random.uniform(0.1, 0.2)
    shoulders = (2.2 * head, height - y - 1.3 * head)
    for centre, axes in (((x, y), (head, 1.3 * head)), ((x, height), shoulders)):
        whole = tuple(round(value) for value in (*centre, *axes))
        cv2.ellipse(mask, whole[:2], whole[2:], 0, 0, 360, 255, cv2.FILLED, cv2.LINE_AA)
    return mask


def _folders(folder: Path) -> tuple[Path, Path]:
    images, masks = folder / "images", folder / "masks"
    for each in (images, masks):
        each.mkdir(parents=True)
    return images, masks


def _coloured(photo: Pixels, mask: Pixels, random: np.random.Generator) -> Pixels:
    """Colour a photo where its mask is, so that the mask fits, as those of real pairs do."""
    share = COLOURED * mask[..., None].astype(np.float32) / 255
    colour = random.choice((0, 255), 3).astype(np.float32)
    return ((1 - share) * photo + share * colour).astype(np.uint8)


def _part(pixels: Pixels, random: np.random.Generator, *, aspect: float) -> Pixels:
    """Cut a window of some width over height out of a photo."""
    tall, wide = pixels.shape[:2]
    height = min(tall, wide / aspect) * random.uniform(LEAST_PART, 1)
    rows, columns = max(1, int(height)), max(1, int(height * aspect))
    top, left = random.integers(tall - rows + 1), random.integers(wide - columns + 1)
    return pixels[top : top + rows, left : left + columns]


def _write_mask(path: Path, mask: Pixels) -> None:
    path.write_bytes(encode(mask, "png"))

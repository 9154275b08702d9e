"""People made by code: figures of one colour before textured grounds."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def draw_person(seed: int, *, height: int = 120, width: int = 90) -> tuple[Picture, Picture]:
    """Return a photo (H, W, 3) of a figure of one colour, and its mask (H, W), 0 or 255."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    centre = width * rng.uniform(0.4, 0.6)
    head = (rows - height * 0.3) ** 2 + (columns - centre) ** 2 < (height * 0.15) ** 2
    body = (rows > height * 0.5) & (abs(columns - centre) < width * 0.3)
    person = head | body
    ground = rng.integers(0, 90, (height, width, 3))
    figure = np.array([200, 160, 120]) + rng.integers(-20, 20, (height, width, 3))
    photo = np.where(person[..., None], figure, ground).astype(np.uint8)
    return photo, person.astype(np.uint8) * 255


def draw_portrait(seed: int, *, height: int = 120, width: int = 90) -> tuple[Picture, Picture]:
    """Return a photo (H, W, 3) for a dataset, and its mask (H, W), 0 or 255.

    Figures and the shades of the grounds differ so much that no two photos are near duplicates.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    centre, neck = width * rng.uniform(0.25, 0.75), height * rng.uniform(0.4, 0.65)
    radius, shoulders = height * rng.uniform(0.12, 0.17), width * rng.uniform(0.22, 0.38)
    head = (rows - neck + height * 0.2) ** 2 + (columns - centre) ** 2 < radius**2
    # One shoulder is wider: people are not their own mirror images.
    body = (rows > neck) & (columns > centre - shoulders) & (columns < centre + 0.75 * shoulders)
    person = head | body
    shades = Image.fromarray(rng.integers(0, 2, (8, 6), np.uint8) * 80)
    shades = shades.resize((width, height), Image.Resampling.BILINEAR)
    ground = np.asarray(shades)[..., None] + rng.integers(0, 20, (height, width, 3))
    figure = np.array([200, 160, 120]) + rng.integers(-20, 20, (height, width, 3))
    photo = np.where(person[..., None], figure, ground).astype(np.uint8)
    return photo, person.astype(np.uint8) * 255


def write_pairs(root: Path, count: int) -> None:
    """Write images/NN.png and masks/NN.png; PNG, so that content hashes never change."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        photo, mask = draw_portrait(number)
        Image.fromarray(photo).save(root / "images" / f"{number:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")

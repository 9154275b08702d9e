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
    radius, shoulders = height * rng.uniform(0.13, 0.17), width * rng.uniform(0.25, 0.35)
    head = (rows - height * 0.3) ** 2 + (columns - centre) ** 2 < radius**2
    # One shoulder is wider: people are not their own mirror images.
    body = (rows > height * 0.5) & (columns > centre - shoulders)
    body &= columns < centre + 0.75 * shoulders
    person = head | body
    # Shades as large as the figure, so that no two photos are near duplicates; little red in them.
    shades = Image.fromarray(rng.integers(0, 190, (8, 6, 3), np.uint8))
    ground = np.asarray(shades.resize((width, height), Image.Resampling.BILINEAR)) * (0.4, 1.0, 1.0)
    ground = ground + rng.integers(0, 60, (height, width, 3))
    figure = np.array([200, 160, 120]) + rng.integers(-20, 20, (height, width, 3))
    photo = np.where(person[..., None], figure, ground).astype(np.uint8)
    return photo, person.astype(np.uint8) * 255


def write_pairs(root: Path, count: int) -> None:
    """Write images/NN.png and masks/NN.png; PNG, so that content hashes never change."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        photo, mask = draw_person(number)
        Image.fromarray(photo).save(root / "images" / f"{number:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")

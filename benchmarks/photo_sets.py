"""Folders of photos of one size, all different, made from a few photos at hand."""

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from pipelines.encoding import encode
from pipelines.images import Pixels, decode_photo
from pipelines.photo_search import find_photos
from pipelines.sizes import resize
from pipelines.whole_files import read_bytes

EXAMPLES = Path(__file__).parents[1] / "examples" / "photos"

GRAIN = 3.5
"""Standard deviation of the grain that is added, in grey levels.

Enlarged photos are smoother than those that a camera takes. With it, one of 12 megapixels has some
3.5 MB, as photos of phones do.
"""

GRAIN_TILE = 512
"""Side in pixels of the pattern of grain, which is repeated."""


def write_photo_set(folder: Path, source: Path, *, count: int, height: int, width: int) -> None:
    """Write JPEG files of one size; each shows one of the photos of `source` in its own grain.

    Photos are enlarged or reduced to fill the frame, and cropped around their middle.

    Raises:
        InputError: There are no photos.
    """
    folder.mkdir(parents=True)
    originals = list(_photos(source, height=height, width=width))
    for number, pixels in enumerate(islice(cycle(originals), count)):
        noisy = with_grain(pixels, np.random.default_rng(number))
        (folder / f"{number:06d}.jpg").write_bytes(encode(noisy, "jpg"))


def _photos(source: Path, *, height: int, width: int) -> Iterator[Pixels]:
    return (filling(pixels, height=height, width=width) for pixels in read_photos(source))


def read_photos(source: Path) -> Iterator[Pixels]:
    """Yield the photos of a folder.

    Raises:
        InputError: There are none.
    """
    tree = find_photos([source])
    for name in tree.sources:
        yield decode_photo(read_bytes(tree.root / name)).pixels


def filling(pixels: Pixels, *, height: int, width: int) -> Pixels:
    """Enlarge or reduce a photo to fill a frame, and crop it around its middle."""
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    tall, wide = (max(1, round(scale * side)) for side in pixels.shape[:2])
    tall, wide = max(tall, height), max(wide, width)
    large = resize(pixels, height=tall, width=wide)
    y, x = (tall - height) // 2, (wide - width) // 2
    return np.ascontiguousarray(large[y : y + height, x : x + width])


def with_grain(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Add grain of one pattern, as that of a sensor."""
    height, width = pixels.shape[:2]
    tile = random.normal(0, GRAIN, (GRAIN_TILE, GRAIN_TILE)).round().astype(np.int16)
    rows, columns = -(-height // GRAIN_TILE), -(-width // GRAIN_TILE)
    grain = np.tile(tile, (rows, columns))[:height, :width, np.newaxis]
    return (pixels + grain).clip(0, 255).astype(np.uint8)

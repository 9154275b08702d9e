"""Makes folders of small photos, each with a content of its own, some of them broken."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = ("jpg", "png", "webp", "jpg", "bmp", "tif", "jpg")
PHOTOS_PER_FOLDER = 1000
WIDTH, HEIGHT = 64, 48


def make_photos(
    folder: Path,
    count: int,
    *,
    broken: Iterable[int] = (),
    width: int = WIDTH,
    height: int = HEIGHT,
) -> None:
    """Write `count` photos below a folder, a thousand in each; those that are there stay.

    Args:
        folder: Where to.
        count: How many.
        broken: Numbers of those that cannot be read: empty, cut short, or no picture at all.
        width: In pixels.
        height: In pixels.
    """
    spoilt = frozenset(broken)
    for number in range(count):
        extension = FORMATS[number % len(FORMATS)]
        path = folder / f"{number // PHOTOS_PER_FOLDER:04d}" / f"{number:07d}.{extension}"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        content = _photo(number, Path(path.name).suffix, width=width, height=height)
        path.write_bytes(_spoilt(content, number) if number in spoilt else content)


def _photo(number: int, extension: str, *, width: int, height: int) -> bytes:
    coarse = np.random.default_rng(number).integers(0, 256, (4, 5, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    picture.save(buffer, Image.registered_extensions()[extension])
    return buffer.getvalue()


def _spoilt(content: bytes, number: int) -> bytes:
    return (b"", content[: len(content) // 2], b"not a photo %d" % number)[number % 3]

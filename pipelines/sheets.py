"""Contact sheets: rows of pictures that belong together, each with a caption below."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.images import Pixels
from pipelines.sizes import fitted_size, resize

PAPER = (255, 255, 255)
INK = (20, 20, 20)
PICTURE = 220
"""Longer side of a picture in pixels."""

COLUMNS = 3
GAP = 10
FONT_SIZE = 14
LINES = 3
"""Of a caption; the rest of a longer one is left out."""

_LINE = FONT_SIZE + 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """What a sheet shows side by side.

    Attributes:
        pictures: RGB (H, W, 3) or grey (H, W) uint8, of any size.
        caption: What stands below.
    """

    pictures: Sequence[Pixels]
    caption: str


def thumbnail(picture: Pixels) -> Pixels:
    """Return a picture, (H, W, 3) or (H, W) uint8, at the size that sheets show.

    Whoever gathers entries keeps these: the photos of a whole sheet could take gigabytes.
    """
    height, width = picture.shape[:2]
    height, width = fitted_size(height=height, width=width, long_side=PICTURE)
    return resize(picture, height=height, width=width)


def contact_sheet(entries: Sequence[Entry], title: str) -> Pixels:
    """Lay entries out in even columns.

    Args:
        entries: In reading order, at least one.
        title: What stands above them.

    Returns:
        RGB, (H, W, 3) uint8.
    """
    shown = [[_shown(picture) for picture in entry.pictures] for entry in entries]
    slot = max(picture.shape[1] for pictures in shown for picture in pictures) + GAP
    slots = max(len(pictures) for pictures in shown)
    columns = min(COLUMNS, len(entries))
    cell_width, cell_height = slots * slot + GAP, PICTURE + LINES * _LINE + 2 * GAP
    top = 2 * GAP + _LINE
    height = top + -(-len(entries) // columns) * cell_height
    sheet = Image.new("RGB", (columns * cell_width + GAP, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    draw.text((GAP, GAP), _printable(title), fill=INK, font=font)
    letters = int((slots * slot - GAP) / (0.55 * FONT_SIZE))
    for number, (entry, pictures) in enumerate(zip(entries, shown, strict=True)):
        x = GAP + number % columns * cell_width
        y = top + number // columns * cell_height
        for place, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (x + place * slot, y))
        lines = wrap(_printable(entry.caption), letters)[:LINES]
        draw.multiline_text((x, y + PICTURE + GAP // 2), "\n".join(lines), fill=INK, font=font)
    return np.asarray(sheet)


def _shown(picture: Pixels) -> Pixels:
    shown = thumbnail(picture)
    return shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)  # noqa: PLR2004


def _printable(text: str) -> str:
    """Replace what is no text, as names of files may hold."""
    return text.encode("utf-8", "replace").decode()

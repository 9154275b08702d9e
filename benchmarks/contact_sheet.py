"""A contact sheet: photos, what was cut out of them, and where that is wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from held_out import HeldOutPhoto
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipelines.compositing import plain_background, put_before
from pipelines.images import PERSON_FROM, Pixels
from pipelines.inference import binary_mask, soft_mask, to_alpha
from pipelines.scoring import THRESHOLD
from pipelines.sizes import fitted_size, resize

PAPER = (255, 255, 255)
INK = (20, 20, 20)
FLAT = (90, 160, 110)
"""Ground of the cut-outs: a green that neither skin nor most clothes have."""

MISSED = (230, 30, 30)
WRONGLY_KEPT = (30, 80, 240)
STAIN = 0.65
"""Share of the colour of an error over the grey photo."""

PICTURE = 260
"""Longer side of a picture in pixels."""

PICTURES = 3
"""Number of pictures of an entry: photo, cut-out, error map."""

CAPTION = 150
"""Width of the text beside the pictures in pixels."""

GAP = 12
COLUMNS = 2
FONT_SIZE = 18


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One photo of a sheet.

    Attributes:
        probability: (h, w) in [0, 1].
        portrait_iou: A fraction of 1.
    """

    sample: HeldOutPhoto
    probability: NDArray[np.float32]
    portrait_iou: float


def contact_sheet(entries: Sequence[Entry], title: str) -> Pixels:
    """Lay photo, cut-out on flat colour and error map of every entry out in even rows.

    In the error map red is what was missed and blue what was wrongly kept.

    Args:
        entries: In reading order, at least one.
        title: What stands above them.

    Returns:
        RGB, (H, W, 3) uint8.
    """
    # As wide as the widest, so that all stand in even columns.
    slot = max(_shown_size(entry)[1] for entry in entries) + GAP
    cell_width, cell_height = PICTURES * slot + CAPTION + GAP, PICTURE + GAP
    rows = -(-len(entries) // COLUMNS)
    top = 2 * GAP + FONT_SIZE
    sheet = Image.new("RGB", (COLUMNS * cell_width + GAP, rows * cell_height + top), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(FONT_SIZE)
    draw.text((GAP, GAP), title, fill=INK, font=font)
    for number, entry in enumerate(entries):
        x = GAP + number % COLUMNS * cell_width
        y = top + number // COLUMNS * cell_height
        for picture in _pictures(entry):
            sheet.paste(Image.fromarray(picture), (x, y))
            x += slot
        draw.multiline_text((x, y), _caption(number, entry), fill=INK, font=font, spacing=6)
    return np.asarray(sheet)


def error_map(photo: Pixels, kept: Pixels, mask: Pixels) -> Pixels:
    """Stain the grey photo red where a person was missed, blue where none was kept.

    Args:
        photo: RGB, (H, W, 3) uint8.
        kept: What was predicted, (H, W) uint8, 0-255.
        mask: What is true, likewise.
    """
    grey = cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    person, predicted = mask >= PERSON_FROM, kept >= PERSON_FROM
    stained = grey.astype(np.float32)
    for wrong, colour in ((person & ~predicted, MISSED), (~person & predicted, WRONGLY_KEPT)):
        stained[wrong] += STAIN * (np.array(colour, np.float32) - stained[wrong])
    return stained.round().astype(np.uint8)


def _pictures(entry: Entry) -> Iterator[Pixels]:
    photo, mask = entry.sample.photo, entry.sample.mask
    height, width = mask.shape
    alpha = soft_mask(to_alpha(entry.probability), height=height, width=width)
    kept = binary_mask(entry.probability, height=height, width=width, threshold=THRESHOLD)
    cut_out = put_before(photo, alpha, plain_background(FLAT, height=height, width=width)).whole()
    height, width = _shown_size(entry)
    for picture in (photo, cut_out, error_map(photo, kept, mask)):
        yield resize(picture, height=height, width=width)


def _shown_size(entry: Entry) -> tuple[int, int]:
    height, width = entry.sample.mask.shape
    return fitted_size(height=height, width=width, long_side=PICTURE)


def _caption(number: int, entry: Entry) -> str:
    name = entry.sample.name.replace("#", "\n#")
    return f"{number + 1}.\n{entry.sample.dataset}\n{name}\nIoU {100 * entry.portrait_iou:.1f} %"

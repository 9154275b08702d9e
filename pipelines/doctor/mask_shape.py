"""The shape of a mask, in a few numbers."""

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.images import OPAQUE, PERSON_FROM, Pixels

SMALL = 160
"""Longer side in pixels at which pieces are counted; single pixels of the mask are picked, since
a mean would remove the specks."""

NEARLY = 8
"""Grey values so close to 0 and 255, but not quite there."""

BORDER = 0.03
"""Width of the border as a share of the mask's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskShape:
    """What there is to say of a mask without its photo.

    Attributes:
        share: Of the person in the mask, [0, 1].
        border: Share of the person along the upper border and the upper parts of the sides.
        middle: Share of the person in the middle, where most portraits have theirs.
        pieces: Pieces of the person, and of what is not the person.
        filled: Share of the person in the smallest box around it.
        box: Share of the mask that this box takes.
        equal_rows: Share of the rows that are as the one above, of those that show an outline.
        equal_columns: Likewise.
        nearly: Share of the pixels that are nearly, but not quite, 0 or 255.
        between: Share of the pixels that are neither that nor 0 or 255.
        digest: Hash of where the person is.
    """

    share: float
    border: float
    middle: float
    pieces: int
    filled: float
    box: float
    equal_rows: float
    equal_columns: float
    nearly: float
    between: float
    digest: str


def mask_shape(mask: Pixels) -> MaskShape:
    """Measure a mask.

    Args:
        mask: (H, W) uint8, 0-255, C-contiguous for speed.
    """
    person = (mask >= PERSON_FROM).view(np.uint8)
    packed = np.packbits(person, axis=1)
    step = max(1, max(mask.shape) // SMALL)
    small = np.ascontiguousarray(person[::step, ::step])
    filled, box = _box(small)
    nearly, between = _greys(mask[::step, ::step])
    return MaskShape(
        share=float(np.bitwise_count(packed).sum(dtype=np.int64)) / mask.size,
        border=_border(small),
        middle=_middle(small),
        pieces=_pieces(small) + _pieces(1 - small),
        filled=filled,
        box=box,
        equal_rows=_equal_share(
            (packed[1:] != packed[:-1]).any(axis=1), (packed != packed[:, :1]).any(axis=1)
        ),
        equal_columns=_equal_columns(packed, mask.shape[1]),
        nearly=nearly,
        between=between,
        digest=hashlib.blake2b(packed.tobytes(), digest_size=8).hexdigest(),
    )


def _border(person: Pixels) -> float:
    height, width = person.shape
    depth = max(1, round(BORDER * width))
    upper = person[: height * 2 // 3]
    parts = (person[:depth], upper[:, :depth], upper[:, -depth:])
    return float(np.concatenate([part.ravel() for part in parts]).mean())


def _middle(person: Pixels) -> float:
    height, width = person.shape
    middle = person[height * 3 // 10 : height * 9 // 10, width * 3 // 10 : width * 7 // 10]
    return float(middle.mean()) if middle.size else 0.0


def _pieces(person: Pixels) -> int:
    return cv2.connectedComponents(person, connectivity=8)[0] - 1


def _box(person: Pixels) -> tuple[float, float]:
    """Return how much of the smallest box around a person is filled, and how large it is."""
    _, _, width, height = cv2.boundingRect(person)
    area = width * height
    return (float(person.sum()) / area if area else 0.0), area / person.size


def _equal_columns(packed: NDArray[np.uint8], width: int) -> float:
    """Do the same for columns, whose pixels are single bits: each is compared with its left one."""
    left = packed >> 1
    left[:, 1:] |= packed[:, :-1] << 7
    differs = np.unpackbits(np.bitwise_or.reduce(packed ^ left, axis=0))[1:width] > 0
    mixed = np.bitwise_or.reduce(packed, axis=0) ^ np.bitwise_and.reduce(packed, axis=0)
    return _equal_share(differs, np.unpackbits(mixed)[:width] > 0)


def _equal_share(differs: NDArray[np.bool_], has_outline: NDArray[np.bool_]) -> float:
    """Return the share of lines that are as the one before, of those that show an outline."""
    return 1.0 - float((differs & has_outline[1:]).sum() / max(1, has_outline[1:].sum()))


def _greys(values: Pixels) -> tuple[float, float]:
    """Return the shares of values that are nearly at an end, and of those between."""
    distance = np.minimum(values, OPAQUE - values)
    nearly = float(((distance > 0) & (distance <= NEARLY)).mean())
    return nearly, float((distance > NEARLY).mean())

"""Does a mask lie where its photo has edges?

A photo has edges along the outline of a person. So the outline of the mask is laid over the edges
of the photo, as it is and displaced, mirrored or turned: if it lies on far more edges elsewhere,
that says what is wrong with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.images import PERSON_FROM, Pixels

Placing = Literal["shifted", "mirrored", "rotated"]
Scores = NDArray[np.float32]

DIRECTIONS = 8
"""Of edges, over half a turn: an edge and its opposite are one."""

REACH = 0.11
"""Furthest displacement that is tried, as a share of the longer side."""

NEAR = 1.5
"""Displacements of so many pixels are none: outlines are not that exact."""

CLEAR = 3.0
"""A mask is displaced from so many pixels on."""

NEIGHBOURHOOD = 19
"""Side in pixels of what the strength of an edge is compared with."""

GRADIENT_FLOOR = 8.0
"""Strength of an edge below which it may be noise, in what Sobel's operator gives for it."""

SMALL_TURNS = (-16.0, -12.0, -8.0, -5.0, 5.0, 8.0, 12.0, 16.0)
"""In degrees. Smaller ones hardly move an outline by a pixel."""

WEAK = 4.0
"""An outline that stands out less than this may be mirrored or turned. 7 % of the masks of the
dataset of Shen et al. do, 0.4 % of those of CCP."""

POINTS = 128
"""No more of an outline are looked at, evenly spread."""

FEW_POINTS = 24
"""A shorter outline says nothing."""


_ANGLES = np.arange(DIRECTIONS) * (np.pi / DIRECTIONS)
_PROJECTIONS = np.stack(
    [np.cos(_ANGLES) ** 2, np.sin(2 * _ANGLES), np.sin(_ANGLES) ** 2], axis=1
).astype(np.float32)
"""What a structure tensor (xx, xy, yy) is multiplied by to see it across each direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """How well the outline of a mask lies on the edges of its photo.

    Attributes:
        here: Mean edge along the outline where it lies, about 1 for a line drawn at random.
        contrast: How far that stands out from outlines that are displaced, in their standard
            deviations.
        light: Mean grey level of the photo along the outline: in the dark nobody sees edges.
        placing: The change of the mask that brings it to most edges.
        amount: Of a shift, x and y as shares of width and height; of a turn, degrees and 0.
        there: As `here`, after that change.
        contrast_there: As `contrast`, after that change.
    """

    here: float
    contrast: float
    light: float
    placing: Placing
    amount: tuple[float, float]
    there: float
    contrast_there: float


def align(photo: Pixels, mask: Pixels) -> Alignment | None:
    """Compare the outline of a mask with the edges of its photo.

    Args:
        photo: RGB, (h, w, 3) uint8, reduced to about 100 pixels.
        mask: (h, w) uint8, 0-255, reduced likewise.

    Returns:
        None if the outline is too short to say anything.
    """
    outline = _Outline.of(mask)
    if outline is None:
        return None
    reach = max(round(REACH * max(mask.shape)), round(CLEAR) + 1)
    edges = _Edges.of(photo, reach)
    scores = edges.scores(outline)
    distances = _distances(reach)
    is_elsewhere = distances >= CLEAR
    here = scores[distances <= NEAR].max()
    mean, deviation = scores[is_elsewhere].mean(), scores[is_elsewhere].std() + 1e-6
    peak = int(np.where(is_elsewhere, scores, -1).argmax())
    y, x = np.subtract(divmod(peak, 2 * reach + 1), reach)
    shift = float(x / mask.shape[1]), float(y / mask.shape[0])
    found: list[tuple[float, float, Placing, tuple[float, float]]] = [
        (float(scores[peak]), float((scores[peak] - mean) / deviation), "shifted", shift)
    ]
    contrast = float((here - mean) / deviation)
    if contrast < WEAK:
        for placing, degrees, changed in _changed(mask):
            if (moved := _Outline.of(changed)) is None:
                continue
            others = edges.scores(moved)
            there = others[distances <= 2 * NEAR].max()
            stands_out = float((there - others.mean()) / (others.std() + 1e-6))
            found.append((float(there), stands_out, placing, (degrees, 0.0)))
    there, contrast_there, placing, amount = max(found)
    return Alignment(
        here=float(here),
        contrast=contrast,
        light=float(photo[outline.rows, outline.columns].mean()),
        placing=placing,
        amount=amount,
        there=there,
        contrast_there=contrast_there,
    )


@dataclass(frozen=True, eq=False)
class _Outline:
    """Pixels on the outline of a mask, and which of `DIRECTIONS` is across it there, (n,) each."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    directions: NDArray[np.intp]

    @classmethod
    def of(cls, mask: Pixels) -> "_Outline | None":
        person = (mask >= PERSON_FROM).view(np.uint8)
        found = cv2.findNonZero(cv2.morphologyEx(person, cv2.MORPH_GRADIENT, np.ones((2, 2))))
        if found is None or len(found) < FEW_POINTS:
            return None
        columns, rows = found.reshape(-1, 2)[:: -(-len(found) // POINTS)].astype(np.intp).T
        across = cv2.Sobel(mask, cv2.CV_32F, 1, 0)[rows, columns]
        down = cv2.Sobel(mask, cv2.CV_32F, 0, 1)[rows, columns]
        angle = np.arctan2(down, across) / (np.pi / DIRECTIONS)
        return cls(rows, columns, np.rint(angle).astype(np.intp) % DIRECTIONS)


@dataclass(frozen=True, eq=False)
class _Edges:
    """The edges of a photo, laid out for looking up, with a margin in which there are none.

    Attributes:
        planes: How strong an edge runs across each direction, (DIRECTIONS, h, w).
        inside: 1 inside of the photo, 0 in the margin, (h, w).
        reach: Width of the margin in pixels.
    """

    planes: NDArray[np.float32]
    inside: NDArray[np.float32]
    reach: int

    @classmethod
    def of(cls, photo: Pixels, reach: int) -> "_Edges":
        smooth = cv2.GaussianBlur(photo, (0, 0), 0.7)
        across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
        # The structure tensor, summed over the channels (Di Zenzo 1986): edges of colour count too.
        tensor = np.stack(
            [
                cv2.transform(product, np.ones((1, 3), np.float32))
                for product in (across * across, across * down, down * down)
            ]
        )
        strength = np.sqrt(tensor[0] + tensor[2])
        # Relative to what is around: an outline before calm ground counts as much as one before
        # a crowd.
        around = cv2.blur(strength, (NEIGHBOURHOOD, NEIGHBOURHOOD)) + GRADIENT_FLOOR
        tensor = tensor / (np.maximum(strength, 1e-6) * around)
        height, width = strength.shape
        planes = np.zeros((DIRECTIONS, height + 2 * reach, width + 2 * reach), np.float32)
        inside = np.zeros(planes.shape[1:], np.float32)
        middle = slice(reach, reach + height), slice(reach, reach + width)
        planes[:, *middle] = np.tensordot(_PROJECTIONS, tensor, axes=1)
        inside[middle] = 1
        return cls(planes, inside, reach)

    def scores(self, outline: _Outline) -> Scores:
        """Return the mean edge along the outline for every displacement, row by row."""
        height, width = self.inside.shape
        side = np.arange(2 * self.reach + 1)
        offsets = (side[:, None] * width + side).reshape(-1, 1)
        start = outline.rows * width + outline.columns
        total = self.planes.ravel().take(offsets + (start + outline.directions * height * width))
        count = self.inside.ravel().take(offsets + start).sum(axis=1)
        return total.sum(axis=1) / np.maximum(count, len(start) / 2)


@cache
def _distances(reach: int) -> Scores:
    """Return the length of every displacement, row by row."""
    side = np.arange(-reach, reach + 1, dtype=np.float32)
    return np.hypot(side[:, None], side).ravel()


def _changed(mask: Pixels) -> Iterator[tuple[Placing, float, Pixels]]:
    """Yield the mask mirrored and turned, with the degrees of the turn."""
    yield "mirrored", 0.0, mask[:, ::-1].copy()
    yield "mirrored", 180.0, mask[::-1].copy()
    yield "rotated", 180.0, mask[::-1, ::-1].copy()
    height, width = mask.shape
    if height == width:
        yield "rotated", 90.0, np.rot90(mask).copy()
        yield "rotated", -90.0, np.rot90(mask, -1).copy()
    for degrees in SMALL_TURNS:
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        turned = cv2.warpAffine(mask, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        yield "rotated", degrees, np.asarray(turned, np.uint8)

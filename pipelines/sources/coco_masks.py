"""Masks of COCO annotations: polygons, and run lengths as pycocotools knows them."""

import re
from array import array
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from pipelines.errors import PhotoError
from pipelines.images import OPAQUE, Pixels
from pipelines.sources.mask_origin import Mask, sha256_of
from pipelines.sources.shapes import DRAWN, POINTS, blank_mask, checked_points
from pipelines.storage import FilePath, Location

_FINISHED = re.compile("[0-o]*[0-O]", re.ASCII)
"""Packed run lengths: each character from `0` to `o` holds five bits, and from `P` on there are
more to come."""


class Polygons(NamedTuple):
    """Outlines, x and y in turn, that together make a shape."""

    outlines: tuple["array[float]", ...]


class Runs(NamedTuple):
    """Lengths of runs of 0 and 1 down the columns, or the text that pycocotools makes of them."""

    size: tuple[Any, ...]
    counts: "array[int] | str"


class Shape(NamedTuple):
    """The shape of an annotation, packed, since there may be a million of them.

    Attributes:
        annotation: Its id.
        content: What is drawn, or why nothing can be.
    """

    annotation: Any
    content: Polygons | Runs | str


@dataclass(frozen=True, slots=True)
class CocoMask:
    """The shapes of an image.

    Attributes:
        file: Where they come from.
        image: Its id.
        height: As the file has it.
        width: As the file has it.
        people: What is drawn.
        removed: What is taken away again.
    """

    file: Location
    image: Any
    height: Any
    width: Any
    people: tuple[Shape, ...]
    removed: tuple[Shape, ...] = ()

    def __str__(self) -> str:
        return f"{self.file} (image {self.image})"

    @property
    def files(self) -> tuple[FilePath, ...]:
        """None: the list has been read."""
        return ()

    def read(self, photo: bytes) -> Mask:  # noqa: ARG002 - it is of no use here
        """Draw the shapes."""
        mask = blank_mask(self.height, self.width)
        for shape in self.people:
            mask |= _draw(shape, mask)
        for shape in self.removed:
            mask &= ~_draw(shape, mask)
        facts = (self.height, self.width, self.people, self.removed)
        return Mask(mask, DRAWN, sha256_of(repr(facts).encode()))


def pack(annotation: Any, segmentation: Any) -> Shape:
    """Pack what an annotation has as `segmentation`."""
    try:
        match segmentation:
            case [_, *_]:
                outlines = tuple(array("d", outline) for outline in segmentation)
                return Shape(annotation, Polygons(outlines))
            case {"size": [*size], "counts": str(counts)}:
                return Shape(annotation, Runs(tuple(size), counts))
            case {"size": [*size], "counts": [*counts]}:
                return Shape(annotation, Runs(tuple(size), array("q", counts)))
    except (TypeError, OverflowError):
        return Shape(annotation, "its segmentation holds something else than numbers")
    return Shape(annotation, "it has no segmentation that could be drawn")


def _draw(shape: Shape, mask: Pixels) -> Pixels:
    """Draw one shape alone, (H, W), 0 or 255."""
    try:
        return _ones(shape.content, mask) * np.uint8(OPAQUE)
    except PhotoError as error:
        raise PhotoError(f"annotation {shape.annotation}: {error}") from error


def _ones(content: Polygons | Runs | str, mask: Pixels) -> Pixels:
    match content:
        case Polygons(outlines):
            return _fill(outlines, mask)
        case Runs(size, counts):
            return _decode(size, counts, mask)
        case problem:
            raise PhotoError(problem)


def _fill(outlines: tuple["array[float]", ...], mask: Pixels) -> Pixels:
    polygons = [checked_points(outline, mask) for outline in outlines]
    # Of four numbers pycocotools would make a box.
    corners = [polygon.ravel().tolist() for polygon in polygons if len(polygon) >= POINTS]
    if not corners:
        return np.zeros_like(mask)
    runs = coco_mask.frPyObjects(corners, *mask.shape)
    return coco_mask.decode(coco_mask.merge(runs))


def _decode(size: tuple[Any, ...], counts: "array[int] | str", mask: Pixels) -> Pixels:
    if size != mask.shape:
        raise PhotoError(
            f"its run lengths are of {_times(size)} pixels, the image of {_times(mask.shape)}"
        )
    if isinstance(counts, str):
        return _unpack(counts, mask)
    if min(counts, default=0) < 0:
        raise PhotoError("one of its run lengths is negative")
    if sum(counts) != mask.size:
        raise PhotoError(f"its run lengths add up to {sum(counts)}, not to {mask.size} pixels")
    packed = {"size": list(mask.shape), "counts": counts.tolist()}
    return coco_mask.decode(coco_mask.frPyObjects(packed, *mask.shape))


def _unpack(counts: str, mask: Pixels) -> Pixels:
    """Decode packed run lengths.

    pycocotools refuses those that are too long, but reads on behind an unfinished number, and
    leaves what short ones miss as it was in memory. Hence they must be too long for a pixel less.
    """
    if _FINISHED.fullmatch(counts) is None:
        raise PhotoError("its packed run lengths are damaged")
    packed = counts.encode()
    try:
        unpacked = coco_mask.decode({"size": list(mask.shape), "counts": packed})
    except ValueError as error:
        raise PhotoError("its packed run lengths are damaged or too long") from error
    try:
        coco_mask.decode({"size": [mask.size - 1, 1], "counts": packed})
    except ValueError:
        return unpacked
    raise PhotoError(f"its packed run lengths end before {mask.size} pixels")


def _times(size: tuple[Any, ...]) -> str:
    return " x ".join(map(str, size[::-1]))

"""The layout `supervisely`: a project that Supervisely exported.

`meta.json` names the classes; each dataset is a folder with photos in `img` and an annotation per
photo in `ann`, a list of objects:
https://developer.supervisely.com/getting-started/supervisely-annotation-format
Later objects lie above earlier ones.
"""

import base64
import binascii
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipelines.errors import InputError, PhotoError
from pipelines.images import OPAQUE, Pixels, is_photo_name
from pipelines.mask_pictures import decode_alpha, decode_mask
from pipelines.sources.classes import ClassChoice, Classes, chosen_classes
from pipelines.sources.files import SourceFiles, split_named, without_suffix
from pipelines.sources.mask_origin import Mask, sha256_of
from pipelines.sources.sample import Sample, sample_names
from pipelines.sources.shapes import DRAWN, POINTS, blank_mask, checked_points, paste
from pipelines.storage import FilePath, Location
from pipelines.whole_files import read_bytes

META = "meta.json"
PHOTOS, ANNOTATIONS = "img", "ann"

MAX_BITMAP_BYTES = 1 << 28
"""Bitmaps that unpack to more are refused; even one of the largest photo takes far less."""


@dataclass(frozen=True, slots=True)
class SuperviselyMask:
    """The objects of an annotation.

    Attributes:
        path: File of the annotation.
        classes: Which of its objects count.
    """

    path: FilePath
    classes: ClassChoice

    def __str__(self) -> str:
        return str(self.path)

    @property
    def files(self) -> tuple[FilePath, ...]:
        """The annotation."""
        return (self.path,)

    def read(self, photo: bytes) -> Mask:  # noqa: ARG002 - it is of no use here
        """Read the annotation and draw its objects in their order."""
        content = read_bytes(self.path)
        return Mask(_draw(content, self.classes), DRAWN, sha256_of(content))


def matches(files: SourceFiles) -> bool:
    """Tell whether there is a list of classes, and annotations."""
    return (
        not files.chosen
        and META in files.names
        and any(_is_annotation(name) for name in files.names)
    )


def discover(files: SourceFiles, classes: Classes) -> Iterator[Sample]:
    """List all photos, and all annotations without one.

    Raises:
        InputError: The list of classes is missing or damaged, or lacks a class that is chosen.
    """
    choice = chosen_classes(classes, _class_names(files.path(META)), str(files.path(META)))
    annotations = {name for name in files.names if _is_annotation(name)}
    photos = [name for name in files.names if _folder(name) == PHOTOS and is_photo_name(name)]
    stems = Counter(map(without_suffix, photos))
    found = {photo: _annotation_of(photo, annotations) for photo in photos}
    orphans = {
        _beside(name, PHOTOS).removesuffix(".json"): name
        for name in sorted(annotations.difference(found.values()))
    }
    both = found | orphans
    names = sample_names([_beside(photo, "") for photo in both])
    return (
        Sample(
            name=name,
            photo=files.file(photo),
            mask=SuperviselyMask(files.file(annotation), choice),
            split=split_named(photo.split("/")[-3]) if photo.count("/") > 1 else None,
            problem=f"{annotation} may belong to several photos"
            if stems[without_suffix(photo)] > 1 and annotation != _whole_name(photo)
            else "",
        )
        for (photo, annotation), name in zip(both.items(), names, strict=True)
    )


def _is_annotation(name: str) -> bool:
    return _folder(name) == ANNOTATIONS and name.endswith(".json")


def _folder(name: str) -> str:
    """Return the name of the folder that a file lies in; empty for the root."""
    return name.rpartition("/")[0].rpartition("/")[2]


def _beside(name: str, folder: str) -> str:
    """Return where a file would be in another folder of its dataset, or without a folder in it."""
    dataset, _, file = name.rsplit("/", 2) if name.count("/") > 1 else ("", *name.split("/"))
    return "/".join(filter(None, (dataset, folder, file)))


def _annotation_of(photo: str, annotations: set[str]) -> str:
    """Return the annotation of a photo, named after its whole name or, in old exports, its stem."""
    old = f"{without_suffix(_beside(photo, ANNOTATIONS))}.json"
    whole = _whole_name(photo)
    return old if whole not in annotations and old in annotations else whole


def _whole_name(photo: str) -> str:
    return f"{_beside(photo, ANNOTATIONS)}.json"


def _class_names(meta: Location) -> list[str]:
    try:
        return [_text(each["title"]) for each in json.loads(read_bytes(meta))["classes"]]
    except (PhotoError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{meta}: not the list of classes of a Supervisely project ({error!r})"
        ) from error


def _text(title: Any) -> str:
    if not isinstance(title, str):
        raise TypeError(f"{title!r} is no name of a class")
    return title


def _draw(content: bytes, classes: ClassChoice) -> Pixels:
    try:
        annotation = json.loads(content)
        size, objects = annotation["size"], annotation["objects"]
        mask = blank_mask(size["height"], size["width"])
        titles = [_text(each["classTitle"]) for each in objects]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PhotoError(f"not an annotation of Supervisely ({error!r})") from error
    for number, (title, each) in enumerate(zip(titles, objects, strict=True), start=1):
        if title not in classes.people + classes.removed:
            continue
        try:
            shape = _shape(each, mask)
        except PhotoError as error:
            raise PhotoError(f"object {number} ({title}): {error}") from error
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise PhotoError(f"object {number} ({title}) is damaged ({error!r})") from error
        if title in classes.people:
            np.maximum(mask, shape, out=mask)
        else:
            np.minimum(mask, OPAQUE - shape, out=mask)
    return mask


def _shape(each: dict[str, Any], mask: Pixels) -> Pixels:
    """Draw one object alone, (H, W) uint8, 0-255."""
    match each["geometryType"]:
        case "polygon":
            return _polygon(each["points"], mask)
        case "bitmap" | "alpha_mask" as kind:
            bitmap = each["bitmap"]
            x, y = bitmap["origin"]
            part = _bitmap(bitmap["data"], soft=kind == "alpha_mask")
            return paste(mask, part, (round(x), round(y)))
        case kind:
            raise PhotoError(
                f"a {kind} says not which pixels show a person; leave its class out of --classes, "
                "or draw it as a polygon or a bitmap"
            )


def _polygon(points: dict[str, Any], mask: Pixels) -> Pixels:
    """Fill a polygon, its outline included, as Supervisely's own library does it."""
    shape = np.zeros_like(mask)
    for rings, value in (([points["exterior"]], OPAQUE), (points.get("interior", []), 0)):
        for ring in rings:
            corners = checked_points(ring, mask)
            if len(corners) >= POINTS:
                cv2.fillPoly(shape, [np.rint(corners).astype(np.int32)], value)
    return shape


def _bitmap(data: str, *, soft: bool) -> Pixels:
    """Unpack a bitmap: a PNG file, packed by zlib and written in base64."""
    try:
        unpacker = zlib.decompressobj()
        png = unpacker.decompress(base64.b64decode(data, validate=True), MAX_BITMAP_BYTES)
    except (binascii.Error, zlib.error) as error:
        raise PhotoError(f"its bitmap cannot be unpacked ({error})") from error
    if soft:
        return decode_mask(png).values.astype(np.uint8)
    alpha = decode_alpha(png)
    shown = decode_mask(png).values if alpha is None else alpha
    return shown.astype(bool).astype(np.uint8) * OPAQUE

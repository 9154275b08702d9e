"""Files of COCO made by code."""

from pathlib import Path
from typing import Any

import numpy as np
from exact_stores import SIDE, noise, save, write_json
from figures import Picture
from pycocotools import mask as coco_mask

PERSON, BAG = 1, 27


def polygons(*boxes: tuple[int, int, int, int]) -> list[list[int]]:
    """Return outlines of boxes, left, top, right, bottom, whose latter two are outside."""
    return [[x0, y0, x1, y0, x1, y1, x0, y1] for x0, y0, x1, y1 in boxes]


def runs(mask: Picture) -> dict[str, Any]:
    """Return run lengths of a mask as numbers, down the columns, beginning with zeros."""
    flat = np.concatenate([[0], (mask.T.ravel() > 0).astype(int), [-1]])
    ends = np.flatnonzero(np.diff(flat))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], ends])).tolist()}


def packed_runs(mask: Picture) -> dict[str, Any]:
    """Return the same as text."""
    encoded = coco_mask.encode(np.asfortranarray(mask > 0))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


def annotation(image: int, segmentation: Any, **changes: Any) -> dict[str, Any]:
    """Return an annotation of a person, whose id is a hundred times that of its image."""
    whole = {
        "id": image * 100,
        "image_id": image,
        "category_id": PERSON,
        "segmentation": segmentation,
        "iscrowd": 0,
        "area": 1.0,
        "bbox": [0, 0, 1, 1],
    }
    return {**whole, **changes}


def content(annotations: list[dict[str, Any]], images: int = 1, first: int = 1) -> dict[str, Any]:
    """Return what is in a file that lists some images, `1.png` and so on."""
    return {
        "info": {"description": "made by code"},
        "licenses": [
            {"id": 4, "name": "Attribution License", "url": "http://example.org/by"},
            {"id": 5, "name": "No known restrictions"},
        ],
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": SIDE, "width": SIDE, "license": 4}
            for n in range(first, first + images)
        ],
        "annotations": annotations,
        "categories": [{"id": PERSON, "name": "person"}, {"id": BAG, "name": "handbag"}],
    }


def write_coco(
    root: Path,
    annotations: list[dict[str, Any]],
    *,
    images: int = 1,
    first: int = 1,
    file: str = "annotations/instances_train2017.json",
    photos: str = "train2017",
) -> Path:
    """Write a dataset of some photos."""
    write_json(root / file, content(annotations, images, first))
    for number in range(first, first + images):
        save(root / photos / f"{number}.png", noise(number))
    return root

"""Photos that fill a frame exactly, so that what a store holds can be compared pixel by pixel."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from figures import Picture
from PIL import Image

from pipelines.prepare import PrepareOptions, PrepareSummary, prepare, report_path
from pipelines.store import open_store

SIDE = 40
"""Of all photos, in pixels."""


class Prepared(NamedTuple):
    """What a run of `prepare` left; masks and photos by the names of the samples."""

    summary: PrepareSummary
    masks: dict[str, Picture]
    photos: dict[str, Picture]
    splits: dict[str, str]
    rows: dict[str, dict[str, Any]]
    licence: str


def noise(seed: int) -> Picture:
    """Return a photo, (SIDE, SIDE, 3), unlike that of any other seed."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def box(left: int, top: int, right: int, bottom: int) -> Picture:
    """Return a mask, (SIDE, SIDE), 255 in a box whose right and bottom edges are outside."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def save(path: Path, pixels: Picture) -> Path:
    """Write a picture into a folder that need not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def png(pixels: Picture) -> bytes:
    """Return a picture as the content of a PNG file."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def write_json(path: Path, content: Any) -> Path:
    """Write a JSON file into a folder that need not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def prepared(source: Path, **options: Any) -> Prepared:
    """Prepare a dataset, and read what is in the store and in the report."""
    dataset = source.with_name(f"{source.name}-out") / "out.zarr"
    chosen = {"size": SIDE, "workers": 0, "force": True, **options}
    summary = prepare(PrepareOptions(source=source, dataset=dataset, **chosen))
    parts = (summary.stored, summary.duplicates, summary.missing, summary.failed)
    assert summary.discovered == sum(parts)
    store = open_store(dataset)
    found = list(store.photos(store.indices("all")))
    lines = report_path(dataset).read_text().splitlines()
    rows = {row["name"]: row for row in map(json.loads, lines)}
    return Prepared(
        summary=summary,
        masks={name: mask for name, _, mask in found},
        photos={name: photo for name, photo, _ in found},
        splits={name: rows[name]["split"] for name, _, _ in found},
        rows=rows,
        licence=store.attributes["licence"],
    )

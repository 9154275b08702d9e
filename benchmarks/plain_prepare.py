"""What somebody writes in an hour: pairs one by one into the arrays of a dataset.

    python benchmarks/plain_prepare.py PAIRS DATASET.zarr --size 512
    python benchmarks/plain_prepare.py PAIRS DATASET.zarr --doctor

`benchmarks/prepare.py` runs it beside `banet prepare`. Photos lie in `images/`, masks in `masks/`.
Arrays, codec, chunks and shards of frames are those of `banet prepare`; OpenCV and zarr are left as
they come, or have one thread with `--one-thread`. Nothing is checked, no duplicates are looked for,
and all samples are for training. With `--doctor` each pair is measured as `banet prepare` measures
it.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from pipelines.doctor.facts import pair_facts
from pipelines.store_writing import FRAME_LEVEL

PER_SHARD = 64
CANONICAL_WIDTH = 50 / 512
"""W of Eq. 1 per pixel of the frame."""

zarr.config.set({"array.write_empty_chunks": True})


def main(source: Path, dataset: Path, *, size: int, doctor: bool) -> None:
    """Write the pairs of a folder."""
    photos = sorted((source / "images").iterdir())
    arrays = create_arrays(dataset, len(photos), size)
    for start in range(0, len(photos), PER_SHARD):
        samples = [
            make_sample(photo, source / "masks" / f"{photo.stem}.png", size=size, doctor=doctor)
            for photo in photos[start : start + PER_SHARD]
        ]
        for name, array in arrays.items():
            values = np.asarray([sample[name] for sample in samples])
            array[start : start + len(samples)] = values


def make_sample(photo_path: Path, mask_path: Path, *, size: int, doctor: bool) -> dict[str, Any]:
    """Read a pair, fit it into its frame, and draw the boundary."""
    content = photo_path.read_bytes()
    photo = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    mask = cv2.imdecode(np.fromfile(mask_path, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert photo is not None
    assert mask is not None
    photo = cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)
    if doctor:
        pair_facts(photo, mask, None)  # type: ignore[arg-type] # arrays of 8 bits they are
    tall, wide = photo.shape[:2]
    height, width = (round(size * side / max(tall, wide)) for side in (tall, wide))
    y, x = (size - height) // 2, (size - width) // 2
    inside = slice(y, y + height), slice(x, x + width)
    image_frame = np.zeros((size, size, 3), np.uint8)
    mask_frame, boundary_frame = (np.zeros((size, size), np.uint8) for _ in range(2))
    image_frame[inside] = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    mask_frame[inside] = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    person = np.where(mask_frame[inside] > 127, 255, 0).astype(np.uint8)  # noqa: PLR2004 - half
    kernel_size = max(1, round(float((person > 0).mean()) * CANONICAL_WIDTH * size))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (kernel_size, kernel_size))
    boundary_frame[inside] = cv2.dilate(cv2.Canny(person, 100, 200), kernel) > 0
    return {
        "image": image_frame,
        "mask": mask_frame,
        "boundary": boundary_frame,
        "kernel_size": np.uint16(kernel_size),
        "valid": np.array([y, x, height, width], np.int16),
        "split": np.uint8(0),
        "name": photo_path.stem,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def create_arrays(dataset: Path, count: int, size: int) -> dict[str, zarr.Array[Any]]:
    """Create the arrays of a dataset."""
    group = zarr.create_group(dataset, zarr_format=3)
    frames = {"image": (size, size, 3), "mask": (size, size), "boundary": (size, size)}
    arrays = {
        name: group.create_array(
            name,
            shape=(count, *frame),
            dtype="uint8",
            chunks=(1, *frame),
            shards=(PER_SHARD, *frame),
            compressors=ZstdCodec(level=FRAME_LEVEL),
        )
        for name, frame in frames.items()
    }
    others = {"kernel_size": "uint16", "valid": "int16", "split": "uint8"}
    for name, dtype in {**others, "name": "string", "sha256": "string"}.items():
        trailing = (4,) if name == "valid" else ()
        arrays[name] = group.create_array(
            name,
            shape=(count, *trailing),
            dtype=dtype,
            chunks=(PER_SHARD, *trailing),
            compressors=ZstdCodec(level=1),
        )
    return arrays


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--doctor", action="store_true")
    parser.add_argument("--one-thread", action="store_true")
    found = parser.parse_args()
    if found.one_thread:
        cv2.setNumThreads(1)
        zarr.config.set({"threading.max_workers": 1})
    main(found.source, found.dataset, size=found.size, doctor=found.doctor)

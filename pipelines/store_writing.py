"""Writing of dataset stores, so that one is there whole or not at all.

What is large, the frames of samples, is written in parts of at most one shard each while the
number of samples is not yet known. A store is put together out of parts: a part that is just what a
shard of the store is to hold becomes that shard as it is, others are packed anew. Equal samples
make equal files, byte for byte.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.errors import UnstableSpecificationWarning

from pipelines.face_prior import ReferenceFrame
from pipelines.file_trees import copy_file, remove_tree, sync_file
from pipelines.images import Pixels
from pipelines.schema import (
    COLUMN_ARRAYS,
    FACE_ARRAYS,
    FRAME_ARRAYS,
    MEAN_MASK,
    REFERENCE_ATTRIBUTE,
    SCHEMA,
    SCHEMA_VERSION,
    ArraySpec,
    reference_attribute,
)
from pipelines.storage import Location
from pipelines.store import zarr_store

SAMPLES_PER_SHARD = 64
"""A shard is written whole, from memory: 80 MB at 512 x 512, before it is packed."""

VALUES_PER_CHUNK = 16_384
"""Of an array with a few numbers per sample, which is read as a whole."""

GROUP_FILE = "zarr.json"
"""What makes a folder a group of zarr's."""

# Chunks of nothing but zeros are written too, so that one that is lost can be told from them.
zarr.config.set({"array.write_empty_chunks": True})


class Piece(NamedTuple):
    """Samples `start` to `stop` of a part."""

    part: Location
    start: int
    stop: int


def aside_of(path: Location) -> Location:
    """Return the folder beside a store that holds what is made for it until it is complete."""
    return path.with_name(f".{path.name}.partial")


def write_part(part: Location, frames: Mapping[str, Pixels]) -> None:
    """Write the frames of some samples; what a killed run left there is overwritten.

    Args:
        part: Folder.
        frames: By the names of `FRAME_ARRAYS`, (n, S, S, ...) with n up to `SAMPLES_PER_SHARD`.
    """
    for name, values in frames.items():
        _create_frames(part, name, count=len(values), size=values.shape[1])[:] = values
        sync_file(_shard_file(part / name, 0))


@contextmanager
def create_store(
    path: Location,
    *,
    count: int,
    size: int,
    attributes: Mapping[str, Any],
    columns: Mapping[str, Sequence[Any]],
    reference: ReferenceFrame | None = None,
) -> Iterator[Location]:
    """Create a store. It is at `path` once the block, which writes its shards, ends well.

    On a disk it is made aside and renamed, so that a store that it replaces is there until then.
    Object stores rename nothing: there it is made where it is to be, and what makes it a store, the
    file of its group, comes last.

    Args:
        path: Where it will be. The caller makes sure that no other run is at work there.
        count: Number of samples.
        size: Height and width S of the frame.
        attributes: Facts to keep, JSON-serialisable.
        columns: The values of `COLUMN_ARRAYS`, and with a reference of `FACE_ARRAYS`, by name: one
            per sample.
        reference: Frame of the reference face, if samples are aligned with one.

    Yields:
        The folder to pass to `write_shard`.
    """
    # A name of its own, because a task of an aborted run may still be writing to the last one.
    aside = aside_of(path) / f"store-{uuid4().hex}"
    folder = aside if isinstance(aside, Path) else path
    if folder is path:
        (path / GROUP_FILE).unlink(missing_ok=True)
        remove_tree(path)
    for name in FRAME_ARRAYS:
        _create_frames(folder, name, count=count, size=size)
    for name, spec in (COLUMN_ARRAYS if reference is None else COLUMN_ARRAYS | FACE_ARRAYS).items():
        _create_column(folder, name, spec, columns[name])
    try:
        yield folder
    except BaseException:
        if folder is aside:
            remove_tree(aside)
        raise
    facts = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **attributes}
    if reference is not None:
        facts[REFERENCE_ATTRIBUTE] = reference_attribute(reference)
        # Axes of its own: those of the other arrays have other lengths.
        axes = ("reference_y", "reference_x")
        mean_mask = zarr_store(folder / MEAN_MASK, read_only=False)
        zarr.create_array(mean_mask, data=reference.mean_mask, dimension_names=axes)
    zarr.create_group(zarr_store(folder, read_only=False), zarr_format=3, attributes=facts)
    if isinstance(path, Path) and isinstance(folder, Path):
        if path.exists():
            path.rename(folder.with_name(f"replaced-{uuid4().hex}"))
        folder.rename(path)


def write_shard(folder: Location, number: int, pieces: Sequence[Piece]) -> None:
    """Write one whole shard, out of parts.

    Two tasks must never write into the same shard (zarr-developers/zarr-python#3682), hence whole.

    Args:
        folder: What `create_store` yielded.
        number: Of the shard.
        pieces: Of parts, which together are all of its samples, in order.
    """
    for name in FRAME_ARRAYS:
        arrays = [_open(piece.part / name) for piece in pieces]
        target = _shard_file(folder / name, number)
        first = pieces[0]
        if len(pieces) == 1 and (first.start, first.stop) == (0, arrays[0].shape[0]):
            copy_file(_shard_file(first.part / name, 0), target)
            continue
        values = [
            np.asarray(array[piece.start : piece.stop])
            for array, piece in zip(arrays, pieces, strict=True)
        ]
        start = number * SAMPLES_PER_SHARD
        stop = start + sum(map(len, values))
        _open(folder / name)[start:stop] = np.concatenate(values)
        sync_file(target)


def _open(place: Location) -> zarr.Array[Any]:
    return zarr.open_array(zarr_store(place, read_only=False), mode="r+", zarr_format=3)


def _shard_file(array: Location, number: int) -> Location:
    """Return the file of a shard of an array of frames."""
    axes = _open(array).ndim
    key = _open(array).metadata.encode_chunk_key((number, *[0] * (axes - 1)))
    return array / key


def _create_frames(folder: Location, name: str, *, count: int, size: int) -> zarr.Array[Any]:
    spec = FRAME_ARRAYS[name]
    frame = (size, size, *spec.trailing)
    return zarr.create_array(
        zarr_store(folder / name, read_only=False),
        shape=(count, *frame),
        dtype=spec.dtype,
        chunks=(1, *frame),
        shards=(SAMPLES_PER_SHARD, *frame),
        compressors=ZstdCodec(level=1),
        dimension_names=("sample", "y", "x", *spec.axes),
        overwrite=True,
    )


def _create_column(folder: Location, name: str, spec: ArraySpec, values: Sequence[Any]) -> None:
    with warnings.catch_warnings():
        # Variable-length strings are not yet in the written specification of zarr v3; every
        # implementation reads them all the same.
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        array = zarr.create_array(
            zarr_store(folder / name, read_only=False),
            shape=(len(values), *spec.trailing),
            dtype=spec.dtype,
            chunks=(VALUES_PER_CHUNK, *spec.trailing),
            compressors=ZstdCodec(level=1),
            dimension_names=("sample", *spec.axes),
        )
    dtype = object if spec.dtype == "string" else spec.dtype
    array[:] = np.asarray(values, dtype=dtype)

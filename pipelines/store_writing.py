"""Writing of dataset stores, so that one is there whole or not at all.

What is large, the frames of samples, is written in parts of at most one shard each while the
number of samples is not yet known. A store is put together out of parts: a part that is just what a
shard of the store is to hold becomes that shard as it is, others are packed anew. Equal samples
make equal files, byte for byte.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.errors import UnstableSpecificationWarning

from pipelines.errors import BanetError, StoreError
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
from pipelines.storage import Location, RemotePath
from pipelines.storage_errors import explain
from pipelines.store import zarr_store
from pipelines.whole_files import write_atomically

SAMPLES_PER_SHARD = 64
"""A shard is written whole, from memory: 80 MB at 512 x 512, before it is packed."""

FRAME_LEVEL = 1
"""Of zstd, for frames: in `benchmarks/store_codecs.py` no codec that is as fast makes them smaller,
and only none at all is faster to read."""

VALUES_PER_CHUNK = 16_384
"""Of an array with a few numbers per sample, which is read as a whole."""

GROUP_FILE = "zarr.json"
"""What makes a folder a group of zarr's."""

_STORE, _REPLACED = "store-", "replaced-"
"""How names of stores begin beside the path: of those that are made, and that were there."""

zarr.config.set(
    {
        # Chunks of zeros are written too, so that one that is lost can be told from them.
        "array.write_empty_chunks": True,
        # The chunks of a shard are packed in one go: one by one takes a fifth longer.
        "codec_pipeline.batch_size": SAMPLES_PER_SHARD,
    }
)


class Piece(NamedTuple):
    """Samples `start` to `stop` of a part."""

    part: Location
    start: int
    stop: int


def aside_of(path: Location) -> Location:
    """Return the folder beside a store that holds what is made for it until it is complete."""
    return path.with_name(f".{path.name}.partial")


def write_part(part: Location, frames: Mapping[str, Pixels]) -> None:
    """Write the frames of some samples.

    Args:
        part: Folder, which nobody else writes to.
        frames: By the names of `FRAME_ARRAYS`, (n, S, S, ...) with n up to `SAMPLES_PER_SHARD`.

    Raises:
        StoreError: They cannot be written.
    """
    with failures(part):
        for name, values in frames.items():
            array = _create_frames(part, name, count=len(values), size=values.shape[1])
            array[:] = values
            sync_file(_shard_file(part / name, array, 0))


def is_whole_part(part: Location) -> bool:
    """Tell whether a part holds frames, as one that is being swept may not any more."""
    try:
        return all(_open(part / name).nchunks_initialized > 0 for name in FRAME_ARRAYS)
    except Exception:  # noqa: BLE001 # of whatever package; what cannot be read is made anew
        return False


@contextmanager
def create_store(
    path: Location,
    *,
    count: int,
    size: int,
    attributes: Mapping[str, Any],
    columns: Mapping[str, Iterable[Any]],
    reference: ReferenceFrame | None = None,
) -> Iterator[Location]:
    """Create a store. It is at `path` once the block, which writes its shards, ends well.

    On a disk it is made aside and renamed, so that a store that it replaces is there until then.
    Object stores rename nothing: there it is made where it is to be, and what makes it a store, the
    file of its group, comes last.

    Args:
        path: Where it will be. The caller makes sure that no other run is at work there, and that
            nothing of anybody else's is.
        count: Number of samples.
        size: Height and width S of the frame.
        attributes: Facts to keep, JSON-serialisable.
        columns: The values of `COLUMN_ARRAYS`, and with a reference of `FACE_ARRAYS`, by name: one
            per sample.
        reference: Frame of the reference face, if samples are aligned with one.

    Yields:
        The folder to pass to `write_shard`.

    Raises:
        StoreError: It cannot be written.
    """
    folder = path
    if isinstance(path, RemotePath):
        with failures(path):
            write_atomically(_begun(path), b"")
            (path / GROUP_FILE).unlink(missing_ok=True)
            path.remove_all()
    else:
        # A name of its own: a task of an aborted run may still be writing to the last one.
        folder = aside_of(path) / f"{_STORE}{uuid4().hex}"
    specs = COLUMN_ARRAYS if reference is None else COLUMN_ARRAYS | FACE_ARRAYS
    try:
        with failures(path):
            for name in FRAME_ARRAYS:
                _create_frames(folder, name, count=count, size=size)
            for name, spec in specs.items():
                _create_column(folder, name, spec, columns[name], count=count)
        yield folder
        with failures(path):
            _create_group(folder, attributes, reference)
            if isinstance(folder, Path) and isinstance(path, Path):
                publish(folder, path)
    except BaseException:
        if isinstance(folder, Path):
            remove_tree(folder)
        raise


def write_shard(folder: Location, number: int, pieces: Sequence[Piece]) -> None:
    """Write one whole shard, out of parts.

    Two tasks must never write into the same shard (zarr-developers/zarr-python#3682), hence whole.

    Args:
        folder: What `create_store` yielded.
        number: Of the shard.
        pieces: Of parts, which together are all of its samples, in order.

    Raises:
        StoreError: It cannot be written.
    """
    with failures(folder):
        for name in FRAME_ARRAYS:
            _write_shard_of(name, folder, number, pieces)


def publish(folder: Path, path: Path) -> None:
    """Rename a complete store to where it is to be, in place of another one."""
    replaced = folder.with_name(f"{_REPLACED}{uuid4().hex}")
    if path.exists():
        path.rename(replaced)
    try:
        folder.rename(path)
    except OSError:
        if replaced.exists():
            replaced.rename(path)
        raise
    remove_tree(replaced)


def is_begun(path: Location) -> bool:
    """Tell whether what is at the path of a store is half of one, which a killed run left."""
    return not isinstance(path, Path) and _begun(path).exists()


def sweep(path: Location, *, keep: str) -> None:
    """Bring in order what killed runs left beside a store.

    A store that one of them had renamed, but not yet replaced, is put back.

    Args:
        path: Of the store.
        keep: Name of the folder in `aside_of` it that stays.
    """
    aside = aside_of(path)
    if not isinstance(aside, Path) or not isinstance(path, Path) or not aside.exists():
        return
    for each in aside.iterdir():
        if each.name.startswith(_REPLACED) and not path.exists():
            each.rename(path)
        elif each.name != keep:
            remove_tree(each)


def _write_shard_of(name: str, folder: Location, number: int, pieces: Sequence[Piece]) -> None:
    array, parts = _open(folder / name), [_open(piece.part / name) for piece in pieces]
    for piece, part in zip(pieces, parts, strict=True):
        file = _shard_file(piece.part / name, part, 0)
        if not file.exists():  # for zarr it would be frames of nothing but zeros
            raise StoreError(f"{file}: is gone; run the same command again")
    target = _shard_file(folder / name, array, number)
    first = pieces[0]
    if len(pieces) == 1 and (first.start, first.stop) == (0, parts[0].shape[0]):
        copy_file(_shard_file(first.part / name, parts[0], 0), target)
        return
    values = [
        np.asarray(part[piece.start : piece.stop])
        for part, piece in zip(parts, pieces, strict=True)
    ]
    start = number * SAMPLES_PER_SHARD
    array[start : start + sum(map(len, values))] = np.concatenate(values)
    sync_file(target)


def _begun(path: Location) -> Location:
    return aside_of(path) / "begun"


@contextmanager
def failures(place: Location) -> Iterator[None]:
    """Let what zarr and the packages of stores raise say what could not be written, and why."""
    try:
        yield
    except BanetError:
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else None
        raise StoreError(
            f"{place}: cannot be written ({reason or explain(error)[1]}); mend that and run the "
            "same command again, which goes on from there"
        ) from error


def _open(place: Location) -> zarr.Array[Any]:
    return zarr.open_array(zarr_store(place, read_only=False), mode="r+", zarr_format=3)


def _shard_file(place: Location, array: zarr.Array[Any], number: int) -> Location:
    """Return the file of a shard of an array of frames."""
    return place / array.metadata.encode_chunk_key((number, *[0] * (array.ndim - 1)))


def _create_frames(folder: Location, name: str, *, count: int, size: int) -> zarr.Array[Any]:
    spec = FRAME_ARRAYS[name]
    frame = (size, size, *spec.trailing)
    return zarr.create_array(
        zarr_store(folder / name, read_only=False),
        shape=(count, *frame),
        dtype=spec.dtype,
        chunks=(1, *frame),
        shards=(SAMPLES_PER_SHARD, *frame),
        compressors=ZstdCodec(level=FRAME_LEVEL),
        dimension_names=("sample", "y", "x", *spec.axes),
    )


def _create_column(
    folder: Location, name: str, spec: ArraySpec, values: Iterable[Any], *, count: int
) -> None:
    with warnings.catch_warnings():
        # Variable-length strings are not yet in the written specification of zarr v3; every
        # implementation reads them all the same.
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        array = zarr.create_array(
            zarr_store(folder / name, read_only=False),
            shape=(count, *spec.trailing),
            dtype=spec.dtype,
            chunks=(VALUES_PER_CHUNK, *spec.trailing),
            compressors=ZstdCodec(level=1),
            dimension_names=("sample", *spec.axes),
        )
    dtype = object if spec.dtype == "string" else spec.dtype
    values = iter(values)
    for start in range(0, count, VALUES_PER_CHUNK):
        length = min(VALUES_PER_CHUNK, count - start)
        chunk = np.asarray(list(islice(values, length)), dtype=dtype)
        array[start : start + length] = chunk.reshape(length, *spec.trailing)


def _create_group(
    folder: Location, attributes: Mapping[str, Any], reference: ReferenceFrame | None
) -> None:
    facts = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **attributes}
    if reference is not None:
        facts[REFERENCE_ATTRIBUTE] = reference_attribute(reference)
        # Axes of its own: those of the other arrays have other lengths.
        axes = ("reference_y", "reference_x")
        mean_mask = zarr_store(folder / MEAN_MASK, read_only=False)
        zarr.create_array(mean_mask, data=reference.mean_mask, dimension_names=axes)
    zarr.create_group(zarr_store(folder, read_only=False), zarr_format=3, attributes=facts)

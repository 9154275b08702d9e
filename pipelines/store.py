"""The dataset store: the only module that knows zarr.

A store is a zarr v3 group with one chunk per sample and many samples per shard. It is written
aside and renamed when it is complete, so that a store that can be opened is whole. Its arrays are
described in `schema`; its attributes hold the schema version and all parameters it was made with.
"""

import glob
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.errors import UnstableSpecificationWarning

from pipelines.affine import compose, shift
from pipelines.errors import StoreError
from pipelines.face_prior import Face, ReferenceFrame
from pipelines.images import Pixels
from pipelines.schema import (
    ARRAYS,
    FACE_ARRAYS,
    MEAN_MASK,
    REFERENCE_ATTRIBUTE,
    SCHEMA,
    SCHEMA_VERSION,
    ArraySpec,
    reference_attribute,
    reference_frame,
)

ASIDE_SUFFIX = ".partial"

SAMPLES_PER_SHARD = 64
"""A shard is written whole, from memory: 50 MB at 512 x 512."""

# Chunks of nothing but zeros are written too, so that one that is lost can be told from them.
zarr.config.set({"array.write_empty_chunks": True})

SPLITS = ("train", "val", "test")
"""Names of the values 0, 1, 2 of the array `split`."""


@dataclass(frozen=True, kw_only=True)
class StoredSample:
    """One sample as the store holds it; `valid` is y, x, height, width inside the frame.

    Attributes:
        image: RGB frame, (S, S, 3) uint8.
        mask: (S, S) uint8, 0-255.
        boundary: (S, S) uint8 in {0, 1}.
        face_alignment: (2, 3), NaN if not known; left out of a store without a reference face.
    """

    image: Pixels
    mask: Pixels
    boundary: Pixels
    kernel_size: int
    valid: tuple[int, int, int, int]
    split: int
    name: str
    sha256: str
    face_alignment: NDArray[np.floating] = field(default_factory=lambda: np.full((2, 3), np.nan))


class Store:
    """A complete store, opened for reading.

    Attributes:
        path: Where it is.
        attributes: As `create_store` was given them, and the schema version.
        splits: Of every sample, as an index of `SPLITS`.
        reference: Frame of the reference face; None if the store has none.
    """

    def __init__(self, path: Path, group: zarr.Group) -> None:
        self.path = path
        self.attributes: Mapping[str, Any] = dict(group.attrs)
        self._group = group
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self.splits: NDArray[np.uint8] = self._read("split")
        self.reference = self._reference()

    def __len__(self) -> int:
        return len(self.splits)

    def indices(self, split: str) -> list[int]:
        """Return the positions of the samples of a split; `all` means every one."""
        if split == "all":
            return list(range(len(self)))
        return np.flatnonzero(self.splits == SPLITS.index(split)).tolist()

    def photos(self, indices: list[int]) -> Iterator[tuple[str, Pixels, Pixels]]:
        """Yield name, photo (H, W, 3) and mask (H, W) of samples, without the padding of frames."""
        for index in indices:
            y, x, height, width = self._valid[index].tolist()
            inside = slice(y, y + height), slice(x, x + width)
            # Copies, since a view would keep the whole frame in memory.
            photo = self._read("image", index)[inside].copy()
            yield str(self._names[index]), photo, self._read("mask", index)[inside].copy()

    def faces(self, indices: list[int]) -> list[Face | None]:
        """Return the face of each photo, as `photos` yields it; None where it is not known."""
        if self.reference is None:
            return [None] * len(indices)
        alignments = self._read("face_alignment").astype(np.float64)
        return [
            Face(alignment=compose(alignments[index], shift(x, y)), frame=self.reference)
            if np.isfinite(alignments[index]).all()
            else None
            for index in indices
            for y, x, _, _ in [self._valid[index].tolist()]
        ]

    def kernel_sizes(self, indices: list[int]) -> NDArray[np.uint16]:
        """Return K of Eq. 1 of samples."""
        return self._read("kernel_size")[indices]

    def pixels(self, indices: list[int]) -> int:
        """Return how many pixels samples have together, without the padding of frames."""
        return int(self._valid[indices, 2:].astype(np.int64).prod(axis=1).sum())

    @cached_property
    def _names(self) -> NDArray[Any]:
        return self._read("name")

    @cached_property
    def _valid(self) -> NDArray[np.int16]:
        return self._read("valid")

    def hashes(self, split: str) -> set[str]:
        """Return the SHA-256 of the photos of a split."""
        return set(self._read("sha256")[self.indices(split)].tolist())

    def _reference(self) -> ReferenceFrame | None:
        if REFERENCE_ATTRIBUTE not in self.attributes:
            return None
        mean_mask = self._read(MEAN_MASK)
        try:
            return reference_frame(self.attributes[REFERENCE_ATTRIBUTE], mean_mask)
        except ValueError as error:
            raise self._damaged(REFERENCE_ATTRIBUTE, error) from error

    def _read(self, name: str, index: int | slice = slice(None)) -> NDArray[Any]:
        try:
            if name not in self._arrays:
                # Kept, because a group reads the description of an array anew each time.
                self._arrays[name] = self._group[name]  # type: ignore[assignment] # no group
            return np.asarray(self._arrays[name][index])
        except Exception as error:  # codecs raise nearly anything over damaged chunks
            raise self._damaged(name, error) from error

    def _damaged(self, name: str, error: Exception) -> StoreError:
        return StoreError(
            f"{self.path}: {name!r} is damaged ({error}); copy the dataset again from where it "
            "came, or prepare it again with --force"
        )


def open_store(path: Path) -> Store:
    """Open a complete store.

    Raises:
        StoreError: It is missing, no store of banet's, damaged, or of a newer version.
    """
    if not path.exists():
        raise StoreError(f"{path}: no such dataset; make it with `banet prepare SOURCE {path}`")
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
    except (FileNotFoundError, ValueError, KeyError, OSError) as error:
        raise StoreError(f"{path}: not a zarr v3 dataset; make one with `banet prepare`") from error
    if group.attrs.get("schema") != SCHEMA:
        raise StoreError(f"{path}: a zarr group, but not a dataset made by `banet prepare`")
    version = group.attrs.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: dataset of schema version {version}, this banet reads up to "
            f"{SCHEMA_VERSION}; upgrade banet or prepare the dataset again"
        )
    expected = [
        *_sample_arrays(group),
        *([MEAN_MASK] if REFERENCE_ATTRIBUTE in group.attrs else []),
    ]
    missing = [name for name in expected if not _is_whole(group, name)]
    if missing:
        raise StoreError(
            f"{path}: damaged, {', '.join(missing)} is not complete; copy it again from where it "
            "came, or prepare it again with --force"
        )
    return Store(path, group)


def _sample_arrays(group: zarr.Group) -> dict[str, ArraySpec]:
    return ARRAYS | FACE_ARRAYS if REFERENCE_ATTRIBUTE in group.attrs else ARRAYS


def _is_whole(group: zarr.Group, name: str) -> bool:
    array = group.get(name)
    return isinstance(array, zarr.Array) and array.nchunks_initialized >= array.nchunks


def is_store(path: Path) -> bool:
    """Tell whether `path` holds a complete store of banet's, of whatever version."""
    try:
        return zarr.open_group(path, mode="r", zarr_format=3).attrs.get("schema") == SCHEMA
    except (FileNotFoundError, ValueError, KeyError, OSError):
        return False


@contextmanager
def create_store(
    path: Path,
    *,
    count: int,
    size: int,
    attributes: Mapping[str, Any],
    reference: ReferenceFrame | None = None,
) -> Iterator[Path]:
    """Create the arrays of a store aside; rename it to `path` when the block ends well.

    What killed runs left aside is removed: the caller makes sure that no other run is at work.

    Args:
        path: Where the complete store will be; a store that is there is replaced.
        count: Number of samples.
        size: Height and width S of the frame.
        attributes: Facts to keep, JSON-serialisable.
        reference: Frame of the reference face, if samples are aligned with one.

    Yields:
        The folder to pass to `write_shard`.
    """
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{ASIDE_SUFFIX}"):
        shutil.rmtree(leftover, ignore_errors=True)
    # A name of its own, because a task of an aborted run may still be writing to the last one.
    aside = path.with_name(f".{path.name}.{uuid4().hex}{ASIDE_SUFFIX}")
    path.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.create_group(aside, zarr_format=3)
    group.attrs.update({"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **attributes})
    if reference is not None:
        _write_reference(group, reference)
    for name, spec in _sample_arrays(group).items():
        _create_array(group, name, spec, count=count, size=size)
    try:
        yield aside
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if path.exists():
        replaced = path.with_name(f".{path.name}.{uuid4().hex}{ASIDE_SUFFIX}")
        path.rename(replaced)
        aside.rename(path)
        shutil.rmtree(replaced)
    else:
        aside.rename(path)


def shard_starts(count: int) -> range:
    """Return the position of the first sample of every shard."""
    return range(0, count, SAMPLES_PER_SHARD)


def write_shard(folder: Path, start: int, samples: list[StoredSample]) -> None:
    """Write one whole shard.

    Two tasks must never write into the same shard (zarr-developers/zarr-python#3682), hence:

    Args:
        folder: What `create_store` yielded.
        start: One of `shard_starts`.
        samples: All samples of that shard, in order.

    Raises:
        ValueError: `start` is not the beginning of a shard.
    """
    if start % SAMPLES_PER_SHARD or len(samples) > SAMPLES_PER_SHARD:
        raise ValueError(f"samples {start} to {start + len(samples)} are not one shard")
    group = zarr.open_group(folder, mode="r+", zarr_format=3)
    for name, spec in _sample_arrays(group).items():
        values = [getattr(sample, name) for sample in samples]
        dtype = object if spec.dtype == "string" else spec.dtype
        array = group[name]
        array[start : start + len(samples)] = np.asarray(values, dtype=dtype)  # type: ignore[index]


def _write_reference(group: zarr.Group, reference: ReferenceFrame) -> None:
    group.attrs[REFERENCE_ATTRIBUTE] = reference_attribute(reference)
    # Axes of its own: those of the other arrays have other lengths.
    axes = ("reference_y", "reference_x")
    group.create_array(MEAN_MASK, data=reference.mean_mask, dimension_names=axes)


def _create_array(group: zarr.Group, name: str, spec: ArraySpec, *, count: int, size: int) -> None:
    frame = (size, size) if spec.frame else ()
    inner = (*frame, *spec.trailing)
    frame_axes = ("y", "x") if spec.frame else ()
    with warnings.catch_warnings():
        # Variable-length strings are not yet in the written specification of zarr v3; every
        # implementation reads them all the same.
        warnings.simplefilter("ignore", UnstableSpecificationWarning)
        group.create_array(
            name,
            shape=(count, *inner),
            dtype=spec.dtype,
            chunks=(1 if spec.frame else SAMPLES_PER_SHARD, *inner),
            shards=(SAMPLES_PER_SHARD, *inner) if spec.frame else None,
            compressors=ZstdCodec(level=1),
            dimension_names=("sample", *frame_axes, *spec.axes),
        )

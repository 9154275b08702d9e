"""The dataset store: with `store_writing` the only module that knows zarr.

A store is a zarr v3 group with one chunk per sample and many samples per shard. Its arrays are
described in `schema`; its attributes hold the schema version and all parameters it was made with.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store as ZarrStore
from zarr.storage import FsspecStore, LocalStore

from pipelines.affine import compose, shift
from pipelines.errors import StoreError
from pipelines.face_prior import Face, ReferenceFrame
from pipelines.images import Pixels
from pipelines.reading_ahead import map_ahead
from pipelines.schema import (
    ARRAYS,
    FACE_ARRAYS,
    MEAN_MASK,
    REFERENCE_ATTRIBUTE,
    SCHEMA,
    SCHEMA_VERSION,
    reference_frame,
)
from pipelines.storage import Location, is_remote
from pipelines.storage_errors import NO_BUCKET, explain, is_out_of_reach

SPLITS = ("train", "val", "test")
"""Names of the values 0, 1, 2 of the array `split`."""


class Store:
    """A complete store, opened for reading.

    Attributes:
        path: Where it is.
        attributes: As `create_store` was given them, and the schema version.
        splits: Of every sample, as an index of `SPLITS`.
        reference: Frame of the reference face; None if the store has none.
    """

    def __init__(self, path: Location, group: zarr.Group) -> None:
        self.path = path
        self.attributes: Mapping[str, Any] = dict(group.attrs)
        self._group = group
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._columns: dict[str, NDArray[Any]] = {}
        self._lock = Lock()
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
        """Return name, photo (H, W, 3) and mask (H, W) of samples, without padding of frames."""
        places = zip(
            indices, self._names[indices].tolist(), self._valid[indices].tolist(), strict=True
        )
        # On a disk, threads would only take cores from whoever works on the photos.
        mapped = map_ahead if is_remote(self.path) else map
        return mapped(self._photo, places)

    def _photo(self, place: tuple[int, str, list[int]]) -> tuple[str, Pixels, Pixels]:
        index, name, (y, x, height, width) = place
        inside = slice(y, y + height), slice(x, x + width)
        # Copies, since a view would keep the whole frame in memory.
        photo = self._read("image", index)[inside].copy()
        return name, photo, self._read("mask", index)[inside].copy()

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

    @property
    def _names(self) -> NDArray[Any]:
        return self._held("name")

    @property
    def _valid(self) -> NDArray[np.int16]:
        return self._held("valid")

    def _held(self, name: str) -> NDArray[Any]:
        """Return a whole array that stays in memory, read once however many threads ask for it."""
        with self._lock:
            if name not in self._columns:
                self._columns[name] = self._read(name)
            return self._columns[name]

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
        return _damaged(self.path, name, error)


def zarr_store(place: Location, *, read_only: bool) -> ZarrStore:
    """Return what zarr reads a folder through, and writes it through unless it is to be read only.

    Behind URLs, zarr has a file system of its own in its own event loop, with the options of ours:
    the same credentials and connections, and no list of files that outlives a change.
    """
    if isinstance(place, Path):
        return LocalStore(place, read_only=read_only)
    files = place.file_system.get_mapper(place.key)
    if read_only:
        # Without exceptions: zarr would take chunks that are gone for zeros.
        return FsspecStore.from_mapper(files, read_only=True, allowed_exceptions=())
    return FsspecStore.from_mapper(files)


def open_store(place: Location) -> Store:
    """Open a complete store.

    Raises:
        StoreError: It is missing, out of reach, foreign, damaged, or of a newer version.
    """
    group = _open_group(place)
    if group is None:
        raise _nothing_there(place)
    if group.attrs.get("schema") != SCHEMA:
        raise StoreError(f"{place}: a zarr group, but not a dataset made by `banet prepare`")
    version = group.attrs.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise StoreError(
            f"{place}: dataset of schema version {version}, this banet reads up to "
            f"{SCHEMA_VERSION}; upgrade banet or prepare the dataset again"
        )
    has_faces = REFERENCE_ATTRIBUTE in group.attrs
    expected = [*ARRAYS, *([*FACE_ARRAYS, MEAN_MASK] if has_faces else [])]
    missing = [name for name in expected if not _is_whole(place, group, name)]
    if missing:
        raise StoreError(
            f"{place}: damaged, {', '.join(missing)} is not complete; copy it again from where it "
            "came, or prepare it again with --force"
        )
    return Store(place, group)


def is_store(place: Location) -> bool:
    """Tell whether a place holds a complete store of banet's, of whatever version.

    Raises:
        StoreError: It is out of reach.
    """
    group = _open_group(place)
    return group is not None and group.attrs.get("schema") == SCHEMA


def _open_group(place: Location) -> zarr.Group | None:
    """Return the group at a place; None if there is none that zarr can read.

    Raises:
        StoreError: It is out of reach.
    """
    try:
        return zarr.open_group(zarr_store(place, read_only=True), mode="r", zarr_format=3)
    except (FileNotFoundError, ValueError, KeyError):
        return None
    except Exception as error:  # of whatever package is behind a URL
        raise _out_of_reach(place, explain(error)[1]) from error


def _out_of_reach(place: Location, reason: str) -> StoreError:
    return StoreError(
        f"{place}: the dataset cannot be read ({reason}); mend that and run the command again"
    )


def _damaged(place: Location, name: str, error: Exception) -> StoreError:
    if is_out_of_reach(error):
        return _out_of_reach(place, explain(error)[1])
    return StoreError(
        f"{place}: {name!r} is damaged ({error}); copy the dataset again from where it came, or "
        "prepare it again with --force"
    )


def _nothing_there(place: Location) -> StoreError:
    try:
        place.stat() if isinstance(place, Path) else place.status()
    except FileNotFoundError as error:
        if error.strerror == NO_BUCKET:
            return StoreError(f"{place}: {NO_BUCKET}")
        return StoreError(f"{place}: no such dataset; make it with `banet prepare SOURCE {place}`")
    except OSError as error:
        return _out_of_reach(place, error.strerror or str(error))
    return StoreError(
        f"{place}: not a zarr v3 dataset, or only a part of one, without its zarr.json; copy it "
        f"again from where it came, or make it with `banet prepare SOURCE {place}`"
    )


def _is_whole(place: Location, group: zarr.Group, name: str) -> bool:
    try:
        array = group.get(name)
        return isinstance(array, zarr.Array) and array.nchunks_initialized >= array.nchunks
    except FileNotFoundError:
        return False
    except Exception as error:
        raise _damaged(place, name, error) from error

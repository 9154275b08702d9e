"""Training photos that are read from their store when they are needed."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import starmap
from threading import Lock
from typing import overload

import numpy as np

from pipelines.augmentation.photos import TrainingPhoto, training_photo
from pipelines.face_prior import Face
from pipelines.images import Pixels
from pipelines.storage import is_remote
from pipelines.store import Store, open_store

BYTES_PER_PIXEL = 7
"""Of a photo with mask, distance and all smaller sizes: 5 bytes and a third more."""

_LOCK = Lock()
"""Of what threads share in the photos of any store; it is never held while a photo is read."""


class StoredPhotos(Sequence[TrainingPhoto]):
    """The photos of a store, read one by one.

    Other processes get it by its place: a zarr group does not survive a fork.

    Args:
        store: Holds the photos.
        indices: Of the photos in the store.
        faces: One for each photo, None where it is not known.

    Attributes:
        kept: How many of the last photos stay in memory: a batch asks for each more than once.
    """

    def __init__(self, store: Store, indices: list[int], faces: Sequence[Face | None]) -> None:
        self._path = store.path
        self._store: Store | None = store
        self._indices = indices
        self._faces = faces
        self.kept = 0
        self._kept: OrderedDict[int, TrainingPhoto] = OrderedDict()

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, position: int) -> TrainingPhoto: ...
    @overload
    def __getitem__(self, position: slice) -> list[TrainingPhoto]: ...
    def __getitem__(self, position: int | slice) -> TrainingPhoto | list[TrainingPhoto]:
        """Read a photo."""
        if isinstance(position, slice):
            return [self[index] for index in range(len(self))[position]]
        with _LOCK:
            photo = self._kept.pop(position, None)
        photo = photo or self._read(range(len(self))[position])
        with _LOCK:
            self._kept[position] = photo
            while len(self._kept) > self.kept:
                self._kept.popitem(last=False)
        return photo

    def __iter__(self) -> Iterator[TrainingPhoto]:
        photos = self._open().photos(self._indices)
        return starmap(self._training_photo, zip(photos, self._faces, strict=True))

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_store": None, "_kept": OrderedDict()}

    def empty(self) -> list[int]:
        """Return the positions of the photos that show nobody."""
        sizes = self._open().kernel_sizes(self._indices)
        # So small is the kernel of nobody, and of somebody who is hardly to be seen.
        candidates = np.flatnonzero(sizes <= 1).tolist()
        return [position for position in candidates if self._read(position).empty]

    @property
    def are_remote(self) -> bool:
        """Whether they are read from a server, which answers several threads at once."""
        return is_remote(self._path)

    @property
    def size(self) -> int:
        """Bytes that all photos take in memory."""
        return self._open().pixels(self._indices) * BYTES_PER_PIXEL

    def _read(self, position: int) -> TrainingPhoto:
        (stored,) = self._open().photos([self._indices[position]])
        return self._training_photo(stored, self._faces[position])

    def _training_photo(
        self, stored: tuple[str, Pixels, Pixels], face: Face | None
    ) -> TrainingPhoto:
        _, photo, mask = stored
        attributes = self._open().attributes
        return training_photo(
            photo,
            mask,
            canonical_width=attributes["canonical_width"],
            canny=tuple(attributes["canny"]),
            face=face,
        )

    def _open(self) -> Store:
        with _LOCK:
            if self._store is None:
                self._store = open_store(self._path)
            return self._store

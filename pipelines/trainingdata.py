"""The datasets of a training run, in memory as far as they fit."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.augmentation.photos import TrainingPhoto
from pipelines.errors import InputError
from pipelines.face_prior import Face
from pipelines.free_memory import free_memory
from pipelines.images import Pixels
from pipelines.known_faces import known_faces
from pipelines.storage import Location
from pipelines.store import Store, open_store
from pipelines.stored_photos import StoredPhotos

SHARE = 0.6
"""Of the free memory that training photos may take; the training itself needs the rest."""

LABELLED_PIXEL = 4
"""Bytes of a pixel of a photo for validation: RGB and mask."""

logger = logging.getLogger(__name__)


class LabelledPhoto(NamedTuple):
    """A photo without the padding of its frame, and what is known of it.

    Attributes:
        photo: RGB, (H, W, 3) uint8.
        mask: (H, W) uint8, 0-255.
        face: For networks that take a face prior; None for others, or if it is not known.
    """

    photo: Pixels
    mask: Pixels
    face: Face | None = None


LabelledPhotos = list[LabelledPhoto]


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The training photos of one dataset.

    Attributes:
        photos: With faces if they were asked for; held in memory, or read when they are needed.
        empty: Positions of those that show nobody.
    """

    photos: Sequence[TrainingPhoto]
    empty: Sequence[int]

    @property
    def resident(self) -> bool:
        """Whether the photos are held in memory."""
        return not isinstance(self.photos, StoredPhotos)


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """All that a run learns from and is judged by.

    Attributes:
        training: In the order in which the datasets were named; one that was named twice is
            there twice, and is drawn from twice as often.
        validation: Photos of the validation splits, by the name of the dataset.
        facts: Counts and fingerprint, by the name of the dataset.
        licence: Terms of use of the datasets, one after the other.
    """

    training: list[TrainingSet]
    validation: dict[str, LabelledPhotos]
    facts: dict[str, dict[str, Any]]
    licence: str


def load_training_data(
    places: Sequence[Location],
    *,
    faces: bool = False,
    validates: bool = True,
    free: int | None = None,
) -> TrainingData:
    """Read the training and validation splits of stores.

    Args:
        places: Of the stores; one may be named twice.
        faces: Whether the network takes a face prior.
        validates: Whether this process reads the photos for validation, too; of several that train
            together, the first one does.
        free: Bytes of memory that are there for this process; None for all that is free. If the
            training photos do not all fit into `SHARE` of what those for validation leave, all
            are read while the network is trained: those that were held would be held by every
            process that reads.

    Raises:
        StoreError: A store cannot be read.
        InputError: A store has no training or no validation samples, or a photo that one store
            trains on is one that another validates with.
    """
    # One that is named in two ways is one all the same.
    spellings: dict[str, Location] = {}
    places = [spellings.setdefault(str(place.resolve()), place) for place in places]
    stores = {place: open_store(place) for place in places}
    for store in stores.values():
        _require_splits(store)
    _refuse_leaks(stores)
    names = _names(list(stores))
    validated = stores.values() if validates else ()
    memory = _memory_for_photos(validated, free_memory() if free is None else free)
    sets = _training_sets(stores, faces=faces, memory=memory)
    texts = [store.attributes["licence"] for store in stores.values()]
    return TrainingData(
        training=[sets[place] for place in places],
        validation={
            names[place]: _labelled_photos(store, "val", faces=faces)
            for place, store in stores.items()
            if validates
        },
        facts={names[place]: _facts(store, places.count(place)) for place, store in stores.items()},
        licence="\n\n".join(dict.fromkeys(text for text in texts if text)),
    )


def _require_splits(store: Store) -> None:
    for split in ("train", "val"):
        if not store.indices(split):
            raise InputError(
                f"{store.path}: no samples in the split {split!r}; prepare it with other shares, "
                "such as --split 0.9,0.1,0"
            )


def _refuse_leaks(stores: dict[Location, Store]) -> None:
    for trained, validated in permutations(stores, 2):
        shared = stores[trained].hashes("train") & stores[validated].hashes("val")
        if shared:
            raise InputError(
                f"{trained}: trains on {len(shared)} photos that {validated} validates with (the "
                f"first has the SHA-256 {min(shared)}); prepare both with the same --split"
            )


def _names(places: list[Location]) -> dict[Location, str]:
    """Name datasets by their stem where that tells them apart, else by the end of their path.

    Never by the whole path of this machine: names go wherever the weights go.
    """
    stems = Counter(place.stem for place in places)
    return {
        place: place.stem if stems[place.stem] == 1 else _distinct_end(place, places)
        for place in places
    }


def _distinct_end(place: Location, places: list[Location]) -> str:
    """Return as many of the last parts of a path or URL as no other one ends with."""
    parts, *others = map(_parts, (place, *set(places) - {place}))
    count = 1
    while count < len(parts) and any(parts[-count:] == other[-count:] for other in others):
        count += 1
    return "/".join(parts[-count:])


def _parts(place: Location) -> tuple[str, ...]:
    if isinstance(place, Path):
        # Without the root, so that even all parts are no absolute path.
        return place.resolve().parts[1:]
    return tuple(str(place).split("/"))


def _memory_for_photos(validated: Iterable[Store], free: int) -> int:
    """Return what is left for training photos beside those that a process validates with."""
    validation = sum(store.pixels(store.indices("val")) for store in validated) * LABELLED_PIXEL
    return round(SHARE * (free - validation))


def _labelled_photos(store: Store, split: str, *, faces: bool) -> LabelledPhotos:
    found = _faces(store, split, wanted=faces)
    return [
        LabelledPhoto(photo, mask, face)
        for (_, photo, mask), face in zip(store.photos(store.indices(split)), found, strict=True)
    ]


def _faces(store: Store, split: str, *, wanted: bool) -> list[Face | None]:
    indices = store.indices(split)
    return known_faces(store, indices, split=split) if wanted else [None] * len(indices)


def _training_sets(
    stores: dict[Location, Store], *, faces: bool, memory: int
) -> dict[Location, TrainingSet]:
    photos = {
        place: StoredPhotos(store, store.indices("train"), _faces(store, "train", wanted=faces))
        for place, store in stores.items()
    }
    size = sum(each.size for each in photos.values())
    if size <= memory:
        return {place: _resident(each) for place, each in photos.items()}
    logger.info(
        "%d photos take %.1f GB, which memory does not hold; they are read as needed",
        sum(map(len, photos.values())),
        size / 1e9,
    )
    return {place: TrainingSet(each, each.empty()) for place, each in photos.items()}


def _resident(photos: StoredPhotos) -> TrainingSet:
    held = list(photos)
    empty = [position for position, photo in enumerate(held) if photo.empty]
    return TrainingSet(held, empty)


def _facts(store: Store, weight: int) -> dict[str, Any]:
    return {
        "train": len(store.indices("train")),
        "val": len(store.indices("val")),
        "weight": weight,
        "fingerprint": store.attributes["fingerprint"],
    }

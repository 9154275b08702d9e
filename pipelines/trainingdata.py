"""The datasets of a training run, in memory."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.augmentation.photos import TrainingPhoto, training_photo
from pipelines.errors import InputError
from pipelines.face_prior import Face
from pipelines.images import Pixels
from pipelines.known_faces import known_faces
from pipelines.store import Store, open_store


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


Photos = list[LabelledPhoto]


@dataclass(frozen=True)
class TrainingSet:
    """The training photos of one dataset, with faces if they were asked for."""

    photos: list[TrainingPhoto]


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
    validation: dict[str, Photos]
    facts: dict[str, dict[str, Any]]
    licence: str


def load_training_data(paths: Sequence[Path], *, faces: bool = False) -> TrainingData:
    """Read the training and validation splits of stores.

    Args:
        paths: Of the stores; one may be named twice.
        faces: Whether the network takes a face prior.

    Raises:
        StoreError: A store cannot be read.
        InputError: A store has no training or no validation samples, or a photo that one store
            trains on is one that another validates with.
    """
    stores = {path: open_store(path) for path in paths}
    for store in stores.values():
        _require_splits(store)
    _refuse_leaks(stores)
    names = _names(list(stores))
    sets = {path: _training_set(store, faces=faces) for path, store in stores.items()}
    texts = [store.attributes["licence"] for store in stores.values()]
    return TrainingData(
        training=[sets[path] for path in paths],
        validation={
            names[path]: list(_photos(store, "val", faces=faces)) for path, store in stores.items()
        },
        facts={
            names[path]: _facts(store, list(paths).count(path)) for path, store in stores.items()
        },
        licence="\n\n".join(dict.fromkeys(text for text in texts if text)),
    )


def _require_splits(store: Store) -> None:
    for split in ("train", "val"):
        if not store.indices(split):
            raise InputError(
                f"{store.path}: no samples in the split {split!r}; prepare it with other shares, "
                "such as --split 0.9,0.1,0"
            )


def _refuse_leaks(stores: dict[Path, Store]) -> None:
    for trained, validated in permutations(stores, 2):
        shared = stores[trained].hashes("train") & stores[validated].hashes("val")
        if shared:
            raise InputError(
                f"{trained}: trains on {len(shared)} photos that {validated} validates with (the "
                f"first has the SHA-256 {min(shared)}); prepare both with the same --split"
            )


def _names(paths: list[Path]) -> dict[Path, str]:
    """Name datasets by their stem where that tells them apart, else by their path."""
    stems = Counter(path.stem for path in paths)
    return {path: path.stem if stems[path.stem] == 1 else str(path) for path in paths}


def _photos(store: Store, split: str, *, faces: bool) -> Iterator[LabelledPhoto]:
    indices = store.indices(split)
    found = known_faces(store, indices, split=split) if faces else [None] * len(indices)
    for (_, photo, mask), face in zip(store.photos(indices), found, strict=True):
        yield LabelledPhoto(photo, mask, face)


def _training_set(store: Store, *, faces: bool) -> TrainingSet:
    return TrainingSet(
        [
            training_photo(
                each.photo,
                each.mask,
                canonical_width=store.attributes["canonical_width"],
                canny=tuple(store.attributes["canny"]),
                face=each.face,
            )
            for each in _photos(store, "train", faces=faces)
        ]
    )


def _facts(store: Store, weight: int) -> dict[str, Any]:
    return {
        "train": len(store.indices("train")),
        "val": len(store.indices("val")),
        "weight": weight,
        "fingerprint": store.attributes["fingerprint"],
    }

"""The photos that weights are judged on."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.evaluate import chosen_indices
from pipelines.images import Pixels
from pipelines.store import Store


@dataclass(frozen=True, kw_only=True)
class HeldOutPhoto:
    """A photo with the mask of its people.

    Attributes:
        dataset: Name of the store.
        index: Position in the store.
        name: Of the sample.
        photo: RGB, (H, W, 3) uint8.
        mask: (H, W) uint8, 0-255.
    """

    dataset: str
    index: int
    name: str
    photo: Pixels
    mask: Pixels


def held_out_photos(store: Store, indices: list[int]) -> Iterator[HeldOutPhoto]:
    """Yield samples of a store, without the padding of frames."""
    for index, (name, photo, mask) in zip(indices, store.photos(indices), strict=True):
        yield HeldOutPhoto(dataset=store.path.stem, index=index, name=name, photo=photo, mask=mask)


def grounds(nobody: Store, split: str) -> list[Pixels]:
    """Return the photos of a split without people, each RGB (H, W, 3) uint8.

    Raises:
        InputError: The dataset has no samples in the split.
    """
    return [photo for _, photo, _ in nobody.photos(chosen_indices(nobody, split))]

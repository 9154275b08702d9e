"""A stand-in for mixed portraits from the web: any background, position and scale, looser framing.

Made of held-out photos alone, and the same for all weights: every random choice comes from `SEED`.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle

import numpy as np
from composition import compose, cut_out_person
from held_out import HeldOutPhoto, held_out_photos

from pipelines.errors import InputError
from pipelines.evaluate import chosen_indices
from pipelines.images import PERSON_FROM, Pixels
from pipelines.store import Store

SEED = 0
PHOTOS = 200
"""Number of compositions, and of re-framings."""

Sample = tuple[Pixels, Pixels]
"""Photo (H, W, 3) and mask (H, W), both uint8."""

WINDOW_SIDES = (0.55, 1.0)
"""Least and greatest height and width of a window, each as a share of the photo's."""

HEAD_AT = (0.0, 0.5)
"""Where in the height of a window the top of the person lies, if the photo goes on that far."""

HEAD_SHARE = 10
"""The head is sought among the topmost of so many equal parts of the person."""

HEAD_BESIDE = (0.2, 0.8)
"""Where in the width of a window the person's head lies, likewise."""


def compositions(
    stores: Sequence[Store], split: str, grounds: list[Pixels], *, count: int = PHOTOS
) -> Iterator[Sample]:
    """Yield people of the stores, in equal parts, before grounds where they never were.

    Args:
        stores: Photos of people.
        split: Whose photos are taken.
        grounds: RGB photos without people, each (H, W, 3) uint8.
        count: How many to make.

    Raises:
        InputError: A photo shows nobody, or a store has no samples in the split.
    """
    rng = np.random.default_rng(SEED)
    for person in _people(stores, split, count, rng):
        ground = grounds[rng.integers(len(grounds))]
        yield compose(cut_out_person(person.photo, person.mask), ground, rng)


def reframings(stores: Sequence[Store], split: str, *, count: int = PHOTOS) -> Iterator[Sample]:
    """Yield parts of photos of the stores, in equal parts, with the person anywhere.

    Args:
        stores: Photos of people.
        split: Whose photos are taken.
        count: How many to make.

    Raises:
        InputError: A photo shows nobody, or a store has no samples in the split.
    """
    rng = np.random.default_rng(SEED)
    for person in _people(stores, split, count, rng):
        window = _window(person.mask, rng)
        yield np.ascontiguousarray(person.photo[window]), np.ascontiguousarray(person.mask[window])


def _people(
    stores: Sequence[Store], split: str, count: int, rng: np.random.Generator
) -> Iterator[HeldOutPhoto]:
    """Yield photos of the stores in turn, each in random order, again from the first if need be."""
    orders = [cycle(rng.permutation(chosen_indices(store, split)).tolist()) for store in stores]
    for number in range(count):
        turn = number % len(stores)
        (person,) = held_out_photos(stores[turn], [next(orders[turn])])
        if not (person.mask >= PERSON_FROM).any():
            raise InputError(
                f"{stores[turn].path}: {person.name} shows nobody; name photos without people "
                "with --nobody alone"
            )
        yield person


def _window(mask: Pixels, rng: np.random.Generator) -> tuple[slice, slice]:
    """Draw a part of a photo with the top of the person, which is the head, anywhere in it."""
    photo = np.array(mask.shape)
    sides = (photo * rng.uniform(*WINDOW_SIDES, size=2)).astype(int)
    rows, columns = np.nonzero(mask >= PERSON_FROM)  # from top to bottom
    head = np.array((rows[0], columns[: len(columns) // HEAD_SHARE + 1].mean()))
    head_at = np.array((rng.uniform(*HEAD_AT), rng.uniform(*HEAD_BESIDE)))
    top, left = np.clip(head - sides * head_at, 0, photo - sides).astype(int).tolist()
    return slice(top, top + sides[0]), slice(left, left + sides[1])

"""Groups of photos that share a split, and what is odd about the splits that come of them."""

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pipelines.store import SPLITS

logger = logging.getLogger(__name__)

GIANT = 0.05
"""Share of the samples from which on a group is too large to be taken for a few moments."""

GIANT_FROM = 20
"""Groups of no more samples are never called too large."""

MANY = 50
"""Stored samples from which on chance alone leaves hardly any split empty."""


def leaders(hashes: NDArray[np.bytes_], firsts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return for each photo the position of the one that decides for its group.

    That is one of the smallest hash of the group, so that it does not matter in which order they
    come.

    Args:
        hashes: Of all samples; equal photos, as crops are, belong to one group.
        firsts: For each the position of another sample of its group, or its own.
    """
    # Here, since workers import this module with others, and never link photos.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    known, places, numbers = np.unique(hashes, return_index=True, return_inverse=True)
    links = coo_array(
        (np.ones(len(numbers), bool), (numbers, numbers[firsts])), shape=(len(known), len(known))
    )
    _, groups = connected_components(links, directed=False)
    _, smallest = np.unique(groups, return_index=True)
    leader_of: NDArray[np.intp] = places[smallest[groups]][numbers]
    return leader_of


def tell_of_lopsided_splits(
    leader_of: NDArray[np.intp],
    splits: NDArray[np.int8],
    shares: tuple[float, float, float],
    name_of: Callable[[int], str],
) -> None:
    """Warn of a group that holds much of a dataset, and of splits that come out empty.

    Args:
        leader_of: What `leaders` returned.
        splits: Of each sample the position in `SPLITS`; negative if it is not stored.
        shares: Of train, val and test.
        name_of: Returns the name of a sample.
    """
    stored = np.flatnonzero(splits >= 0)
    _, firsts, sizes = np.unique(leader_of[stored], return_index=True, return_counts=True)
    for group in np.lexsort((firsts, -sizes)):
        if sizes[group] <= max(GIANT_FROM, GIANT * len(stored)):
            break
        first = int(stored[firsts[group]])
        logger.warning(
            "%d of %d samples are linked as near duplicates, %s among them, and all are in %s; "
            "see near-duplicate in the report: if photos differ that it names, crop what they "
            "share, such as a backdrop, or leave some of them out",
            sizes[group],
            len(stored),
            name_of(first),
            SPLITS[splits[first]],
        )
    counts = np.bincount(splits[stored], minlength=len(SPLITS))
    for split, share, count in zip(SPLITS, shares, counts, strict=True):
        if share > 0 and not count and len(stored) >= MANY:
            logger.warning(
                "none of %d samples is in %s, for which --split has %.0f %%: the lists of the "
                "dataset, or groups of near duplicates, leave nothing for it; list photos for it, "
                "or give it no share with --split",
                len(stored),
                split,
                share * 100,
            )

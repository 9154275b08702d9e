"""Groups of photos that share a split, and what is odd about the splits that come of them."""

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipelines.store import SPLITS

logger = logging.getLogger(__name__)

GIANT = 0.05
"""Share of the samples from which on a group is too large to be taken for a few moments."""

GIANT_FROM = 20
"""Groups of no more samples are never called too large."""

MANY = 50
"""Stored samples from which on chance alone leaves hardly any split empty."""


def leaders(hashes: Sequence[str], firsts: Sequence[int]) -> dict[str, str]:
    """Return by its hash, for each photo, the one that decides for its group.

    That is the smallest hash of the group, so that it does not matter in which order they come.

    Args:
        hashes: Of all samples; equal photos, as crops are, belong to one group.
        firsts: For each the position of another sample of its group, or its own.
    """
    known = sorted(set(hashes))
    number = {each: position for position, each in enumerate(known)}
    here = np.array([number[each] for each in hashes], int)
    links = coo_array(
        (np.ones(len(here), bool), (here, here[np.asarray(firsts, int)])),
        shape=(len(known), len(known)),
    )
    _, groups = connected_components(links, directed=False)
    _, smallest = np.unique(groups, return_index=True)
    return {each: known[smallest[group]] for each, group in zip(known, groups, strict=True)}


def tell_of_lopsided_splits(
    stored: Sequence[tuple[str, str, str]], shares: tuple[float, float, float]
) -> None:
    """Warn of a group that holds much of a dataset, and of splits that come out empty.

    Args:
        stored: Name, leader and split of each stored sample.
        shares: Of train, val and test.
    """
    groups = Counter(leader for _, leader, _ in stored)
    for leader, size in groups.most_common():
        if size <= max(GIANT_FROM, GIANT * len(stored)):
            break
        name, _, split = next(each for each in stored if each[1] == leader)
        logger.warning(
            "%d of %d samples are linked as near duplicates, %s among them, and all are in %s; "
            "see near-duplicate in the report: if photos differ that it names, crop what they "
            "share, such as a backdrop, or leave some of them out",
            size,
            len(stored),
            name,
            split,
        )
    splits = Counter(split for _, _, split in stored)
    for split, share in zip(SPLITS, shares, strict=True):
        if share > 0 and not splits[split] and len(stored) >= MANY:
            logger.warning(
                "none of %d samples is in %s, for which --split has %.0f %%: the lists of the "
                "dataset, or groups of near duplicates, leave nothing for it; list photos for it, "
                "or give it no share with --split",
                len(stored),
                split,
                share * 100,
            )

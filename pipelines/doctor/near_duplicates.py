"""Finding photos that look the same among many."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipelines.doctor.fingerprint import LENGTH, MIRRORED_SIGNS, as_vectors

ALIKE = 0.88
"""Cosine of the angle between two fingerprints from which on photos are near duplicates. In the
dataset of Shen et al. strangers of one studio reach 0.84, in CCP 0.87."""

BLOCK = 512
"""Photos that are compared with as many others at a time: 1 MB, which caches hold."""


@dataclass(frozen=True, slots=True)
class Twins:
    """Two photos that look the same.

    Attributes:
        first: Position of one photo.
        second: Position of the other, which is greater.
        alike: How much, up to 1.
        mirrored: One is the mirror image of the other.
    """

    first: int
    second: int
    alike: float
    mirrored: bool


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Photos that look the same.

    Attributes:
        twins: Each photo that looks like an earlier one, with the first such.
        firsts: For every photo the position of the first that it is linked with, be it over
            others; its own if there is none before it.
    """

    twins: list[Twins]
    firsts: NDArray[np.intp]


def find_near_duplicates(fingerprints: Iterable[bytes]) -> NearDuplicates:
    """Compare every photo with every other one.

    The comparison is a product of matrices: exact, and fast enough for a million photos. A search
    tree, or bands of bits, would visit nearly all of them too at this many dimensions. What is kept
    grows with the number of photos, not of pairs, however many frames of one film there are.

    Args:
        fingerprints: Of the photos; empty ones are like no others.
    """
    lengths, content = array("b"), bytearray()
    for each in fingerprints:
        lengths.append(len(each))
        content += each
    numbers = np.frombuffer(content, np.int8).reshape(-1, LENGTH)
    firsts, places = np.arange(len(lengths)), np.flatnonzero(lengths)
    twins: dict[int, Twins] = {}
    for start in range(0, len(places), BLOCK):
        rows = slice(start, start + BLOCK)
        even, odd = _even_and_odd(numbers[rows])
        for other in range(start, len(places), BLOCK):
            columns = slice(other, other + BLOCK)
            other_even, other_odd = _even_and_odd(numbers[columns])
            same = even @ other_even.T
            # A mirror image has the odd frequencies negated, so that one product serves both.
            turned = odd @ other_odd.T
            likeness = np.abs(turned)
            likeness += same
            if start == other:
                likeness = np.triu(likeness, 1)
            if likeness.max() < ALIKE:
                continue
            is_alike = likeness >= ALIKE
            earlier, later = np.nonzero(is_alike)
            firsts = _merged(firsts, places[rows][earlier], places[columns][later])
            for j in np.unique(later).tolist():
                i = int(is_alike[:, j].argmax())
                first, second = int(places[start + i]), int(places[other + j])
                found = Twins(first, second, float(likeness[i, j]), bool(turned[i, j] < 0))
                twins.setdefault(second, found)
    return NearDuplicates([twins[second] for second in sorted(twins)], firsts)


def _even_and_odd(numbers: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the frequencies of vectors that a mirror image has too, and those it has negated."""
    vectors = as_vectors(numbers)
    return vectors[:, MIRRORED_SIGNS > 0], vectors[:, MIRRORED_SIGNS < 0]


def _merged(
    firsts: NDArray[np.intp], earlier: NDArray[np.intp], later: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Link photos, and return the first that each is linked with."""
    graph = coo_array(
        (np.ones(len(earlier), bool), (firsts[earlier], firsts[later])),
        shape=(len(firsts), len(firsts)),
    )
    _, labels = connected_components(graph, directed=False)
    _, lowest = np.unique(labels, return_index=True)
    return lowest[labels][firsts]

"""Fingerprints of photos, which are alike for photos that look alike.

A perceptual hash (the low frequencies of a small grey picture) whose values are kept instead of
their signs: on real portraits, which all have a face in the middle, signs alone take strangers
before similar walls for each other.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.images import Pixels

SIDE = 32
"""Of the small picture, in pixels."""

FREQUENCIES = 8
"""Per axis. With 6 or 10, fewer real duplicates stand out from what only looks alike."""

LENGTH = FREQUENCIES**2 - 1
"""Numbers of a fingerprint; the mean brightness is none of them."""

FLAT = 20.0
"""A photo with less in it has no fingerprint."""

_PLACES = np.mgrid[:FREQUENCIES, :FREQUENCIES]
_WEIGHTS = np.hypot(*_PLACES).astype(np.float32)  # frequencies of photos fall off as 1 / f

MIRRORED_SIGNS = (1 - 2 * (_PLACES[1] % 2)).ravel()[1:].astype(np.float32)
"""What the numbers of a mirrored photo are multiplied by, (LENGTH,)."""


def fingerprint(photo: Pixels) -> bytes:
    """Compute the fingerprint of a photo: LENGTH bytes, or none for a photo of one colour.

    Args:
        photo: RGB, (h, w, 3) uint8, may be reduced to `SIDE` or more.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = (cv2.dct(small)[:FREQUENCIES, :FREQUENCIES] * _WEIGHTS).ravel()[1:]
    greatest = float(np.abs(low).max())
    if greatest < FLAT:
        return b""
    return np.rint(low * (127 / greatest)).astype(np.int8).tobytes()


def as_vectors(fingerprints: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return fingerprints as vectors of length 1, (n, LENGTH)."""
    vectors = fingerprints.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

"""Finding what equals something earlier in a long sequence."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16
"""Of what is compared instead of the values; of a million, no two that differ have the same."""


def first_equals(values: Iterable[object]) -> NDArray[np.intp]:
    """Return for each value the position of the first that has the same `repr`."""
    digests = (
        hashlib.blake2b(repr(value).encode(), digest_size=DIGEST_BYTES).digest() for value in values
    )
    _, firsts, numbers = np.unique(
        np.fromiter(digests, f"S{DIGEST_BYTES}"), return_index=True, return_inverse=True
    )
    return firsts[numbers]

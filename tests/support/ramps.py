"""Pictures whose pixels say where they are, to see what a geometric map did."""

import numpy as np
from numpy.typing import NDArray

from pipelines.affine import AffineMap, apply

SLOPE = 3
"""Grey values per pixel, so that rounding them hides no shift worth knowing."""

LARGEST = 255 // SLOPE
"""Greatest side of such a picture."""


def ramps(height: int, width: int) -> NDArray[np.uint8]:
    """Return a picture whose red grows with x and whose green grows with y."""
    rows, columns = np.mgrid[:height, :width]
    return (np.dstack((columns, rows, rows)) * SLOPE).astype(np.uint8)


def misplaced_by(
    picture: NDArray[np.uint8], to_ramps: AffineMap, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return by how many pixels a picture shows something else than a map says, on average.

    Args:
        picture: Made of `ramps(*shape)`.
        to_ramps: Said to map the pixels of `picture` to those of the ramps.
        shape: Height and width of the ramps; near their border nothing is compared, because there
            it matters how a picture goes on.
    """
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    points = np.stack((columns.ravel(), rows.ravel()), axis=1).astype(np.float64)
    expected = apply(to_ramps, points)
    margin = np.array(shape[::-1]) / 6
    inside = np.all((expected > margin) & (expected < shape[::-1] - margin), axis=1)
    shown = picture[..., :2].reshape(-1, 2) / SLOPE
    return np.abs((shown - expected)[inside].mean(axis=0))

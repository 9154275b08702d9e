"""Affine maps between the pixels of two pictures.

A map is a 2 x 3 matrix that carries (x, y, 1) of the one to (x, y) of the other. Whole numbers are
the centres of pixels, as OpenCV's `warpAffine` has it.
"""

import numpy as np
from numpy.typing import NDArray

AffineMap = NDArray[np.float64]


def shift(x: float, y: float) -> AffineMap:
    """Return the map that moves by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def resizing(before: tuple[int, ...], after: tuple[int, ...]) -> AffineMap:
    """Return the map that goes with resizing a picture, whose corners stay corners.

    Args:
        before: Height and width in pixels; further numbers of a shape are ignored.
        after: Likewise.
    """
    y, x = after[0] / before[0], after[1] / before[1]
    return np.array([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2]])


def compose(outer: AffineMap, inner: AffineMap) -> AffineMap:
    """Return the map that applies `inner` first and `outer` to its result."""
    linear = outer[:, :2]
    return np.column_stack((linear @ inner[:, :2], linear @ inner[:, 2] + outer[:, 2]))


def invert(affine: AffineMap) -> AffineMap:
    """Return the map back."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack((linear, -linear @ affine[:, 2]))


def apply(affine: AffineMap, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points, (N, 2) of x and y."""
    return points @ affine[:, :2].T + affine[:, 2]


def fit(points: NDArray[np.float64], targets: NDArray[np.float64]) -> AffineMap:
    """Return the map that carries points to targets, both (N, 2), with the least squared error."""
    rows = np.column_stack((points, np.ones(len(points))))
    solution, *_ = np.linalg.lstsq(rows, targets, rcond=None)
    return solution.T.astype(np.float64)

"""Errors of soft masks as the matting literature measures them.

After Rhemann et al., "A Perceptually Motivated Online Benchmark for Image Matting" (CVPR 2009).
All take the predicted and the true alpha, (H, W) float in [0, 1], and return thousands of pixels.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Alpha = NDArray[np.floating]

UNIT = 1000
"""All errors are sums over pixels, given in thousands."""

GRADIENT_SIGMA = 1.4
"""Of the Gaussian derivatives, in pixels."""

CONNECTIVITY_STEPS = np.linspace(0.1, 1.0, 10)
"""Alpha levels at which the connectivity with the largest solid region is looked at."""

CONNECTIVITY_TOLERANCE = 0.15
"""Alpha may exceed the level of its connectivity by this much without being an error."""


def absolute_error(predicted: Alpha, true: Alpha) -> float:
    """Return the sum of absolute differences (SAD)."""
    return float(np.abs(predicted - true).sum()) / UNIT


def gradient_error(predicted: Alpha, true: Alpha) -> float:
    """Return the sum of squared differences of the gradient magnitudes."""
    of_predicted, of_true = (
        ndimage.gaussian_gradient_magnitude(alpha.astype(np.float64), GRADIENT_SIGMA)
        for alpha in (predicted, true)
    )
    return float(np.square(of_predicted - of_true).sum()) / UNIT


def connectivity_error(predicted: Alpha, true: Alpha) -> float:
    """Return how much of the predicted alpha hangs together otherwise than the true one does."""
    level = np.full(true.shape, -1.0)
    below = 0.0
    for step in CONNECTIVITY_STEPS:
        shared = _largest_region((predicted >= step) & (true >= step))
        level[(level < 0) & ~shared] = below
        below = float(step)
    level[level < 0] = 1.0
    of_predicted, of_true = (_connectivity(alpha - level) for alpha in (predicted, true))
    return float(np.abs(of_predicted - of_true).sum()) / UNIT


def _connectivity(excess: Alpha) -> Alpha:
    return 1 - np.where(excess >= CONNECTIVITY_TOLERANCE, excess, 0.0)


def _largest_region(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())

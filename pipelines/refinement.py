"""Masks at the size of the photo, whose soft edges follow the edges in the photo.

After He and Sun, "Fast Guided Filter" (arXiv:1505.00996), with the colours of the photo as guide:
around every pixel of the network's small map, alpha is fitted as a linear function of colour, and
these functions, enlarged, are applied to the colours of the whole photo. Three things differ:
pixels count the more in a fit the surer the network is of them, so that what it is unsure of
follows the colours of person and background nearby; what it is sure of stays as it is; and the
colours of the whole photo are looked at only along edges of the small mask, since elsewhere they
add nothing to it but their texture.
"""

from collections.abc import Iterator
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.images import OPAQUE, Pixels
from pipelines.sizes import resize

Floats = NDArray[np.float32]
Integers = NDArray[np.integer]

WINDOW_STEP = 2
"""Windows that functions are fitted in lie so many pixels of the small map apart."""

FIT_RADIUS = 3
"""Radius of these windows, in steps."""

MEAN_RADIUS = 1
"""Radius of the mean over the functions of neighbouring windows, likewise."""

REGULARISATION = 2e-3
"""Epsilon of Eq. 5 for colours in [0, 1]: contrasts far below its root are no edges.

Half of it scores no better, and turns the noise of dark photos into grain at the edges.
"""

LEAST_WEIGHT = 0.002
"""Of a pixel that may or may not be a person, where one that surely is or is not weighs 1."""

EDGE_CONTRAST = 0.15
"""The small mask has an edge where so much of alpha lies between neighbours."""

GUIDE_SIDE = 1000
"""Pixels that the shorter side of a photo should have as a guide; more of them show little."""

SAMPLES_PER_SIDE = 4
"""So many pixels of the photo, squared, are averaged for one of the small guide.

The mean over all of them looks no different, and costs five times as much at 12 megapixels.
"""

STRIP_PIXELS = 1 << 20
"""About so many pixels are searched for edges at once, which bounds the memory."""

CHUNK_PIXELS = 1 << 14
"""So many pixels are drawn at once; OpenCV takes fewer than 32,768."""

_Moments: TypeAlias = tuple[dict[str, Floats], dict[str, Floats]]
"""Over n windows, (n,) each: weighted means of the channels "r", "g", "b" and of alpha, "a"; and
weighted covariances of `_PAIRS` of them."""

_PAIRS = (
    ("r", "r"),
    ("r", "g"),
    ("r", "b"),
    ("g", "g"),
    ("g", "b"),
    ("b", "b"),
    ("r", "a"),
    ("g", "a"),
    ("b", "a"),
)


def refined_mask(alpha: Floats, pixels: Pixels) -> Pixels:
    """Bring alpha to the size of a photo, guided by the photo.

    Args:
        alpha: Of the network, (h, w) in [0, 1]. Where it is 0 or 1 it is not touched.
        pixels: The photo, RGB (H, W, 3).

    Returns:
        (H, W), 0 to 255.
    """
    height, width = pixels.shape[:2]
    guide = _small_guide(pixels, *alpha.shape)
    functions = _alpha_of_colour(alpha, guide)
    small = _drawn(alpha, _enlarged(functions, alpha.shape), guide)
    mask = resize((small * OPAQUE).round().astype(np.uint8), height=height, width=width)
    mask = np.array(mask) if mask.base is not None else mask
    flat_mask, flat_pixels = mask.reshape(-1), pixels.reshape(-1, 3)
    for x, y in _under(_edges(small), height, width):
        # Flat, which is twice as fast as indexing with rows and columns.
        index = y.astype(np.int64) * width + x
        colours = flat_pixels.take(index, axis=0).astype(np.float32) / np.float32(OPAQUE)
        drawn = _drawn(
            _at(alpha, x, y, (height, width)), _at(functions, x, y, (height, width)), colours
        )
        flat_mask[index] = (drawn * OPAQUE).round().astype(np.uint8)
    return mask


def _small_guide(pixels: Pixels, height: int, width: int) -> Floats:
    """Shrink a photo to RGB (height, width, 3) in [0, 1]."""
    rows, columns = (
        min(whole, small * SAMPLES_PER_SIDE)
        for whole, small in zip(pixels.shape, (height, width), strict=False)
    )
    sampled = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)
    small_photo = resize(np.asarray(sampled, np.uint8), height=height, width=width)
    return small_photo.astype(np.float32) / np.float32(OPAQUE)


def _alpha_of_colour(alpha: Floats, guide: Floats) -> Floats:
    """Find alpha as a linear function of colour around every pixel.

    Args:
        alpha: (h, w) in [0, 1].
        guide: RGB, (h, w, 3) in [0, 1].

    Returns:
        (h / `WINDOW_STEP`, w / `WINDOW_STEP`, 4): the factors of R, G and B, and what is added to
        them.
    """
    near_soft = _thinned(_near_soft(alpha).astype(np.float32)) > 0
    near = np.flatnonzero(near_soft)
    functions = [np.zeros(near_soft.shape, np.float32) for _ in range(4)]
    for plane, values in zip(functions, _fit(_moments(alpha, guide, near)), strict=True):
        plane.reshape(-1)[near] = values
    return np.asarray(cv2.merge([_box(plane, MEAN_RADIUS) for plane in functions]))


def _moments(alpha: Floats, guide: Floats, places: Integers) -> _Moments:
    """Average colours and alpha over windows, weighted by how sure the network is of the pixels.

    Args:
        alpha: (h, w) in [0, 1].
        guide: RGB, (h, w, 3) in [0, 1].
        places: Of the windows among all, (n,).
    """
    weight = _certainty(alpha) + np.float32(LEAST_WEIGHT)
    # Plane by plane, which takes a third of the time of whole vectors at every pixel.
    red, green, blue = cv2.split(guide)
    values = {"r": red, "g": green, "b": blue, "a": alpha}
    scale = np.reciprocal(_box(_thinned(weight), FIT_RADIUS).take(places))

    def mean(plane: Floats) -> Floats:
        return _box(_thinned(plane), FIT_RADIUS).take(places) * scale

    weighted = {name: weight * plane for name, plane in values.items()}
    means = {name: mean(plane) for name, plane in weighted.items()}
    covariances = {
        one + two: mean(weighted[one] * values[two]) - means[one] * means[two]
        for one, two in _PAIRS
    }
    return means, covariances


def _thinned(plane: Floats) -> Floats:
    """Average (h, w) over squares of `WINDOW_STEP` pixels, or about so many where sides are odd."""
    height, width = (max(1, side // WINDOW_STEP) for side in plane.shape)
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _enlarged(functions: Floats, shape: tuple[int, ...]) -> Floats:
    return np.asarray(cv2.resize(functions, (shape[1], shape[0])), np.float32)


def _certainty(alpha: Floats) -> Floats:
    """Return 1 where alpha is 0 or 1, and 0 where it is one half."""
    return np.square(2 * alpha - 1)


def _near_soft(alpha: Floats) -> NDArray[np.bool_]:
    """Return where a mean of functions for a soft pixel of the enlarged alpha reaches, (h, w)."""
    side = (
        2 * (MEAN_RADIUS + 1) * WINDOW_STEP + 1
    )  # one more, for between 0 and 1 lies something soft
    window = np.ones((side, side), np.uint8)
    return np.asarray((cv2.dilate(alpha, window) > 0) & (cv2.erode(alpha, window) < 1))


def _fit(moments: _Moments) -> tuple[Floats, Floats, Floats, Floats]:
    """Fit linear functions of colour by weighted least squares: Eqs. 5 and 6, with three channels.

    Returns:
        The factors of R, G and B, and what is added to them, (n,) each.
    """
    mean, covariance = moments
    rg, rb, gb = covariance["rg"], covariance["rb"], covariance["gb"]
    rr, gg, bb = (covariance[name] + np.float32(REGULARISATION) for name in ("rr", "gg", "bb"))
    ra, ga, ba = covariance["ra"], covariance["ga"], covariance["ba"]
    # The cofactors of a symmetric matrix: many times as fast as the general solver.
    c_rr, c_rg, c_rb = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    scale = 1 / (rr * c_rr + rg * c_rg + rb * c_rb)
    red = (c_rr * ra + c_rg * ga + c_rb * ba) * scale
    green = (c_rg * ra + c_gg * ga + c_gb * ba) * scale
    blue = (c_rb * ra + c_gb * ga + c_bb * ba) * scale
    return red, green, blue, mean["a"] - red * mean["r"] - green * mean["g"] - blue * mean["b"]


def _box(planes: Floats, radius: int) -> Floats:
    side = 2 * radius + 1
    return np.asarray(cv2.blur(planes, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


def _drawn(alpha: Floats, functions: Floats, colours: Floats) -> Floats:
    """Draw alpha anew, (...) in [0, 1].

    Args:
        alpha: Of the network, (...) in [0, 1]; the surer it is, the more of it remains.
        functions: (..., 4).
        colours: RGB, (..., 3) in [0, 1].
    """
    fitted = np.einsum("...c,...c->...", functions[..., :3], colours) + functions[..., 3]
    certainty = _certainty(alpha)
    trust = certainty * certainty * certainty  # much faster than a power
    return (fitted + trust * (alpha - fitted)).clip(0, 1)


def _edges(small: Floats) -> Pixels:
    """Return 1 where alpha (h, w) has an edge, else 0."""
    window = np.ones((3, 3), np.uint8)
    contrast = cv2.dilate(small, window) - cv2.erode(small, window)
    return (contrast > EDGE_CONTRAST).astype(np.uint8)


def _under(edges: Pixels, height: int, width: int) -> Iterator[tuple[Integers, Integers]]:
    """Yield columns and rows of the pixels of a photo (height, width) that edges (h, w) cover."""
    rows_of_edges = np.arange(height) * len(edges) // height
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        strip = edges[rows_of_edges[top : top + step]]
        enlarged = cv2.resize(strip, (width, len(strip)), interpolation=cv2.INTER_NEAREST)
        found = cv2.findNonZero(enlarged)
        points = np.asarray(() if found is None else found, np.int32).reshape(-1, 2)
        for start in range(0, len(points), CHUNK_PIXELS):
            chunk = points[start : start + CHUNK_PIXELS]
            yield chunk[:, 0], chunk[:, 1] + top


def _at(plane: Floats, x: Integers, y: Integers, size: tuple[int, int]) -> Floats:
    """Interpolate a map (h, w, ...) under pixels of a photo: (n, ...).

    Args:
        plane: The map.
        x: Columns of the pixels, (n,).
        y: Their rows, (n,).
        size: Height and width of the photo.
    """
    places = np.empty((len(x), 1, 2), np.float32)
    for axis, (pixel, small, whole) in enumerate(
        ((x, plane.shape[1], size[1]), (y, plane.shape[0], size[0]))
    ):
        scale = np.float32(small / whole)
        places[:, 0, axis] = pixel * scale + (scale - 1) / 2
    # The stubs do not know that None is how both maps are given in one.
    return cv2.remap(plane, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]  # type: ignore[call-overload]

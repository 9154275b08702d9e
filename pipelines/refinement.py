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


def refined_mask(alpha: Floats, pixels: Pixels, small: Pixels | None = None) -> Pixels:
    """Bring alpha to the size of a photo, guided by the photo.

    Args:
        alpha: Of the network, (h, w) in [0, 1]. Where it is 0 or 1 it is not touched.
        pixels: The photo, RGB (H, W, 3).
        small: The photo once more, RGB, as the network saw it. It is the guide where it is as
            large as `alpha`; elsewhere, or without it, the photo is shrunk for that.

    Returns:
        (H, W), 0 to 255.
    """
    height, width = pixels.shape[:2]
    if small is not None and small.shape[:2] == alpha.shape:
        guide = small
    else:
        guide = _small_guide(pixels, *alpha.shape)
    functions = _alpha_of_colour(alpha, guide)
    drawn = _drawn_small(alpha, functions, guide)
    mask = resize((drawn * OPAQUE).round().astype(np.uint8), height=height, width=width)
    mask = np.array(mask) if mask.base is not None else mask
    flat_mask, flat_pixels = mask.reshape(-1), pixels.reshape(-1, 3)
    for index in _under(_edges(drawn), height, width):
        y, x = (
            (pixel.astype(np.float32) + np.float32(0.5)) / np.float32(side)
            for pixel, side in zip(divmod(index, width), (height, width), strict=True)
        )
        values = _drawn(_at(alpha, x, y), _at(functions, x, y), flat_pixels.take(index, axis=0))
        flat_mask[index] = (values * OPAQUE).round().astype(np.uint8)
    return mask


def _small_guide(pixels: Pixels, height: int, width: int) -> Pixels:
    """Shrink a photo to RGB (height, width, 3)."""
    rows, columns = (
        min(whole, small * SAMPLES_PER_SIDE)
        for whole, small in zip(pixels.shape, (height, width), strict=False)
    )
    sampled = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_NEAREST_EXACT)
    return resize(np.asarray(sampled, np.uint8), height=height, width=width)


def _alpha_of_colour(alpha: Floats, guide: Pixels) -> Floats:
    """Find alpha as a linear function of colour, in [0, 1], around every pixel.

    Args:
        alpha: (h, w) in [0, 1].
        guide: RGB, (h, w, 3).

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


def _moments(alpha: Floats, guide: Pixels, places: Integers) -> _Moments:
    """Average colours and alpha over windows, weighted by how sure the network is of the pixels.

    Args:
        alpha: (h, w) in [0, 1].
        guide: RGB, (h, w, 3).
        places: Of the windows among all, (n,).
    """
    weight = _certainty(alpha) + np.float32(LEAST_WEIGHT)
    # Plane by plane, which takes a third of the time of whole vectors at every pixel.
    red, green, blue = (_unit(np.asarray(plane, np.uint8)) for plane in cv2.split(guide))
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


def _unit(levels: Pixels) -> Floats:
    """Bring levels from 0 to 255 to [0, 1]."""
    return levels.astype(np.float32) / np.float32(OPAQUE)


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


def _drawn_small(alpha: Floats, functions: Floats, guide: Pixels) -> Floats:
    """Draw the small map anew, (h, w) in [0, 1].

    Args:
        alpha: Of the network, (h, w) in [0, 1].
        functions: What `_alpha_of_colour` returned.
        guide: RGB, (h, w, 3).
    """
    # Elsewhere alpha stays as it is.
    soft = np.flatnonzero((alpha > 0) & (alpha < 1))
    enlarged = np.asarray(cv2.resize(functions, alpha.shape[::-1]), np.float32)
    flat_functions, flat_guide = enlarged.reshape(-1, functions.shape[2]), guide.reshape(-1, 3)
    drawn = alpha.copy()
    drawn.reshape(-1)[soft] = _drawn(
        alpha.take(soft), flat_functions.take(soft, axis=0), flat_guide.take(soft, axis=0)
    )
    return drawn


def _drawn(alpha: Floats, functions: Floats, colours: Pixels) -> Floats:
    """Draw alpha anew, (n,) in [0, 1].

    Args:
        alpha: Of the network, (n,) in [0, 1]; the surer it is, the more of it remains.
        functions: (n, 4).
        colours: RGB, (n, 3).
    """
    unit = _unit(colours)
    # Column by column, which takes half the time of a sum over rows of three.
    fitted = functions[:, 3] + sum(functions[:, c] * unit[:, c] for c in range(3))
    certainty = _certainty(alpha)
    trust = certainty * certainty * certainty  # much faster than a power
    return (fitted + trust * (alpha - fitted)).clip(0, 1)


def _edges(small: Floats) -> Pixels:
    """Return 1 where alpha (h, w) has an edge, else 0."""
    window = np.ones((3, 3), np.uint8)
    contrast = cv2.dilate(small, window) - cv2.erode(small, window)
    return (contrast > EDGE_CONTRAST).astype(np.uint8)


def _under(edges: Pixels, height: int, width: int) -> Iterator[Integers]:
    """Yield the flat indices of the pixels of a photo (height, width) that edges (h, w) cover."""
    rows_of_edges = np.arange(height) * len(edges) // height
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        strip = edges[rows_of_edges[top : top + step]]
        enlarged = cv2.resize(strip, (width, len(strip)), interpolation=cv2.INTER_NEAREST)
        # Of truth values numpy finds those that hold in a third of the time that OpenCV takes.
        found = np.flatnonzero(enlarged.view(np.bool_))
        found += top * width
        for start in range(0, len(found), CHUNK_PIXELS):
            yield found[start : start + CHUNK_PIXELS]


def _at(plane: Floats, x: Floats, y: Floats) -> Floats:
    """Interpolate a map (h, w, ...) under places in the photo: (n, ...).

    Args:
        plane: The map.
        x: From 0 at the photo's left edge to 1 at its right one, (n,).
        y: Likewise from above, (n,).
    """
    height, width = plane.shape[:2]
    columns, rows = (
        (place * np.float32(side) - np.float32(0.5))[:, None]
        for place, side in ((x, width), (y, height))
    )
    return np.asarray(
        cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0],
        np.float32,
    )

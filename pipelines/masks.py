"""Reading masks, whose conventions differ, to one: uint8, 0 background, 255 person."""

from collections.abc import Collection
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import PhotoError, UnclearMaskError
from pipelines.images import Pixels
from pipelines.mask_pictures import MaskPlane, decode_mask

OPAQUE = 255

NEARLY = 8
"""Grey values this close to 0 or 255 count as one of the two in a soft mask."""

SOFT_EXTREMES = 0.8
"""A soft mask is nearly opaque or nearly transparent on at least this share of its pixels."""

SOFT_LEVELS = 5
"""A soft mask has at least this many values; a map of a few classes, or a trimap, has fewer."""

NOISY_LEVELS = 16
"""From this many values on, some close to 0 or 255 are noise of compression; with fewer they are
numbers of classes, as in maps of {0, 1, 255} where 255 means "ignore"."""

TOPS = (1, OPAQUE, 65535)
"""What stands for a person in masks of two values."""

LISTED_VALUES = 8


def read_mask(content: bytes, suffix: str, *, classes: Collection[int] = ()) -> tuple[Pixels, str]:
    """Read the bytes of a mask file and recognise how it writes "person".

    Args:
        content: An image, or a MATLAB file with a variable `mask`.
        suffix: Of the file's name; `.mat` means MATLAB.
        classes: Values that mean "person" where the mask holds numbers of classes; all others mean
            that there is none. Without any, the convention is recognised.

    Returns:
        The mask, (H, W) uint8, 0-255, and the convention: `0/1`, `0/255`, `0/65535`, `soft`,
        `nobody` for nothing but 0, or `classes` with their numbers. Before it stands `alpha` or
        `palette` if it was not grey values that were read, but these.

    Raises:
        PhotoError: The file cannot be read, or its values make no sense; they are named.
    """
    if suffix.lower() == ".mat":
        plane = MaskPlane(_matlab_mask(content))
    else:
        plane = decode_mask(content, as_classes=bool(classes))
    if classes:
        mask = np.isin(plane.values, list(classes)).astype(np.uint8) * OPAQUE
        convention = f"classes {', '.join(map(str, sorted(classes)))}"
    else:
        # Opacities may have any values; 0 and 1 alone are none.
        is_opacity = plane.carrier == "alpha" and plane.values.astype(np.uint8).max() > 1
        mask, convention = _to_convention(plane.values, is_opacity=is_opacity)
    is_plain = plane.carrier == "grey" or convention == "nobody"
    return mask, convention if is_plain else f"{plane.carrier} {convention}"


def alpha_convention(alpha: Pixels) -> str:
    """Return how an alpha channel writes "person": whatever its values, they are opacities."""
    is_binary = np.isin(alpha, (0, OPAQUE)).all()
    return "alpha 0/255" if is_binary else "alpha soft"


def _matlab_mask(content: bytes) -> NDArray[np.generic]:
    from scipy.io import loadmat  # here, since most runs read no file of MATLAB

    try:
        mask = loadmat(BytesIO(content), variable_names=["mask"])["mask"]
    except KeyError:
        raise PhotoError("MATLAB file without a variable 'mask'") from None
    except Exception as error:  # damaged files raise nearly anything
        raise PhotoError(f"damaged MATLAB file: {error}") from error
    match mask.shape:
        case (_, _) if mask.dtype.kind in "buif":
            return np.asarray(mask)
        case shape:
            raise PhotoError(f"mask of shape {shape} and type {mask.dtype}, expected a plane")


def _to_convention(values: NDArray[np.generic], *, is_opacity: bool) -> tuple[Pixels, str]:
    levels, _ = histogram = _histogram(values)
    if not levels.any():
        return np.zeros(values.shape, np.uint8), "nobody"
    top = levels[-1]
    if top in TOPS and np.isin(levels, (0, top)).all():
        # In the order of rows, which files of MATLAB do not have.
        return np.equal(values, top, order="C").view(np.uint8) * OPAQUE, f"0/{top:.0f}"
    if (grey := _as_grey(values)) is not None:
        is_soft = _is_soft(*(histogram if grey is values else _histogram(grey)))
        if is_opacity or is_soft:
            return grey, "soft"
    listed = ", ".join(str(value) for value in levels[:LISTED_VALUES])
    more = ", ..." if len(levels) > LISTED_VALUES else ""
    raise UnclearMaskError(
        f"mask values {listed}{more} are neither 0/1 nor 0/255 nor a soft mask; if they are "
        "numbers of classes, say which mean a person, for example --classes 15"
    )


def _histogram(values: NDArray[np.generic]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the values that occur, in ascending order, and how often each does."""
    if values.dtype != np.uint8:
        return np.unique(values, return_counts=True)
    # Most pixels are at the ends, where they are counted in no time.
    grey = values.astype(np.uint8, copy=False)
    counts = np.bincount(grey[(grey > 0) & (grey < OPAQUE)], minlength=OPAQUE + 1)
    counts[OPAQUE] = np.count_nonzero(grey == OPAQUE)
    counts[0] = grey.size - counts.sum()
    levels = np.flatnonzero(counts)
    return levels.astype(np.uint8), counts[levels]


def _as_grey(values: NDArray[np.generic]) -> Pixels | None:
    """Return 8-bit grey values, or None for numbers that are none."""
    if values.dtype == np.uint8:
        return values  # type: ignore[return-value] # its type is what was asked for
    if values.dtype == np.uint16:
        return (values.astype(np.uint16) >> 8).astype(np.uint8)
    return None


def _is_soft(levels: NDArray[Any], counts: NDArray[Any]) -> bool:
    nearly = (levels <= NEARLY) | (levels >= OPAQUE - NEARLY)
    has_odd_ends = np.isin(levels, [*range(1, NEARLY + 1), *range(OPAQUE - NEARLY, OPAQUE)]).any()
    return bool(
        levels[0] <= NEARLY
        and levels[-1] >= OPAQUE - NEARLY
        and counts[nearly].sum() >= SOFT_EXTREMES * counts.sum()
        and len(levels) >= (NOISY_LEVELS if has_odd_ends else SOFT_LEVELS)
    )

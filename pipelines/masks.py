"""Reading masks, whose conventions differ, to one: uint8, 0 background, 255 person."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from pipelines.errors import PhotoError
from pipelines.images import Pixels, decode_mask

OPAQUE = 255

NEARLY = 8
"""Grey values this close to 0 or 255 count as one of the two in a soft mask."""

SOFT_EXTREMES = 0.8
"""A soft mask is nearly opaque or nearly transparent on at least this share of its pixels."""

LISTED_VALUES = 8


def read_mask(content: bytes, suffix: str) -> tuple[Pixels, str]:
    """Read the bytes of a mask file and recognise how it writes "person".

    Args:
        content: An image, or a MATLAB file with a variable `mask`.
        suffix: Of the file's name; `.mat` means MATLAB.

    Returns:
        The mask, (H, W) uint8, 0-255, and the convention: `0/1`, `0/255` or `soft`.

    Raises:
        PhotoError: The file cannot be read, or its values make no sense; they are named.
    """
    is_matlab = suffix.lower() == ".mat"
    return _to_convention(_matlab_mask(content) if is_matlab else decode_mask(content))


def _matlab_mask(content: bytes) -> NDArray[np.generic]:
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


def _to_convention(values: NDArray[np.generic]) -> tuple[Pixels, str]:
    present = np.unique(values)
    if np.isin(present, (0, 1)).all():
        return (values == 1).astype(np.uint8) * 255, "0/1"
    if np.isin(present, (0, OPAQUE)).all():
        return (values == OPAQUE).astype(np.uint8) * 255, "0/255"
    if values.dtype == np.uint8 and present[0] <= NEARLY and present[-1] >= OPAQUE - NEARLY:
        grey = values.astype(np.uint8)
        if np.mean((grey <= NEARLY) | (grey >= OPAQUE - NEARLY)) >= SOFT_EXTREMES:
            return grey, "soft"
    listed = ", ".join(str(value) for value in present[:LISTED_VALUES])
    more = ", ..." if len(present) > LISTED_VALUES else ""
    raise PhotoError(f"mask values {listed}{more} are neither 0/1 nor 0/255 nor a soft mask")

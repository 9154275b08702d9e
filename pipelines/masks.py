"""Reading masks, whose conventions differ, to one: uint8, 0 background, 255 person."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from pipelines.errors import PhotoError
from pipelines.images import Pixels, decode_mask, read_bytes

SOFT_EXTREMES = 0.8
"""A soft mask is nearly opaque or nearly transparent on at least this share of its pixels."""

LISTED_VALUES = 8


def read_mask(path: Path) -> tuple[Pixels, str]:
    """Read a mask and recognise how it writes "person".

    Args:
        path: An image, or a MATLAB file (`.mat`) with a variable `mask`.

    Returns:
        The mask, (H, W) uint8, 0-255, and the convention: `0/1`, `0/255` or `soft`.

    Raises:
        PhotoError: The file cannot be read, or its values make no sense; they are named.
    """
    content = read_bytes(path)
    values = _matlab_mask(content) if path.suffix.lower() == ".mat" else decode_mask(content)
    return _to_convention(values)


def _matlab_mask(content: bytes) -> NDArray[np.generic]:
    try:
        mask = loadmat(BytesIO(content), variable_names=["mask"])["mask"]
    except KeyError:
        raise PhotoError("MATLAB file without a variable 'mask'") from None
    except Exception as error:  # damaged files raise nearly anything
        raise PhotoError(f"damaged MATLAB file: {error}") from error
    if mask.ndim != 2 or not (np.issubdtype(mask.dtype, np.number) or mask.dtype == np.bool_):
        raise PhotoError(f"mask of shape {mask.shape} and type {mask.dtype}, expected a plane")
    return np.asarray(mask)


def _to_convention(values: NDArray[np.generic]) -> tuple[Pixels, str]:
    present = np.unique(values)
    if np.isin(present, (0, 1)).all():
        return (values == 1).astype(np.uint8) * 255, "0/1"
    if np.isin(present, (0, 255)).all():
        return (values == 255).astype(np.uint8) * 255, "0/255"
    if values.dtype == np.uint8 and present[0] < 8 and present[-1] > 247:
        grey = values.astype(np.uint8)
        if np.mean((grey < 8) | (grey > 247)) >= SOFT_EXTREMES:
            return grey, "soft"
    listed = ", ".join(str(value) for value in present[:LISTED_VALUES])
    more = ", ..." if len(present) > LISTED_VALUES else ""
    raise PhotoError(f"mask values {listed}{more} are neither 0/1 nor 0/255 nor a soft mask")

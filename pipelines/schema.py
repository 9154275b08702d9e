"""What a dataset store is made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.face_prior import ReferenceFrame
from pipelines.images import Pixels

SCHEMA = "banet-dataset"
SCHEMA_VERSION = 1
"""The arrays of faces came later without a new version, as readers of all else do not miss them."""


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """Type and extent of one array, apart from its first axis, which is the sample."""

    dtype: str
    trailing: tuple[int, ...] = ()
    axes: tuple[str, ...] = ()


FRAME_ARRAYS: dict[str, ArraySpec] = {
    "image": ArraySpec(dtype="uint8", trailing=(3,), axes=("channel",)),
    "mask": ArraySpec(dtype="uint8"),
    "boundary": ArraySpec(dtype="uint8"),
}
"""Of the axes sample, y, x and those named here. `image` is RGB; `mask` 0-255; `boundary` 0 or
1."""

COLUMN_ARRAYS: dict[str, ArraySpec] = {
    "kernel_size": ArraySpec(dtype="uint16"),
    "valid": ArraySpec(dtype="int16", trailing=(4,), axes=("box",)),
    "split": ArraySpec(dtype="uint8"),
    "name": ArraySpec(dtype="string"),
    "sha256": ArraySpec(dtype="string"),
}
"""A few numbers per sample. `kernel_size` is K of Eq. 1; `valid` holds y, x, height and width of
the photo inside the frame; `split` indexes `SPLITS`; `sha256` is that of the photo's file."""

ARRAYS = FRAME_ARRAYS | COLUMN_ARRAYS
"""Of every store."""

FACE_ARRAYS: dict[str, ArraySpec] = {
    "face_alignment": ArraySpec(dtype="float32", trailing=(2, 3), axes=("row", "column")),
}
"""Only in stores with a reference face. `face_alignment` maps the pixels of the frame to those of
the reference frame, see `face_prior`; NaN where the landmarks of a sample are not known."""

MEAN_MASK = "mean_mask"
"""The array (h, w), uint8, of such a store that is not one of samples. What else describes the
reference frame is in the attribute `REFERENCE_ATTRIBUTE`."""

REFERENCE_ATTRIBUTE = "reference_face"


def reference_attribute(frame: ReferenceFrame) -> dict[str, Any]:
    """Return the attribute that describes a reference frame, JSON-serialisable."""
    return {"centre": list(frame.centre), "size": frame.size, "mirror": frame.mirror.tolist()}


def reference_frame(attribute: Any, mean_mask: Pixels) -> ReferenceFrame:
    """Return the reference frame that an attribute and the mean mask describe.

    Raises:
        ValueError: They describe none.
    """
    try:
        centre, size, mirror = (
            np.asarray(attribute[key], np.float64) for key in ("centre", "size", "mirror")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("centre, size or mirror is missing or no number") from error
    if (centre.shape, size.shape, mirror.shape, mean_mask.ndim) != ((2,), (), (2, 3), 2):
        raise ValueError("centre, size, mirror or mean mask of a wrong shape")
    if not all(np.isfinite(each).all() for each in (centre, size, mirror)) or size <= 0:
        raise ValueError("centre, size or mirror is not finite, or the size not positive")
    x, y = centre.tolist()
    return ReferenceFrame(mean_mask=mean_mask, centre=(x, y), size=float(size), mirror=mirror)

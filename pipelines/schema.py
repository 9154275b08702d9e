"""What a dataset store is made of."""

from dataclasses import dataclass

SCHEMA = "banet-dataset"
SCHEMA_VERSION = 1
"""The arrays of faces came later without a new version, as readers of all else do not miss them."""


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """Type and extent of one array, apart from its first axis, which is the sample."""

    dtype: str
    frame: bool = False
    trailing: tuple[int, ...] = ()
    axes: tuple[str, ...] = ()


ARRAYS: dict[str, ArraySpec] = {
    "image": ArraySpec(dtype="uint8", frame=True, trailing=(3,), axes=("channel",)),
    "mask": ArraySpec(dtype="uint8", frame=True),
    "boundary": ArraySpec(dtype="uint8", frame=True),
    "kernel_size": ArraySpec(dtype="uint16"),
    "valid": ArraySpec(dtype="int16", trailing=(4,), axes=("box",)),
    "split": ArraySpec(dtype="uint8"),
    "name": ArraySpec(dtype="string"),
    "sha256": ArraySpec(dtype="string"),
}
"""`image` is RGB; `mask` 0-255; `boundary` 0 or 1; `kernel_size` is K of Eq. 1; `valid` holds y, x,
height and width of the photo inside the frame; `split` indexes `SPLITS`; `sha256` is that of the
photo's file."""

FACE_ARRAYS: dict[str, ArraySpec] = {
    "face_alignment": ArraySpec(dtype="float32", trailing=(2, 3), axes=("row", "column")),
}
"""Only in stores with a reference face. `face_alignment` maps the pixels of the frame to those of
the reference frame, see `face_prior`; NaN where the landmarks of a sample are not known."""

MEAN_MASK = "mean_mask"
"""The array (h, w), uint8, of such a store that is not one of samples. What else describes the
reference frame is in the attribute `REFERENCE`."""

REFERENCE = "reference_face"

"""What the doctor can find, each kind with what it means and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: `error`: the pair is left out; `warning`: it is worth a look, or changes what
            becomes of the pair; `note`: it may well be meant.
        meaning: What it is.
        remedy: What to do about it.
    """

    severity: Severity
    meaning: str
    remedy: str


KINDS: dict[str, Kind] = {
    # Pairs that cannot be used.
    "photo-unreadable": Kind(
        "error", "the photo is damaged, cut off or no picture", "copy or download the file again"
    ),
    "mask-unreadable": Kind(
        "error", "the mask is damaged, cut off or no picture", "copy or download the file again"
    ),
    "out-of-reach": Kind(
        "error",
        "a photo or mask may not be read now: no permission, or no connection",
        "mend the permissions or the connection, and run again",
    ),
    "unclear-mask": Kind(
        "error",
        "the mask holds colours or numbers of classes, and nobody says which are the person",
        "say which classes are people with --classes, or write 0 for background and 255 for person",
    ),
    "mask-is-photo": Kind(
        "error", "photo and mask are the same file", "put the mask where the copy is"
    ),
    "unrotated-mask": Kind(
        "error",
        "the mask lies on its side: it fits the photo before its EXIF orientation is applied",
        "turn the mask as the photo is shown, or write the orientation into the mask too",
    ),
    "scaled-mask": Kind(
        "error",
        "the mask has the proportions of its photo, but another size",
        "take photo and mask of one size, best the original ones",
    ),
    "size-mismatch": Kind(
        "error",
        "photo and mask differ in their proportions",
        "find the mask that belongs to the photo, or cut both alike",
    ),
    "crop-outside": Kind(
        "error", "a box of --crops leaves its photo", "mend the box, or leave it empty"
    ),
    "unusable-name": Kind(
        "error", "the sample cannot be told by its name", "rename the files so that they match"
    ),
    # Files without a counterpart.
    "photo-missing": Kind(
        "warning", "a mask, or a list, names a photo that is not there", "add it or remove the mask"
    ),
    "mask-missing": Kind(
        "warning",
        "a photo, or a list, names a mask that is not there",
        "add it or remove the photo",
    ),
    "misnamed-pair": Kind(
        "warning",
        "a photo without a mask and a mask without a photo have nearly the same name",
        "give them the same name, apart from the extension",
    ),
    # Masks.
    "empty-mask": Kind(
        "warning", "the mask shows nobody", "keep it if there is nobody in the photo"
    ),
    "full-mask": Kind(
        "warning", "the mask calls every pixel a person", "keep it if the person fills the photo"
    ),
    "inverted-mask": Kind(
        "warning", "the mask is a person along the border and none in the middle", "invert the mask"
    ),
    "shifted-mask": Kind(
        "warning",
        "the mask lies beside the edges of its photo",
        "shift it back as the finding says",
    ),
    "mirrored-mask": Kind(
        "warning", "the mask fits the edges of its photo once it is mirrored", "mirror the mask"
    ),
    "rotated-mask": Kind(
        "warning", "the mask fits the edges of its photo once it is turned", "turn the mask back"
    ),
    "ill-fitting-mask": Kind(
        "warning",
        "the outline of the mask follows no edges of the photo, wherever it is put",
        "see whether it belongs to another photo; draw it again",
    ),
    "face-outside-mask": Kind(
        "warning", "most landmarks of the face lie outside of the mask", "draw the mask again"
    ),
    "tiny-person": Kind(
        "warning", "the person takes less than 0.5 % of the photo", "crop the photo, see --crops"
    ),
    "speckled-mask": Kind(
        "warning", "the mask is in dozens of pieces", "remove specks and holes from the mask"
    ),
    "box-mask": Kind("warning", "the mask is a rectangle", "draw the outline: a box is no mask"),
    "blocky-mask": Kind(
        "warning",
        "the mask was enlarged from a much smaller one, and has stairs",
        "take the mask at the size of the photo",
    ),
    "lossy-mask": Kind(
        "warning",
        "the mask was saved with losses (JPEG), which leaves noise around its outline",
        "write masks as PNG",
    ),
    "odd-convention": Kind(
        "note", "nearly all other masks write `person` in another way", "see whether it is meant"
    ),
    "shared-mask": Kind(
        "warning", "photos that differ have the very same mask", "find the right mask for each"
    ),
    # Photos.
    "small-photo": Kind(
        "warning", "the photo is enlarged more than twice to fill its frame", "find a larger one"
    ),
    "blank-photo": Kind("warning", "the photo is of a single colour", "remove the pair"),
    "half-photo": Kind(
        "warning",
        "the photo ends in a flat grey band, as files do that were cut off and saved again",
        "download the photo again",
    ),
    "flawed-photo": Kind(
        "warning",
        "the file of the photo has a flaw, and the picture may be wrong from there on",
        "look at the photo; copy or download the file again",
    ),
    "grey-photo": Kind("note", "the photo has no colours", "nothing, if it is meant"),
    "landmarks-unreadable": Kind(
        "warning", "the landmarks of the face cannot be read", "copy the file again"
    ),
    # Photos that are there several times.
    "duplicate-photo": Kind(
        "warning", "the photo is there several times; the first is stored", "remove the others"
    ),
    "conflicting-masks": Kind(
        "warning",
        "the same photo is there with different masks; the first is stored",
        "keep the better mask",
    ),
    "near-duplicate": Kind(
        "warning",
        "two photos show the same but for encoding, size, exposure or a moment",
        "keep one; both are stored in one split",
    ),
    "duplicate-across-splits": Kind(
        "warning",
        "the dataset's own lists put the same, or nearly the same, photo into several splits",
        "mend the lists; the photo was moved to one split: test before val before train",
    ),
}
"""By name. docs/doctor.md has the same table."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the doctor found about one sample.

    Attributes:
        kind: A key of `KINDS`.
        message: What and where.
        other: Name of the other sample that it is about, if there is one.
    """

    kind: str
    message: str
    other: str = ""

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind].severity

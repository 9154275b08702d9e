"""What every source yields."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.sources.files import without_suffix
from pipelines.sources.mask_origin import MaskOrigin
from pipelines.storage import FilePath


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One photo with its mask, as a source lists it; neither need exist.

    Attributes:
        name: Unique within the source, for reports.
        photo: Image file.
        mask: Where its mask comes from.
        landmarks: File with the landmarks of its face, None if the source has none of any sample.
        split: `train`, `val` or `test` where the source's own lists say so, else None.
        crop: x0, y0, x1, y1 in pixels of the upright photo: only this part is the sample.
        licence: Terms of use where the source states them photo by photo.
        problem: Why the sample cannot be used, known without a look into its files.
    """

    name: str
    photo: FilePath
    mask: MaskOrigin
    landmarks: FilePath | None = None
    split: str | None = None
    crop: tuple[int, int, int, int] | None = None
    licence: str = ""
    problem: str = ""


def sample_names(photos: Sequence[str]) -> list[str]:
    """Name samples after their photos: without extension, except where that is not unique.

    Args:
        photos: Paths relative to the source, no two of them equal.
    """
    stems = [without_suffix(photo) for photo in photos]
    count = Counter([*stems, *photos])
    return [stem if count[stem] == 1 else photo for stem, photo in zip(stems, photos, strict=True)]

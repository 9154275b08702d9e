"""What every source yields."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One photo with its mask, as a source lists it; neither file need exist.

    Attributes:
        name: Unique within the source, for reports.
        photo: Image file.
        mask: Mask file: an image, or a MATLAB file with a variable `mask`.
        landmarks: File with the landmarks of its face, None if the source has none of any sample.
        split: `train` or `test` where the source's own lists say so, else None.
        crop: x0, y0, x1, y1 in pixels of the upright photo: only this part is the sample.
        problem: Why the sample cannot be used, known without a look into its files.
    """

    name: str
    photo: Path
    mask: Path
    landmarks: Path | None = None
    split: str | None = None
    crop: tuple[int, int, int, int] | None = None
    problem: str = ""

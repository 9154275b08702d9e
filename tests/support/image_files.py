"""Image files made in memory: of any format, turned in any way, with a profile."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

ORIENTATION = 0x0112
"""The tag of EXIF."""

STORED_AS = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""By orientation of EXIF: from upright pixels to those in the file."""

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """Encode by Pillow, under its name of the format and with its options."""
    buffer = BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def turned(
    upright: NDArray[np.uint8], orientation: int, image_format: str, **options: Any
) -> bytes:
    """Encode so that the file is to be turned before it is looked at."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](upright)))
    # As bytes, because pillow-heif turns pictures by nothing else.
    return encoded(stored, image_format, exif=exif.tobytes(), **options)

"""Writing of pictures: from pixels, whole or strip by strip, to the content of a file.

OpenCV encodes JPEG and WebP, because it is fast; PNG is encoded by `pipelines.png`, which is
faster.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from pipelines.errors import PhotoError
from pipelines.images import Pixels
from pipelines.png import encode_png

ImageFormat = Literal["png", "jpg", "webp"]

MAX_SIDE: dict[ImageFormat, int] = {"png": 2**31 - 1, "jpg": 65_500, "webp": 16_383}
"""Longest side in pixels that each format, or its usual library, can hold."""

JPEG_QUALITY = 92
WEBP_QUALITY = 90

_MAX_JPEG_PROFILE = 65_519
"""Bytes of a profile that one segment of a JPEG file holds."""

_TO_OPENCV = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
_COLOUR = 3  # dimensions of an array of colours


@dataclass(frozen=True, kw_only=True)
class Strips:
    """A picture that is not in memory as a whole.

    Attributes:
        height: Of the picture, in pixels.
        width: Of the picture, in pixels.
        channels: 1, grey; 3, RGB; or 4, RGBA.
        rows: Its rows from top to bottom, (h, width) or (h, width, channels) uint8 each; they can
            be drawn once.
    """

    height: int
    width: int
    channels: int
    rows: Iterable[Pixels]

    @classmethod
    def of(cls, pixels: Pixels) -> "Strips":
        """Take a picture that is in memory for one strip."""
        height, width = pixels.shape[:2]
        channels = pixels.shape[2] if pixels.ndim == _COLOUR else 1
        return cls(height=height, width=width, channels=channels, rows=(pixels,))

    def whole(self) -> Pixels:
        """Put the strips together: (height, width) or (height, width, channels)."""
        return self._joined(None)

    def blue_first(self) -> Pixels:
        """Put them together with red and blue exchanged, as OpenCV has it."""
        return self._joined(_TO_OPENCV.get(self.channels))

    def _joined(self, conversion: int | None) -> Pixels:
        channels = () if self.channels == 1 else (self.channels,)
        whole = np.empty((self.height, self.width, *channels), np.uint8)
        top = 0
        for strip in self.rows:
            place = whole[top : top + len(strip)]
            if conversion is None:
                place[...] = strip
            else:
                cv2.cvtColor(strip, conversion, dst=place)
            top += len(strip)
        return whole


def encode(
    picture: Pixels | Strips, image_format: ImageFormat, *, icc_profile: bytes | None = None
) -> bytes:
    """Encode a picture: grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4) uint8 pixels, or strips.

    JPEG has no alpha channel. The profile is embedded in colour pictures.

    Raises:
        PhotoError: The format cannot hold that many pixels.
    """
    strips = picture if isinstance(picture, Strips) else Strips.of(picture)
    if max(strips.height, strips.width) > MAX_SIDE[image_format]:
        raise PhotoError(
            f"{strips.width} x {strips.height} pixels do not fit into {image_format}, whose "
            f"longest side is {MAX_SIDE[image_format]}"
        )
    profile = None if strips.channels == 1 else icc_profile
    if image_format == "png":
        return encode_png(
            strips.rows,
            height=strips.height,
            width=strips.width,
            channels=strips.channels,
            icc_profile=profile,
        )
    if profile is not None and image_format == "jpg" and len(profile) > _MAX_JPEG_PROFILE:
        return _encode_jpeg_by_pillow(strips.whole(), profile)
    return _encode_by_opencv(strips.blue_first(), image_format, profile)


def _encode_by_opencv(
    pixels: Pixels, image_format: ImageFormat, icc_profile: bytes | None
) -> bytes:
    """Encode grey, or colours whose first channel is blue, as JPEG or WebP."""
    quality = {
        "jpg": [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY],
    }[image_format]
    profiles = [] if icc_profile is None else [np.frombuffer(icc_profile, np.uint8)]
    done, encoded = cv2.imencodeWithMetadata(
        f".{image_format}", pixels, [cv2.IMAGE_METADATA_ICCP] * len(profiles), profiles, quality
    )
    if not done:
        raise PhotoError(f"cannot be written as {image_format}")
    return encoded.tobytes()


def _encode_jpeg_by_pillow(pixels: Pixels, icc_profile: bytes) -> bytes:
    """Encode RGB with a profile that takes several segments, which OpenCV does not write."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=JPEG_QUALITY, icc_profile=icc_profile)
    return buffer.getvalue()

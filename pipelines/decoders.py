"""Which decoders may open a file, and what they leave to say about it. A part of `images`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from pipelines.errors import PhotoError
from pipelines.file_kinds import has_heic_brand, unidentified_kind, unreadable_kind

HEIC_PACKAGE = "pillow-heif>=1.1"
"""The package of the extra `heic`."""

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "GIF")
"""What Pillow may try. It knows dozens more, some of which start other programs (Ghostscript)."""

_JPEG = frozenset({"JPEG", "MPO"})

_PLAIN_DECODING_BYTES = 8
"""Bytes per pixel for Pillow's pixels beside ours (4 and 3), or beside turned ones (4 and 4).

Without Pillow it is less: ours (3), or ours beside turned ones (3 and 3).
"""

_JPEG_BUFFERS = 0.5

_DECODING_BYTES = {"PNG": 8.5, "BMP": 8.5, "GIF": 8.5, "TIFF": 12, "HEIF": 12, "AVIF": 16}
"""Bytes per pixel, all formats measured by `benchmarks/memory.py`."""

_MOST_DECODING_BYTES = 20
"""Likewise: WebP, whose decoder holds three pictures."""

_PARTS = {"TIFF": "pages", "MPO": "pictures", "HEIF": "pictures"}  # what others have are frames


def open_image(content: bytes) -> Image.Image:
    """Open an image file without decoding it.

    Raises:
        PhotoError: It is of a kind that cannot be read, or not without a package.
        Exception: Whatever Pillow makes of it; for use within `pillow_errors`.
    """
    reason = unreadable_kind(content)
    if reason is not None:
        raise PhotoError(reason)
    can_be_heic = has_heic_brand(content)
    formats = (*_FORMATS, "HEIF") if can_be_heic and _can_read_heic() else _FORMATS
    try:
        return Image.open(BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:
        if not can_be_heic:
            raise
        # Only now, for AVIF may have the same brands.
        if _can_read_heic():
            raise PhotoError("damaged image: HEIC that cannot be decoded") from error
        raise PhotoError(
            "HEIC, which needs a package that is not installed here; add it with "
            f'{sys.executable} -m pip install "{HEIC_PACKAGE}", then run the same command again'
        ) from error


def decoding_bytes(image: Image.Image, *, whole: int) -> int:
    """Return how many bytes of memory it takes at most to decode an opened image file to RGB.

    Args:
        image: Opened, and not decoded.
        whole: Its number of pixels; it may be going to be decoded to fewer of them.
    """
    pixels = image.width * image.height
    if image.format not in _JPEG:
        return round(pixels * _DECODING_BYTES.get(image.format or "", _MOST_DECODING_BYTES))
    # Of progressive files, all coefficients are there before the first pixel is.
    coefficients = 2 * len(image.getbands()) * whole if image.info.get("progressive") else 0
    buffers = round(_JPEG_BUFFERS * whole)
    return buffers + max(pixels * _PLAIN_DECODING_BYTES, 4 * pixels + coefficients)


def note_on_parts(image: Image.Image) -> str | None:
    """Say that a file holds more than the picture that was decoded.

    Counting moves decoders to other parts, so that the pixels are to be taken out before.
    """
    parts = _PARTS.get(image.format or "", "frames")
    try:
        count = getattr(image, "n_frames", 1)
    except Exception:  # noqa: BLE001 # decoders of damaged files raise nearly anything
        return f"only the first of several {parts} was taken; others are damaged"
    which = "main one" if image.format == "HEIF" else "first"
    return None if count == 1 else f"only the {which} of {count} {parts} was taken"


@contextmanager
def pillow_errors(content: bytes) -> Iterator[None]:
    """Turn whatever Pillow raises about the content of a file into PhotoError."""
    try:
        yield
    except (PhotoError, MemoryError):  # too little memory says nothing about the file
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(unidentified_kind(content)) from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise PhotoError(f"damaged image: {str(error) or type(error).__name__}") from error


@cache
def _can_read_heic() -> bool:
    """Let Pillow read HEIC where the package for it is installed, and return whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    # One thread, because the workers share the cores already.
    pillow_heif.register_heif_opener(thumbnails=False, decode_threads=1)
    return True

"""Reading of pictures: from the content of a file to pixels.

Pillow reads, because it says what is wrong with a damaged file, and knows orientation, palettes and
colour profiles. What is most of the work, JPEG photos in colour, `sound_jpeg` decodes. HEIC is read
where the package of the extra `heic` is installed.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from posixpath import splitext

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from pipelines.colours import keeps_values, profile_of, to_rgb
from pipelines.decoders import decoding_bytes, note_on_parts, open_image, pillow_errors
from pipelines.errors import PhotoError
from pipelines.file_kinds import is_unreadable_name
from pipelines.sound_jpeg import JPEG_SIGNATURE, FlawedJpegError, decode_sound_jpeg

Pixels = NDArray[np.uint8]

PHOTO_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".gif"}
    | {".heic", ".heif"}
)
"""Lower-case extensions of the files that count as photos when a folder is searched."""

OPAQUE = 255
"""Alpha where a pixel shows nothing but the person."""

PERSON_FROM = 128
"""The grey value from which on a pixel of a mask belongs to a person."""

MAX_PIXELS = 200_000_000
"""Photos of more pixels are refused. No camera makes larger ones: medium format ends at 150
million pixels, telephones at 16,320 x 12,240."""

_SIDEWAYS = frozenset({5, 6, 7, 8})  # orientations of EXIF that exchange height and width

Image.MAX_IMAGE_PIXELS = None  # our own limit above raises PhotoError instead of warning
# Oddities in the metadata of a photo that decodes well are nobody's business here.
warnings.filterwarnings("ignore", module="PIL")


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A decoded photo, upright.

    Attributes:
        pixels: RGB, (H, W, 3) uint8; smaller than the photo if it was decoded reduced.
        height: Pixels of the whole photo.
        width: Pixels of the whole photo.
        icc_profile: Embedded colour profile for RGB, None if there is none.
        note: What there is to say about the reading, such as that further pages were left out, or
            that the file is damaged; None if nothing.
        flaw: What of that is wrong with the file; None if nothing.
    """

    pixels: Pixels
    height: int
    width: int
    icc_profile: bytes | None = None
    note: str | None = None
    flaw: str | None = None


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is known of a photo before it is decoded.

    Attributes:
        pixels: Of the whole photo.
        long_side: Of the whole photo, in pixels.
        decoded_pixels: Fewer than `pixels` if it is decoded reduced.
        decoding_bytes: Of memory that decoding takes, the decoded photo included.
    """

    pixels: int
    long_side: int
    decoded_pixels: int
    decoding_bytes: int


def is_photo_name(path: str) -> bool:
    """Tell whether the name of a file looks like that of a photo; hidden files never do.

    Args:
        path: With forward slashes. As text, since `pathlib` keeps every name that it has seen.
    """
    name = path.rpartition("/")[2]
    return splitext(name)[1].lower() in PHOTO_EXTENSIONS and not name.startswith(".")


def is_picture_path(path: Path) -> bool:
    """Tell the same, with pictures that cannot be read counted among the photos."""
    return is_photo_name(path.name) or (
        is_unreadable_name(path.name) and not path.name.startswith(".")
    )


def read_header(content: bytes, *, reduced_to: int | None = None) -> Header:
    """Return what the header of an image file says, without decoding anything.

    Args:
        content: The whole file.
        reduced_to: As for `decode_photo`.

    Raises:
        PhotoError: The bytes are no image, or show over `MAX_PIXELS`.
    """
    with pillow_errors(content):
        image, (width, height) = _open_reduced(content, reduced_to)
        decoded = image.width * image.height
        return Header(
            pixels=width * height,
            long_side=max(width, height),
            decoded_pixels=decoded,
            decoding_bytes=decoding_bytes(image, whole=width * height),
        )


def decode_photo(content: bytes, *, reduced_to: int | None = None) -> Photo:
    """Decode the bytes of an image file to upright RGB.

    All orientations of EXIF are applied, and colours become those of `to_rgb`. Of an animation the
    first frame is taken, of several pages the first one, and the note says so.

    Args:
        content: The whole file.
        reduced_to: If given, a JPEG may be decoded at a half, a quarter or an eighth of its size,
            as long as its shorter side keeps this many pixels; that costs a quarter of the time.

    Raises:
        PhotoError: The bytes are no image, are damaged or truncated, show over `MAX_PIXELS`, or
            hold 32-bit values, whose range nobody knows.
    """
    with pillow_errors(content):
        try:
            photo = _sound_jpeg(content, reduced_to)
        except FlawedJpegError as flaw:
            return _any_photo(content, reduced_to, flaw=str(flaw))
        return photo or _any_photo(content, reduced_to)


def _sound_jpeg(content: bytes, reduced_to: int | None) -> Photo | None:
    if not content.startswith(JPEG_SIGNATURE):
        return None
    image, whole = _open_reduced(content, reduced_to)
    if image.mode != "RGB" or not keeps_values(image):
        return None
    orientation = _orientation(image)
    pixels = decode_sound_jpeg(content, image, orientation=orientation)
    if pixels is None:
        return None
    width, height = whole[::-1] if orientation in _SIDEWAYS else whole
    return Photo(
        pixels=pixels,
        height=height,
        width=width,
        icc_profile=profile_of(image),
        note=note_on_parts(image),
    )


def _any_photo(content: bytes, reduced_to: int | None, *, flaw: str | None = None) -> Photo:
    image, height, width = open_upright(content, reduced_to=reduced_to)
    pixels, icc_profile, colour_note = to_rgb(image)
    notes = [note for note in (note_on_parts(image), colour_note, flaw) if note is not None]
    return Photo(
        pixels=pixels,
        height=height,
        width=width,
        icc_profile=icc_profile,
        note="; ".join(notes) or None,
        flaw=flaw,
    )


def open_upright(content: bytes, *, reduced_to: int | None = None) -> tuple[Image.Image, int, int]:
    """Open, decode, and apply the orientation of EXIF.

    Returns:
        The image, and the upright height and width that it has when it is not reduced.

    Raises:
        PhotoError: It shows over `MAX_PIXELS`, or holds 32-bit values, whose range nobody knows.
            Of damage Pillow speaks, see `decoders.pillow_errors`.
    """
    image, whole = _open_reduced(content, reduced_to)
    is_reduced = image.size != whole
    turned = _orientation(image) in _SIDEWAYS
    image.load()
    if image.mode[0] in "IF" and not image.mode.startswith("I;16"):
        raise PhotoError(f"pixels of mode {image.mode} (32-bit values) are not supported")
    ImageOps.exif_transpose(image, in_place=True)
    # Some formats report and decode turned photos upright by themselves, so that only a reduced
    # size has to be worked out.
    width, height = (whole[::-1] if turned else whole) if is_reduced else image.size
    return image, height, width


def _open_reduced(content: bytes, reduced_to: int | None) -> tuple[Image.Image, tuple[int, int]]:
    """Open an image file, check its size, and tell how reduced it may be decoded.

    Returns:
        The image, not yet decoded, and the width and height of the whole.
    """
    image = open_image(content)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(f"too large: {width} x {height} pixels, the limit is {MAX_PIXELS:,}")
    if reduced_to is not None:
        image.draft(None, (reduced_to, reduced_to))
    return image, (width, height)


def _orientation(image: Image.Image) -> int:
    orientation: int = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation

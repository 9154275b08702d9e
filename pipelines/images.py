"""Reading, resizing and writing of pictures: the only module that knows image codecs.

Pillow reads, because it says what is wrong with a damaged file (OpenCV returns half a picture),
and knows orientation, palettes and colour profiles. OpenCV resizes and writes, because it is fast.
HEIC is read where the package of the extra `heic` is installed.
"""

import os
import stat
import struct
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from pipelines.colours import to_rgb
from pipelines.decoders import note_on_parts, open_image, pillow_errors
from pipelines.errors import MissingFileError, PhotoError
from pipelines.file_kinds import is_unreadable_name
from pipelines.storage import Location, RemotePath

Pixels = NDArray[np.uint8]
ImageFormat = Literal["png", "jpg", "webp"]

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

MAX_FILE_BYTES = 8 * MAX_PIXELS
"""Larger files are refused unread. So many hold the largest photo with four channels of 16 bits."""

MAX_SIDE: dict[ImageFormat, int] = {"png": 2**31 - 1, "jpg": 65_500, "webp": 16_383}
"""Longest side in pixels that each format, or its usual library, can hold."""

STRIDE = 16
"""Networks see photos whose sides are multiples of so many pixels."""

JPEG_QUALITY = 92
WEBP_QUALITY = 90
PNG_COMPRESSION = 1

PNG_HEADER_BYTES = 33
"""Of the signature and the chunk IHDR, with which every PNG file begins."""

_TO_OPENCV = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
_COLOUR = 3  # dimensions of an array of colours
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
        note: What there is to say about the reading, such as that further pages were left out;
            None if nothing.
    """

    pixels: Pixels
    height: int
    width: int
    icc_profile: bytes | None = None
    note: str | None = None


def is_photo_path(path: Path) -> bool:
    """Tell whether a file's name looks like that of a photo; hidden files never do."""
    return path.suffix.lower() in PHOTO_EXTENSIONS and not path.name.startswith(".")


def is_picture_path(path: Path) -> bool:
    """Tell the same, with pictures that cannot be read counted among the photos."""
    return is_photo_path(path) or (is_unreadable_name(path.name) and not path.name.startswith("."))


def read_bytes(path: Location) -> bytes:
    """Read a whole file.

    Raises:
        MissingFileError: It does not exist.
        PhotoError: It may not be read, is no regular file, is empty, or is larger than
            `MAX_FILE_BYTES`.
    """
    try:
        if isinstance(path, Path):  # whoever reads behind URLs knows the size from a listing
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise PhotoError("not a regular file")
            refuse_large_file(status.st_size)
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError("no such file") from error
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror or error}") from error
    if not content:
        raise PhotoError("empty file")
    return content


def refuse_large_file(size: int) -> None:
    """Make sure that a file has no more than `MAX_FILE_BYTES`.

    Raises:
        PhotoError: It has.
    """
    if size > MAX_FILE_BYTES:
        raise PhotoError(f"too large: {size:,} bytes, the limit is {MAX_FILE_BYTES:,}")


def count_pixels(content: bytes) -> int:
    """Return how many pixels the bytes of an image file show, from its header alone.

    Raises:
        PhotoError: The bytes are no image, or show over `MAX_PIXELS`.
    """
    with pillow_errors(content):
        width, height = _open(content).size
        return width * height


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
        image, height, width = _open_upright(content, reduced_to=reduced_to)
        pixels, icc_profile, colour_note = to_rgb(image)
    notes = [note for note in (note_on_parts(image), colour_note) if note is not None]
    return Photo(
        pixels=pixels,
        height=height,
        width=width,
        icc_profile=icc_profile,
        note="; ".join(notes) or None,
    )


def decode_mask(content: bytes) -> NDArray[np.unsignedinteger]:
    """Decode the bytes of a mask file to one plane of values, upright and otherwise unchanged.

    Of a picture with an alpha channel, alpha is the mask if the colours are all the same. Of a
    palette picture it is the indices, unless the palette holds nothing but black and white.

    Returns:
        (H, W) uint8, or uint16 for 16-bit grey.

    Raises:
        PhotoError: The bytes are no image, or one whose colours carry more than a grey value.
    """
    with pillow_errors(content):
        image, _, _ = _open_upright(content)
        if image.mode.startswith("I;16"):
            return np.asarray(image).astype(np.uint16)
        if image.mode == "P" and not _is_black_and_white(image):
            return np.asarray(image)
        if image.mode in {"LA", "PA", "RGBA"}:
            return _plane_of_transparent_mask(image.convert("RGBA"))
        return _grey_plane(image.convert("RGB"))


def resize(pixels: Pixels, *, height: int, width: int) -> Pixels:
    """Resize (H, W) or (H, W, 3) uint8: by area when it shrinks, bilinearly when it grows."""
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(pixels, (width, height), interpolation=method)  # type: ignore[return-value]


def fitted_size(*, height: float, width: float, long_side: float) -> tuple[int, int]:
    """Return (height, width) scaled so that the longer one is `long_side`, each at least 1."""
    scale = long_side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def working_size(
    *, height: float, width: float, long_side: float, multiple: int = STRIDE
) -> tuple[int, int]:
    """Return (height, width) for a network: as `fitted_size`, but multiples of a number of pixels.

    Features that are a fraction larger than their share of the photo lie beside it once they are
    enlarged. At 320 x 213 pixels the masks of BANet-64 lie a pixel to the left, which a photo that
    is wider or narrower by a few per cent avoids, at a cost that no score shows.
    """
    fitted = fitted_size(height=height, width=width, long_side=long_side)
    height, width = (max(1, round(side / multiple)) * multiple for side in fitted)
    return height, width


def encode(pixels: Pixels, image_format: ImageFormat, *, icc_profile: bytes | None = None) -> bytes:
    """Encode grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4) uint8 pixels.

    JPEG has no alpha channel. The profile is embedded in colour pictures.

    Raises:
        PhotoError: The format cannot hold that many pixels.
    """
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_SIDE[image_format]:
        raise PhotoError(
            f"{width} x {height} pixels do not fit into {image_format}, whose longest side is "
            f"{MAX_SIDE[image_format]}"
        )
    if pixels.ndim != _COLOUR:
        return _encode_by_opencv(pixels, image_format)
    if icc_profile is not None and image_format != "png":
        return _encode_with_profile(pixels, image_format, icc_profile)
    blue_first = cv2.cvtColor(pixels, _TO_OPENCV[pixels.shape[2]])
    content = _encode_by_opencv(blue_first, image_format)  # type: ignore[arg-type]
    return content if icc_profile is None else _with_profile(content, icc_profile)


def write_atomically(path: Location, content: bytes) -> None:
    """Write a file so that its path holds, at any moment, the old content or all of the new one.

    Raises:
        OSError: It cannot be written; the error names `path`.
    """
    if isinstance(path, RemotePath):
        path.write_bytes(content)
        return
    temporary = path.with_name(f".{uuid4().hex}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:  # it names the temporary file, which means nothing to anybody
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _encode_by_opencv(pixels: Pixels, image_format: ImageFormat) -> bytes:
    """Encode grey, or colours whose first channel is blue.

    Of the ways to write a PNG of 12 million pixels fast, these are the fastest or as good as that,
    and the smaller ones of equals. Masks are flat but for smooth edges: differences to the row
    above, of which only runs are packed, take as long as no filter at all and half the space.
    """
    is_grey = pixels.ndim != _COLOUR
    strategy = cv2.IMWRITE_PNG_STRATEGY_RLE if is_grey else cv2.IMWRITE_PNG_STRATEGY_DEFAULT
    row_filter = cv2.IMWRITE_PNG_FILTER_UP if is_grey else cv2.IMWRITE_PNG_FILTER_SUB
    parameters = {
        "png": [
            *(cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION),  # resets what comes before it
            *(cv2.IMWRITE_PNG_STRATEGY, strategy),
            *(cv2.IMWRITE_PNG_FILTER, row_filter),
        ],
        "jpg": [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY],
    }[image_format]
    done, encoded = cv2.imencode(f".{image_format}", pixels, parameters)
    if not done:
        raise PhotoError(f"cannot be written as {image_format}")
    return encoded.tobytes()


def _with_profile(png: bytes, icc_profile: bytes) -> bytes:
    """Put a colour profile behind the header of a PNG file, in a chunk iCCP (ISO 15948, 11.3.3.3).

    OpenCV drops profiles, or refuses to write those that libpng finds fault with, and Pillow takes
    nearly twice as long for the pixels.
    """
    chunk = b"iCCPICC profile\x00\x00" + zlib.compress(icc_profile)
    length = struct.pack(">I", len(chunk) - len(b"iCCP"))
    packed = length + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:PNG_HEADER_BYTES] + packed + png[PNG_HEADER_BYTES:]


def _encode_with_profile(pixels: Pixels, image_format: ImageFormat, icc_profile: bytes) -> bytes:
    """Encode colour pixels as JPEG or WebP through Pillow, because OpenCV drops profiles."""
    buffer = BytesIO()
    name, quality = {"jpg": ("jpeg", JPEG_QUALITY), "webp": ("webp", WEBP_QUALITY)}[image_format]
    Image.fromarray(pixels).save(buffer, name, quality=quality, icc_profile=icc_profile)
    return buffer.getvalue()


def _open(content: bytes) -> Image.Image:
    """Open an image file and check its size before anything is decoded."""
    image = open_image(content)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(f"too large: {width} x {height} pixels, the limit is {MAX_PIXELS:,}")
    return image


def _open_upright(content: bytes, *, reduced_to: int | None = None) -> tuple[Image.Image, int, int]:
    """Open, decode, and apply the orientation of EXIF.

    Returns:
        The image, and the upright height and width that it has when it is not reduced.
    """
    image = _open(content)
    whole = image.size
    if reduced_to is not None:
        image.draft(None, (reduced_to, reduced_to))
    is_reduced = image.size != whole
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _SIDEWAYS
    image.load()
    if image.mode[0] in "IF" and not image.mode.startswith("I;16"):
        raise PhotoError(f"pixels of mode {image.mode} (32-bit values) are not supported")
    ImageOps.exif_transpose(image, in_place=True)
    # Some formats report and decode turned photos upright by themselves, so that only a reduced
    # size has to be worked out.
    width, height = (whole[::-1] if turned else whole) if is_reduced else image.size
    return image, height, width


def _is_black_and_white(image: Image.Image) -> bool:
    """Tell whether all colours of a palette picture that occur are pure black or pure white."""
    colours = image.convert("RGB").getcolors(maxcolors=2)
    return colours is not None and {colour for _, colour in colours} <= {(0,) * 3, (255,) * 3}


def _plane_of_transparent_mask(image: Image.Image) -> Pixels:
    rgb, alpha = image.convert("RGB"), np.asarray(image.getchannel("A"))
    has_one_colour = all(low == high for low, high in rgb.getextrema())  # type: ignore[misc]
    return alpha if has_one_colour and alpha.min() < alpha.max() else _grey_plane(rgb)


def _grey_plane(image: Image.Image) -> Pixels:
    red, green, blue = (np.asarray(image.getchannel(band)) for band in "RGB")
    if not (np.array_equal(red, green) and np.array_equal(green, blue)):
        colours = len(np.unique(np.asarray(image).reshape(-1, 3), axis=0))
        raise PhotoError(f"a mask must be grey, this one has {colours} colours")
    return red

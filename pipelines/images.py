"""Reading, resizing and writing of pictures: the only module that knows image codecs.

Pillow reads, because it says what is wrong with a damaged file (OpenCV returns half a picture),
and knows orientation, palettes and colour profiles. OpenCV resizes and writes, because it is fast.
"""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pipelines.errors import MissingFileError, PhotoError

Pixels = NDArray[np.uint8]
ImageFormat = Literal["png", "jpg", "webp"]

PHOTO_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".gif"}
    | {".heic", ".heif"}
)
"""Lower-case extensions of the files that count as photos when a folder is searched.

HEIC is among them although it cannot be read, so that such photos are reported, not overlooked.
"""

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

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "GIF")
"""What Pillow may try. It knows dozens more, some of which start other programs (Ghostscript)."""

_TO_OPENCV = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
_SIDEWAYS = frozenset({5, 6, 7, 8})  # orientations of EXIF that exchange height and width
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

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
    """

    pixels: Pixels
    height: int
    width: int
    icc_profile: bytes | None = None


def is_photo_path(path: Path) -> bool:
    """Tell whether a file's name looks like that of a photo; hidden files never do."""
    return path.suffix.lower() in PHOTO_EXTENSIONS and not path.name.startswith(".")


def read_bytes(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        MissingFileError: It does not exist.
        PhotoError: It may not be read, is no regular file, is empty, or is larger than
            `MAX_FILE_BYTES`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError("not a regular file")
        size = status.st_size
        if size > MAX_FILE_BYTES:
            raise PhotoError(f"too large: {size:,} bytes, the limit is {MAX_FILE_BYTES:,}")
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError("no such file") from error
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror or error}") from error
    if not content:
        raise PhotoError("empty file")
    return content


def count_pixels(content: bytes) -> int:
    """Return how many pixels the bytes of an image file show, from its header alone.

    Raises:
        PhotoError: The bytes are no image, or show over `MAX_PIXELS`.
    """
    with _pillow_errors():
        width, height = _open(content).size
        return width * height


def decode_photo(content: bytes, *, reduced_to: int | None = None) -> Photo:
    """Decode the bytes of an image file to upright RGB.

    All orientations of EXIF are applied. Transparent areas turn white. Of an animation the first
    frame is taken. 16-bit grey is reduced to its upper 8 bits.

    Args:
        content: The whole file.
        reduced_to: If given, a JPEG may be decoded at a half, a quarter or an eighth of its size,
            as long as its shorter side keeps this many pixels; that costs half the time.

    Raises:
        PhotoError: The bytes are no image, are damaged or truncated, show over `MAX_PIXELS`, or
            hold 32-bit values, whose range nobody knows.
    """
    with _pillow_errors():
        image, height, width = _open_upright(content, reduced_to=reduced_to)
        return Photo(
            pixels=_to_rgb(image),
            height=height,
            width=width,
            icc_profile=_rgb_profile(image.info.get("icc_profile")),
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
    with _pillow_errors():
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
    match pixels.shape:
        case (_, _):
            # The filters cost four times the rest of writing a mask and save nothing on flat areas.
            png_filter = cv2.IMWRITE_PNG_FILTER_NONE
        case _ if icc_profile is not None:
            return _encode_with_profile(pixels, image_format, icc_profile)
        case (_, _, channels):
            png_filter = cv2.IMWRITE_PNG_FILTER_SUB
            pixels = cv2.cvtColor(pixels, _TO_OPENCV[channels])  # type: ignore[assignment]
    parameters = {
        "png": [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION, cv2.IMWRITE_PNG_FILTER, png_filter],
        "jpg": [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY],
    }[image_format]
    done, encoded = cv2.imencode(f".{image_format}", pixels, parameters)
    if not done:
        raise PhotoError(f"cannot be written as {image_format}")
    return encoded.tobytes()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that its path holds, at any moment, the old content or all of the new one.

    Raises:
        OSError: It cannot be written; the error names `path`.
    """
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


def _encode_with_profile(pixels: Pixels, image_format: ImageFormat, icc_profile: bytes) -> bytes:
    """Encode colour pixels through Pillow, because OpenCV drops colour profiles."""
    buffer = BytesIO()
    options: dict[str, int] = {
        "png": {"compress_level": PNG_COMPRESSION},
        "jpg": {"quality": JPEG_QUALITY},
        "webp": {"quality": WEBP_QUALITY},
    }[image_format]
    name = "jpeg" if image_format == "jpg" else image_format
    Image.fromarray(pixels).save(buffer, name, icc_profile=icc_profile, **options)
    return buffer.getvalue()


def _open(content: bytes) -> Image.Image:
    """Open an image file and check its size before anything is decoded."""
    try:
        image = Image.open(BytesIO(content), formats=_FORMATS)
    except UnidentifiedImageError as error:
        # Only now, for AVIF may have the same brands.
        if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS:
            raise PhotoError(
                "HEIC, which cannot be read; convert it to JPEG or PNG first"
            ) from error
        raise
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


def _to_rgb(image: Image.Image) -> Pixels:
    """Return the pixels of a decoded image, RGB (H, W, 3), without copies that are not needed."""
    if image.mode.startswith("I;16"):
        return np.repeat(_grey_from_integers(image)[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _rgb_profile(icc_profile: bytes | None) -> bytes | None:
    """Keep a profile only if it describes RGB, which is what every photo is decoded to."""
    return icc_profile if icc_profile and icc_profile[16:20] == b"RGB " else None


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


def _grey_from_integers(image: Image.Image) -> Pixels:
    """Reduce 16-bit grey, (H, W), to its upper 8 bits."""
    return (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Turn whatever Pillow raises about a file into PhotoError."""
    try:
        yield
    except (PhotoError, MemoryError):  # too little memory says nothing about the file
        raise
    except UnidentifiedImageError as error:
        raise PhotoError("not an image, or of a format that cannot be read") from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise PhotoError(f"damaged image: {str(error) or type(error).__name__}") from error

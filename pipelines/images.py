"""Reading, resizing and writing of pictures: the only module that knows image codecs.

Pillow reads, because it says what is wrong with a damaged file (OpenCV returns half a picture),
and knows orientation, palettes and colour profiles. OpenCV resizes and writes, because it is fast;
PNG files are written by `pipelines.png`, which is faster.
HEIC is read where the package of the extra `heic` is installed.
"""

import os
import stat
import warnings
from collections.abc import Iterable
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
from pipelines.decoders import decoding_bytes, note_on_parts, open_image, pillow_errors
from pipelines.errors import MissingFileError, OutOfReachError, PhotoError
from pipelines.file_kinds import is_unreadable_name
from pipelines.png import encode_png
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

_MAX_JPEG_PROFILE = 65_519
"""Bytes of a profile that one segment of a JPEG file holds."""

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
        PhotoError: It may not be read, is no regular file, is empty, is larger than
            `MAX_FILE_BYTES`, or changed meanwhile, so that it may be half of this and half of that.
    """
    try:
        # Whoever reads behind URLs knows the size from a listing.
        content = path.read_bytes() if isinstance(path, RemotePath) else _read_file(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError("no such file") from error
    except OSError as error:
        raise OutOfReachError(f"cannot be read: {error.strerror or error}") from error
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


def read_header(content: bytes, *, reduced_to: int | None = None) -> Header:
    """Return what the header of an image file says, without decoding anything.

    Args:
        content: The whole file.
        reduced_to: As for `decode_photo`.

    Raises:
        PhotoError: The bytes are no image, or show over `MAX_PIXELS`.
    """
    with pillow_errors(content):
        image = _open(content)
        width, height = image.size
        if reduced_to is not None:
            image.draft(None, (reduced_to, reduced_to))
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
    # OpenCV halves so fast that large photos reach a small size in a quarter of the time. It rounds
    # up, by an eighth of a grey level in the mean.
    while _can_be_halved(pixels, height=height, width=width):
        half = pixels.shape[1] // 2, pixels.shape[0] // 2
        pixels = cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
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


def _can_be_halved(pixels: Pixels, *, height: int, width: int) -> bool:
    """Tell whether half of a picture is a whole number of pixels, and large enough.

    It is to be twice as large as what is wanted: from little more, sharp edges would come out
    softer than from the whole picture.
    """
    rows, columns = pixels.shape[:2]
    is_even = rows % 2 == 0 and columns % 2 == 0
    return is_even and rows >= 4 * height and columns >= 4 * width


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


def _read_file(path: Path) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):
        raise PhotoError("not a regular file")
    # Path.open knows no opener.
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):  # since a moment ago
            raise PhotoError("not a regular file")
        refuse_large_file(status.st_size)
        content = file.read()
        after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (len(content), status.st_mtime_ns):
        raise PhotoError("changed while it was being read; the next run takes it as it is then")
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    """Open what may have become a named pipe, for which nobody may ever come to write."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


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

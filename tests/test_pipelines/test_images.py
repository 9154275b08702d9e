import struct
import zlib

import numpy as np
import pytest
from image_files import ORIENTATION, STORED_AS, encoded, turned
from numpy.typing import NDArray
from PIL import Image

from pipelines.errors import PhotoError
from pipelines.images import decode_photo, is_photo_name, read_header


@pytest.fixture
def upright() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WebP"])
def test_every_exif_orientation_is_decoded_upright(
    image_format: str, orientation: int, upright: NDArray[np.uint8]
) -> None:
    options = {"lossless": True} if image_format == "WebP" else {}

    photo = decode_photo(turned(upright, orientation, image_format, **options))

    assert np.array_equal(photo.pixels, upright)
    assert (photo.height, photo.width) == (6, 9)


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("image_format", ["JPEG", "AVIF", "HEIF"])
def test_every_exif_orientation_of_lossy_formats_is_decoded_upright(
    image_format: str, orientation: int
) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    corner = np.zeros((48, 72, 3), np.uint8)
    corner[:24, :36] = corner[:8, 36:] = 255

    photo = decode_photo(turned(corner, orientation, image_format))

    assert photo.pixels.shape == (48, 72, 3)
    assert np.abs(photo.pixels.astype(int) - corner).mean() < 8


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "TIFF", "WebP", "AVIF"])
@pytest.mark.parametrize("reduced_to", [None, 80])
def test_the_upright_size_is_reported_for_every_format(
    image_format: str, orientation: int, reduced_to: int | None
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    size = (90, 60) if orientation <= 4 else (60, 90)

    content = encoded(Image.new("RGB", size, "red"), image_format, exif=exif)
    photo = decode_photo(content, reduced_to=reduced_to)

    assert (photo.height, photo.width) == (60, 90)
    assert photo.pixels.shape == (60, 90, 3)


@pytest.mark.parametrize("orientation", STORED_AS)
def test_a_reduced_jpeg_reports_the_upright_size_of_the_whole_photo(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    width, height = (480, 320) if orientation <= 4 else (320, 480)
    content = encoded(Image.new("RGB", (width, height), "red"), "JPEG", exif=exif)

    photo = decode_photo(content, reduced_to=80)

    assert (photo.height, photo.width) == (320, 480)
    assert photo.pixels.shape == (80, 120, 3)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("P", 3, None),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("LA", (50, 255), (50, 50, 50)),
        ("I;16", 100 * 256 + 7, (100, 100, 100)),
    ],
)
def test_every_pixel_format_of_png_becomes_rgb(
    mode: str, colour: object, expected: tuple[int, int, int] | None
) -> None:
    image = Image.new(mode, (5, 4), colour)
    if mode == "P":
        image.putpalette([value for index in range(256) for value in (index, 9, 200)])
        expected = (3, 9, 200)

    photo = decode_photo(encoded(image, "PNG"))

    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.shape == (4, 5, 3)
    assert (photo.pixels == expected).all()


def test_palette_with_transparency_becomes_white_there() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0])

    photo = decode_photo(encoded(image, "PNG", transparency=bytes([255, 0])))

    assert (photo.pixels == 255).all()


def test_sixteen_bit_rgb_png_keeps_its_upper_bits() -> None:
    row = b"\x00" + struct.pack(">3H", 100 * 256 + 9, 200 * 256 + 9, 50 * 256 + 9) * 4
    content = png(width=4, height=2, depth=16, colour_type=2, rows=row * 2)

    assert (decode_photo(content).pixels == (100, 200, 50)).all()


def test_avif_is_read_under_the_brand_that_it_shares_with_heic() -> None:
    content = encoded(Image.new("RGB", (16, 8), "red"), "AVIF")

    photo = decode_photo(content[:8] + b"mif1" + content[12:])

    assert photo.pixels.shape == (8, 16, 3)


def test_half_transparent_colours_lie_before_white() -> None:
    content = encoded(Image.new("RGBA", (2, 2), (200, 0, 100, 128)), "PNG")

    difference = decode_photo(content).pixels.astype(int) - (227, 127, 177)

    assert np.abs(difference).max() <= 1


def png(*, width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">2I5B", width, height, depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no image at all", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not an image"),
        (encoded(Image.new("I", (4, 4), 70_000), "TIFF"), "mode I "),
        (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "mode F "),
        (encoded(Image.new("RGB", (300, 300), "red"), "JPEG")[:-400], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, "not an image|damaged"),
        (png(width=60_000, height=60_000, depth=8, colour_type=2, rows=b""), "too large"),
    ],
)
def test_what_cannot_be_decoded_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(PhotoError, match=reason):
        decode_photo(content)


@pytest.mark.parametrize("error", [MemoryError(), ValueError()])
def test_only_the_file_is_blamed_for_damage_and_never_without_a_reason(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_image: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    content = encoded(Image.new("RGB", (4, 4)), "BMP")

    with pytest.raises((MemoryError, PhotoError)) as caught:
        decode_photo(content)

    if isinstance(error, MemoryError):
        assert caught.type is MemoryError
    else:
        assert str(caught.value) == "damaged image: ValueError"


def test_headers_are_read_without_decoding() -> None:
    header = read_header(encoded(Image.new("RGB", (300, 200)), "PNG")[:-100])
    assert (header.pixels, header.decoded_pixels, header.long_side) == (60_000, 60_000, 300)
    with pytest.raises(PhotoError, match="not an image"):
        read_header(b"no image")


@pytest.mark.parametrize(("progressive", "least"), [(False, 0), (True, 2 * 3 * 480_000)])
def test_headers_tell_what_reduced_decoding_takes(*, progressive: bool, least: int) -> None:
    image = Image.new("RGB", (800, 600))
    content = encoded(image, "JPEG", progressive=progressive, subsampling=0)

    header = read_header(content, reduced_to=150)

    assert (header.pixels, header.decoded_pixels) == (480_000, 200 * 150)
    assert least < header.decoding_bytes < least + 500_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.JPG", True), ("ä ö.webp", True), ("a.txt", False), ("._a.jpg", False), ("a", False)],
)
def test_photos_are_known_by_their_extension(name: str, *, expected: bool) -> None:
    assert is_photo_name(name) is expected

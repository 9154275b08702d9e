"""What is said about files that are no photos, or none that can be read."""

import sys
from io import BytesIO

import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from pipelines.decoders import _can_read_heic
from pipelines.errors import PhotoError
from pipelines.images import decode_photo

FILM = b"\x00\x00\x00\x20ftyp%s\x00\x00\x02\x00" + b"\x00" * 50
SUBFILE_TYPE, MAKE, SUB_DIRECTORIES, PHOTOMETRIC, DNG_VERSION = 254, 271, 330, 262, 50706


def tiff(tags: dict[int, object]) -> bytes:
    """A TIFF file with some more tags, whose picture Pillow would decode without complaint."""
    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    buffer = BytesIO()
    Image.new("RGB", (16, 12), "red").save(buffer, "TIFF", tiffinfo=directory)
    return buffer.getvalue()


@pytest.fixture
def without_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra were not installed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    _can_read_heic.cache_clear()
    monkeypatch.setattr("PIL.Image.ID", [name for name in Image.ID if name != "HEIF"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00" + b"\x00" * 50, r"Canon camera \(CR2\)"),
        (FILM % b"crx ", r"Canon camera \(CR3\)"),
        (tiff({DNG_VERSION: bytes([1, 4, 0, 0])}), r"raw photo \(DNG\)"),
        (tiff({SUBFILE_TYPE: 1, SUB_DIRECTORIES: 8, MAKE: "NIKON CORPORATION"}), "Nikon camera"),
        (tiff({SUBFILE_TYPE: 1, SUB_DIRECTORIES: 8, MAKE: "SONY"}), "Sony camera"),
        (tiff({SUBFILE_TYPE: 1, SUB_DIRECTORIES: 8}), "raw photo of a camera"),
        (b"FUJIFILMCCD-RAW 0201" + b"\x00" * 50, "Fujifilm"),
        (b"8BPS\x00\x01" + b"\x00" * 50, "Photoshop"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"P6\n4 4\n255\n" + b"\x00" * 48, "Netpbm"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "not an image but a PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image but a PostScript"),
        (FILM % b"isom", "not an image but a video"),
        (FILM % b"qt  ", "not an image but a video"),
        (b"RIFF\x00\x10\x00\x00AVI LIST", "not an image but a video"),
        (b"\x1aE\xdf\xa3" + b"\x01" * 50, "not an image but a video"),
        (b"<!DOCTYPE html>\n<html><body>404 \xc3\xa9", "not an image but a web page"),
        ("Notizen über alles\n".encode(), "not an image but text"),
        (b"\x00" * 9000, "nothing but zeros"),
        (b"\x93\x07\xff\x00\x12" * 20, "not an image, or of a format"),
        (FILM % b"heic", "damaged image: HEIC"),
        (FILM % b"mif1", "damaged image: HEIC"),
    ],
)
def test_what_it_is_decides_and_not_its_name(content: bytes, reason: str) -> None:
    pytest.importorskip("pillow_heif")
    with pytest.raises(PhotoError, match=reason):
        decode_photo(content)


def test_an_ordinary_tiff_is_no_raw_photo() -> None:
    content = tiff({MAKE: "NIKON CORPORATION", SUBFILE_TYPE: 0})

    assert (decode_photo(content).pixels == (255, 0, 0)).all()


@pytest.mark.usefixtures("without_heic")
@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_without_the_extra_heic_is_named_with_the_command_that_mends_it(brand: bytes) -> None:
    try:
        with pytest.raises(PhotoError, match="HEIC, which needs a package") as caught:
            decode_photo(FILM % brand)
    finally:
        _can_read_heic.cache_clear()

    assert f'{sys.executable} -m pip install "pillow-heif>=1.1"' in str(caught.value)

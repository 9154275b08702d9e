"""Telling by its content what a file is that banet does not read.

Names are not asked: web pages are saved as `.jpg`, videos as `.png`. Camera raw files need a look
before anything decodes them, because most are TIFF files whose first picture is a thumbnail.
Signatures are those of the formats' own specifications, as collected in the magic file of
file(1), https://github.com/file/file.
"""

import codecs
from contextlib import suppress
from pathlib import Path

from PIL import ExifTags, Image

UNREADABLE_EXTENSIONS = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".fff", ".iiq", ".mrw", ".nef"}
    | {".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
    | {".exr", ".j2k", ".jp2", ".jxl", ".psb", ".psd", ".xcf"}
)
"""Lower-case extensions of pictures that cannot be read.

A search finds them nevertheless, so that such photos are reported, not overlooked.
"""

HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
"""Brands of HEIC files. AVIF files may have the last two as well."""

_AVIF_BRANDS = frozenset({b"avif", b"avis"})

_PICTURES = (
    (8, b"CR\x02\x00", "a raw photo of a Canon camera (CR2)"),
    (4, b"ftypcrx ", "a raw photo of a Canon camera (CR3)"),
    (6, b"HEAPCCDR", "a raw photo of a Canon camera (CRW)"),
    (0, b"FUJIFILMCCD-RAW", "a raw photo of a Fujifilm camera (RAF)"),
    (0, b"IIRO", "a raw photo of an Olympus camera (ORF)"),
    (0, b"IIRS", "a raw photo of an Olympus camera (ORF)"),
    (0, b"MMOR", "a raw photo of an Olympus camera (ORF)"),
    (0, b"IIU\x00", "a raw photo of a Panasonic camera (RW2)"),
    (0, b"\x00MRM", "a raw photo of a Minolta camera (MRW)"),
    (0, b"FOVb", "a raw photo of a Sigma camera (X3F)"),
    (0, b"8BPS", "a Photoshop document (PSD)"),
    (0, b"gimp xcf", "a GIMP document (XCF)"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"II\xbc\x01", "a JPEG XR picture"),
    (0, b"v/1\x01", "an OpenEXR picture"),
    (0, b"#?RADIANCE", "a Radiance HDR picture"),
    (0, b"\x00\x00\x01\x00", "an icon (ICO)"),
    (128, b"DICM", "a DICOM picture"),
    *((0, b"P%d%c" % (kind, end), "a Netpbm picture") for kind in range(1, 8) for end in b"\n\r "),
)

_OTHERS = (
    (0, b"%PDF-", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (4, b"moov", "a video (QuickTime)"),
    (4, b"mdat", "a video (QuickTime)"),
    (4, b"wide", "a video (QuickTime)"),
    (8, b"AVI ", "a video (AVI)"),
    (8, b"WAVE", "a sound (WAV)"),
    (0, b"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (0, b"\x00\x00\x01\xba", "a video (MPEG)"),
    (0, b"\x00\x00\x01\xb3", "a video (MPEG)"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "a video (Windows Media)"),
    (0, b"FLV\x01", "a video (Flash)"),
    (0, b"ID3", "a sound (MP3)"),
    (0, b"OggS", "a sound or video (Ogg)"),
    (0, b"PK\x03\x04", "a ZIP archive or an office document"),
    (0, b"\x1f\x8b", "compressed data (gzip)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
)

_TIFF_STARTS = (b"II*\x00", b"MM\x00*")
_RAW_MAKERS = {
    "NIKON": "a Nikon camera (NEF)",
    "SONY": "a Sony camera (ARW)",
    "PENTAX": "a Pentax camera (PEF)",
    "SAMSUNG": "a Samsung camera (SRW)",
}
_SENSOR_COLOURS = frozenset({32803, 34892})  # photometric: colour filter array, linear raw
_REDUCED = 1  # bit of NewSubfileType: the picture is a small version of another one in the file

_HEAD = 4096
"""Bytes at the beginning of a file that tell whether it is text."""


def is_unreadable_name(name: str) -> bool:
    """Tell whether a file's name says that it is a picture of a kind that cannot be read."""
    return Path(name).suffix.lower() in UNREADABLE_EXTENSIONS


def unreadable_kind(content: bytes) -> str | None:
    """Say what a file is if it is a picture, or something else, that banet does not read.

    Returns:
        The reason for the ledger; None for what may be readable.
    """
    kind = _by_signature(content, _PICTURES) or _raw_in_tiff(content)
    if kind is not None:
        return f"{kind}, which cannot be read; convert it to JPEG, PNG or TIFF first"
    kind = _by_signature(content, _OTHERS) or _unknown_brand(content)
    return None if kind is None else f"not an image but {kind}"


def unidentified_kind(content: bytes) -> str:
    """Say about a file that no decoder knows what can be said about it."""
    head = content[:_HEAD]
    if not head.strip(b"\x00"):
        return "damaged image: it begins with nothing but zeros, as broken copies do"
    if not _is_text(head):
        return "not an image, or of a format that cannot be read"
    text = head.lower()
    if b"<svg" in text:
        return "a drawing (SVG), which cannot be read; convert it to JPEG, PNG or TIFF first"
    if b"<html" in text or b"<!doctype html" in text:
        return "not an image but a web page"
    return "not an image but text"


def has_heic_brand(content: bytes) -> bool:
    """Tell whether a file says of itself that it is HEIC; AVIF files may say so, too."""
    return content[4:8] == b"ftyp" and content[8:12] in HEIC_BRANDS


def _by_signature(content: bytes, signatures: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next(
        (kind for offset, start, kind in signatures if content.startswith(start, offset)), None
    )


def _raw_in_tiff(content: bytes) -> str | None:
    """Recognise raw photos in TIFF files by the tags of their first picture.

    As TIFF/EP (ISO 12234-2) and Adobe's DNG specification have it, that is sensor data, or a
    thumbnail with the sensor data in a directory below.
    """
    if not content.startswith(_TIFF_STARTS):
        return None
    tags = Image.Exif()
    with suppress(Exception):  # of damaged tags; whether the picture is damaged will show
        tags.load(content)
    if ExifTags.Base.DNGVersion in tags:
        return "a raw photo (DNG)"
    is_thumbnail = int(tags.get(ExifTags.Base.NewSubfileType, 0)) & _REDUCED
    is_sensor = tags.get(ExifTags.Base.PhotometricInterpretation) in _SENSOR_COLOURS
    if not (is_sensor or (is_thumbnail and ExifTags.Base.SubIFDs in tags)):
        return None
    maker = str(tags.get(ExifTags.Base.Make, "")).upper()
    return "a raw photo of " + next(
        (camera for start, camera in _RAW_MAKERS.items() if maker.startswith(start)), "a camera"
    )


def _unknown_brand(content: bytes) -> str | None:
    """Recognise videos in the container that they share with HEIC and AVIF (ISO 14496-12)."""
    if content[4:8] != b"ftyp" or content[8:12] in HEIC_BRANDS | _AVIF_BRANDS:
        return None
    return "a video (MP4 or QuickTime)"


def _is_text(head: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)

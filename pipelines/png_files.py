"""PNG files written strip by strip (ISO 15948). A part of `images`.

OpenCV needs a copy of the picture with blue first, and up to three times the file, before it is
done. Of a picture with 100 million pixels that is more than the rest of the work needs.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

COMPRESSION = 1
"""Of zlib; more of it takes several times as long for a tenth of the space."""

STRIP_BYTES = 1 << 18
"""So much is filtered at once, few enough that it is still in the cache when it is packed."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # grey, RGB, RGBA by number of channels
_SUB, _UP = 1, 2  # numbers of filters


def encode_png(
    strips: Iterable[Pixels],
    *,
    height: int,
    width: int,
    channels: int,
    icc_profile: bytes | None = None,
) -> bytes:
    """Encode a picture of 8 bits a channel.

    Of the ways to write 12 million pixels fast, these are the fastest or as good as that, and the
    smaller ones of equals. Masks are flat but for smooth edges: differences to the row above, of
    which only runs are packed, take as long as no filter at all and half the space.

    Args:
        strips: The rows from top to bottom, (h, width) grey or (h, width, channels) RGB or RGBA.
            They are not needed any more once the next ones are drawn.
        height: Sum of h.
        width: Of the picture.
        channels: 1, 3 or 4.
        icc_profile: To embed; whatever it holds.
    """
    file = BytesIO()
    file.write(_SIGNATURE)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    _write_chunk(file, b"IHDR", header)
    if icc_profile is not None:
        _write_chunk(file, b"iCCP", b"ICC profile\x00\x00" + zlib.compress(icc_profile))
    strategy = zlib.Z_RLE if channels == 1 else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(
        COMPRESSION, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy
    )
    for filtered in _filtered(strips, width=width, channels=channels):
        _write_chunk(file, b"IDAT", packer.compress(filtered.data))
    _write_chunk(file, b"IDAT", packer.flush())
    _write_chunk(file, b"IEND", b"")
    return file.getvalue()  # no copy, since nothing else holds the buffer


def _filtered(strips: Iterable[Pixels], *, width: int, channels: int) -> Iterator[Pixels]:
    """Yield rows as they are packed, (h, 1 + width * channels): the filter and the differences."""
    row_bytes = width * channels
    step = max(1, STRIP_BYTES // row_bytes)
    above: Pixels = np.zeros(row_bytes, np.uint8)
    for strip in strips:
        rows = strip.reshape(len(strip), row_bytes)
        for top in range(0, len(rows), step):
            part = rows[top : top + step]
            filtered = np.empty((len(part), 1 + row_bytes), np.uint8)
            differences = filtered[:, 1:]
            if channels == 1:
                filtered[:, 0] = _UP
                np.subtract(part[0], above, out=differences[0])
                np.subtract(part[1:], part[:-1], out=differences[1:])
                above = part[-1].copy()
            else:
                filtered[:, 0] = _SUB
                differences[:, :channels] = part[:, :channels]
                np.subtract(part[:, channels:], part[:, :-channels], out=differences[:, channels:])
            yield filtered


def _write_chunk(file: BytesIO, kind: bytes, content: bytes) -> None:
    if content or kind != b"IDAT":  # zlib collects before it gives something out
        file.write(struct.pack(">I", len(content)) + kind)
        file.write(content)
        file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))

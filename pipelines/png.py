"""PNG files (ISO/IEC 15948), written fast and strip by strip. A part of `encoding`.

Packing PNG files takes longer than all else that is done to a photo. ISA-L packs four times as
fast as the zlib in OpenCV, and no larger; no library writes whole PNG files by it. In strips, since
of a picture with 100 million pixels a second copy is more than the rest of the work needs.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

LEVEL = 1
"""Of ISA-L, from 0 to 3: level 0 is as fast, 2 is no smaller, and 3 takes half as long again."""

STRIP_BYTES = 1 << 18
"""So much is filtered at once, few enough that it is still in the cache when it is packed."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # grey, RGB, RGBA by number of channels

_HEAD = 8
"""Bytes that are packed by themselves at first, see `_packed`; ISA-L wants 4 to 16 for that."""

_UP = 2
"""The filter that stores the difference to the row above. It gives the smallest files of masks, and
as small ones of colours as any other that is the same for all rows."""


def encode_png(
    strips: Iterable[Pixels],
    *,
    height: int,
    width: int,
    channels: int,
    icc_profile: bytes | None = None,
) -> bytes:
    """Encode a picture of 8 bits a channel.

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
    for packed in _packed(_filtered(strips, row_bytes=width * channels)):
        _write_chunk(file, b"IDAT", packed)
    _write_chunk(file, b"IEND", b"")
    return file.getvalue()  # no copy, since nothing else holds the buffer


def _filtered(strips: Iterable[Pixels], *, row_bytes: int) -> Iterator[Pixels]:
    """Yield rows as they are packed, (h, 1 + row_bytes): the filter and the differences."""
    step = max(1, STRIP_BYTES // row_bytes)
    above: Pixels = np.zeros(row_bytes, np.uint8)
    for strip in strips:
        rows = strip.reshape(len(strip), row_bytes)
        for top in range(0, len(rows), step):
            part = rows[top : top + step]
            filtered = np.empty((len(part), 1 + row_bytes), np.uint8)
            filtered[:, 0] = _UP
            np.subtract(part[0], above, out=filtered[0, 1:])
            np.subtract(part[1:], part[:-1], out=filtered[1:, 1:])
            above = part[-1].copy()
            yield filtered


def _packed(parts: Iterable[Pixels]) -> Iterator[bytes]:
    """Yield the pieces of a zlib stream that holds the bytes of some arrays.

    Equal bytes give equal streams, which takes a detour: where ISA-L (2.31) begins a stream of
    some length, it enters the third byte into its table of matches under the hash of a register
    that nobody has set (`.write_first_byte` in `igzip_icf_body_h1_gr_bt.asm`). In one of some
    thousand files that hides a match, by the address that the packer happens to have. A few bytes
    that are flushed begin a stream in another way.
    """
    packer = isal_zlib.compressobj(LEVEL)
    is_first = True
    for part in parts:
        content = part.reshape(-1)
        if is_first:
            yield packer.compress(content[:_HEAD]) + packer.flush(isal_zlib.Z_SYNC_FLUSH)
            content, is_first = content[_HEAD:], False
        yield packer.compress(content)
    yield packer.flush()


def _write_chunk(file: BytesIO, kind: bytes, content: bytes) -> None:
    if content or kind != b"IDAT":  # zlib collects before it gives something out
        file.write(struct.pack(">I", len(content)) + kind)
        file.write(content)
        file.write(struct.pack(">I", isal_zlib.crc32(content, isal_zlib.crc32(kind))))

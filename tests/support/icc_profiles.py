"""Colour profiles made by code, for colour spaces that Pillow cannot make any for.

Written after the ICC specification, version 2.4 (ICC.1:2001-04).
"""

import struct
from itertools import product

ONE = 1 << 16  # in s15Fixed16 numbers


def cmyk_profile() -> bytes:
    """Inks that are duller than the plain formula has it: full cyan is Lab (55, -37, -50)."""
    corners = b""
    for cyan, magenta, yellow, black in product((0, 1), repeat=4):
        light = 1 - black
        lightness = max(5, 100 - 45 * cyan - 50 * magenta - 10 * yellow - 90 * black)
        a = light * (-37 * cyan + 70 * magenta - 5 * yellow)
        b = light * (-50 * cyan - 3 * magenta + 90 * yellow)
        corners += struct.pack(">3H", lightness * 0xFF00 // 100, (a + 128) * 256, (b + 128) * 256)
    identity = struct.pack(">9i", ONE, 0, 0, 0, ONE, 0, 0, 0, ONE)
    straight = struct.pack(">2H", 0, 0xFFFF)
    table = (
        struct.pack(">4s4x3Bx", b"mft2", 4, 3, 2)
        + identity
        + struct.pack(">2H", 2, 2)
        + straight * 4
        + corners
        + straight * 3
    )
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


def linear_grey_profile() -> bytes:
    """Grey whose values are proportional to light."""
    white = struct.pack(">4s4x3i", b"XYZ ", *_white())
    gamma = struct.pack(">4s4xIHxx", b"curv", 1, 0x0100)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": white, b"kTRC": gamma})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4s2I", name, start + len(body), len(content))
        body += content
    header = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x",
        start + len(body),
        0x02400000,
        kind,
        space,
        connection,
        b"acsp",
        *_white(),
    )
    return header + table + body


def _white() -> tuple[int, int, int]:
    return round(0.9642 * ONE), ONE, round(0.8249 * ONE)

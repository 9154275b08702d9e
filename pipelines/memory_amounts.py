"""Amounts of memory as people write them."""

import re

MEBIBYTE = 2**20

_UNITS = {"": 1, "K": 2**10, "M": MEBIBYTE, "G": 2**30, "T": 2**40}


def parse_memory(text: str) -> int:
    """Read an amount of memory such as `2G`, `512M` or `2147483648`; units are powers of 1024.

    Raises:
        ValueError: It is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f"{text}: no amount of memory such as 2G or 512M")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def format_memory(amount: int) -> str:
    """Write an amount of memory in a form that `parse_memory` reads, rounded up: `2G`, `512M`."""
    mebibytes = -(-amount // MEBIBYTE)
    return f"{mebibytes // 1024}G" if mebibytes % 1024 == 0 else f"{mebibytes}M"

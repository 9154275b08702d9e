"""How many bytes of memory a photo takes while it is segmented.

All figures are bytes per pixel of the whole photo at the worst that could be made to happen, and
`benchmarks/memory.py` measures them anew. Noise makes the largest files; no photo is noisier.
"""

from pipelines.compositing import TILE
from pipelines.images import Header
from pipelines.photo_tasks import TaskSettings

RGB = 3
MASK = 1

ENCODING = {
    ("png", 1): 1.3,
    ("png", 3): 3.6,
    ("png", 4): 4.8,
    ("jpg", 3): 6.5,
    ("webp", 3): 15,
    ("webp", 4): 42,
}
"""To encode a picture of so many channels, which PNG takes in strips and others as a whole."""

SHARPENING = 2
"""To make a mask black and white that was drawn at full size."""

ENLARGING = 5
"""To enlarge probabilities for a mask that is black and white."""

STRIP = 24
"""For a pixel of the strip that is composed."""

SCRATCH = 24 * 2**20
"""Bytes for arrays that are as large for every photo: a tile, a chunk, a small guide."""


def memory_of_photo(header: Header, settings: TaskSettings) -> int:
    """Return the bytes that a photo takes at most, its file not counted.

    Args:
        header: As it was read for decoding with the same settings.
        settings: Of the run.
    """
    kept = RGB * header.decoded_pixels
    most = max(
        header.decoding_bytes,
        kept + round(_making_the_mask(settings) * header.pixels),
        kept + round((MASK + ENCODING["png", 1]) * header.pixels),
        round(_composing(settings) * header.pixels),
    )
    strip = 0
    if settings.composite != "none":
        strip = STRIP * min(header.pixels, TILE * header.long_side)
    return most + strip + SCRATCH


def _making_the_mask(settings: TaskSettings) -> int:
    if settings.mask == "soft":
        return MASK
    return MASK + (SHARPENING if settings.refine else ENLARGING)


def _composing(settings: TaskSettings) -> float:
    """Return what making and encoding a composite takes, photo and mask included."""
    if settings.composite == "none":
        return 0
    channels = 4 if settings.composite == "transparent" else 3
    background = RGB if settings.composite in {"image", "blur"} else 0
    sources = RGB + MASK + background
    encoding = ENCODING[settings.composite_format, channels]
    if settings.composite_format == "png":
        return sources + encoding
    # Photo and background are not needed any more once the picture is whole.
    return max(sources + channels, MASK + encoding)

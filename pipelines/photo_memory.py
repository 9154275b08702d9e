"""How many bytes of memory a photo takes while it is segmented.

All figures are bytes per pixel of the whole photo at the worst that could be made to happen, and
`benchmarks/memory.py` measures them anew. Noise makes the largest files; no photo is noisier.
"""

from collections.abc import Iterator
from typing import Protocol

from pipelines.compositing import TILE
from pipelines.encoding import ImageFormat
from pipelines.images import Header
from pipelines.photo_tasks import Composite, MaskKind

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


class Output(Protocol):
    """What is made of a photo: the options of a run, or what its tasks know of them."""

    @property
    def composite(self) -> Composite:
        """What takes the place of the background."""

    @property
    def composite_format(self) -> ImageFormat:
        """File format of the composite."""

    @property
    def mask(self) -> MaskKind:
        """Kind of mask."""

    @property
    def refine(self) -> bool:
        """Whether the mask is drawn anew at full size."""


def memory_of_photo(header: Header, output: Output) -> int:
    """Return the bytes that a photo takes at most, its file not counted.

    Args:
        header: As it was read for decoding with the same options.
        output: What is made of it.
    """
    kept = RGB * header.decoded_pixels
    strip = STRIP * min(header.pixels, TILE * header.long_side)
    return SCRATCH + max(
        header.decoding_bytes,
        kept + _making_the_mask(output) * header.pixels,
        *(round(each * header.pixels) + strip for each in _composing(output)),
        round((MASK + ENCODING["png", 1]) * header.pixels),
        *(round(each * header.pixels) for each in _encoding(output)),
    )


def _making_the_mask(output: Output) -> int:
    if output.mask == "soft":
        return MASK
    return MASK + (SHARPENING if output.refine else ENLARGING)


def _composing(output: Output) -> Iterator[float]:
    """Yield what making a composite strip by strip takes, if there is one."""
    if output.composite == "none":
        return
    sources = RGB + MASK + (RGB if output.composite in {"image", "blur"} else 0)
    is_packed = output.composite_format == "png"
    yield sources + (ENCODING["png", _channels(output)] if is_packed else _channels(output))


def _encoding(output: Output) -> Iterator[float]:
    """Yield what encoding a composite as a whole takes, photo and background being gone by then."""
    if output.composite != "none" and output.composite_format != "png":
        yield MASK + ENCODING[output.composite_format, _channels(output)]


def _channels(output: Output) -> int:
    return 4 if output.composite == "transparent" else 3

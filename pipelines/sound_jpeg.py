"""JPEG photos without a flaw, straight into an array: a part of `pipelines.images`.

Pillow takes twice as long for the same values: it decodes to four bytes a pixel, and packs them
while no other thread can run Python.
"""

from functools import partial

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

JPEG_SIGNATURE = b"\xff\xd8\xff"


class FlawedJpegError(Exception):
    """The data of a JPEG file has a flaw that decoders pass over; the message is for people."""


def decode_sound_jpeg(
    content: bytes, image: Image.Image, *, orientation: int
) -> NDArray[np.uint8] | None:
    """Decode a JPEG file in colour, unless something is wrong with it.

    Args:
        content: The whole file.
        image: That, opened by Pillow, of mode RGB and not decoded; its size says whether to decode
            it reduced.
        orientation: Of EXIF, 1 to 8.

    Returns:
        RGB, (H, W, 3) uint8, upright, bit for bit as Pillow decodes it, but for photos of a few
        pixels that are decoded reduced. None if libjpeg-turbo cannot decode it in this way: it is
        damaged beyond that, or its colours have a resolution that only Pillow knows.

    Raises:
        FlawedJpegError: There is a flaw. Pillow knows those that cost the rest of the picture.
    """
    decode = partial(
        simplejpeg.decode_jpeg, content, "RGB", min_height=image.height, min_width=image.width
    )
    try:
        return _upright(decode(), orientation)
    except ValueError as error:
        flaw = f"its JPEG data has a flaw ({error}), which the picture may show"
    try:
        decode(strict=False)
    except ValueError:
        return None
    raise FlawedJpegError(flaw)


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    match orientation:
        case 2:
            turned = cv2.flip(pixels, 1)
        case 3:
            turned = cv2.rotate(pixels, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(pixels, 0)
        case 5:
            turned = cv2.transpose(pixels)
        case 6:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.transpose(pixels)
            cv2.flip(turned, -1, turned)
        case 8:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return pixels
    return turned  # type: ignore[return-value] # of the type that it was

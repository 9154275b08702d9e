"""JPEG photos without a flaw, straight into an array: a part of `pipelines.images`.

Pillow takes twice as long for the same values: it decodes to four bytes a pixel, and packs them
while no other thread can run Python.
"""

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

JPEG_SIGNATURE = b"\xff\xd8\xff"


class FlawedJpegError(Exception):
    """Something is wrong with the data of a JPEG file; the message is a remark for people."""


def decode_sound_jpeg(content: bytes, image: Image.Image, *, orientation: int) -> NDArray[np.uint8]:
    """Decode a JPEG file in colour, unless something is wrong with it.

    Args:
        content: The whole file.
        image: That, opened by Pillow, of mode RGB and not decoded; its size says whether to decode
            it reduced.
        orientation: Of EXIF, 1 to 8.

    Returns:
        RGB, (H, W, 3) uint8, upright, bit for bit as Pillow decodes it.

    Raises:
        FlawedJpegError: There is a flaw. Pillow knows those that cost the rest of the picture.
    """
    try:
        pixels = simplejpeg.decode_jpeg(
            content, "RGB", min_height=image.height, min_width=image.width
        )
    except ValueError as error:
        raise FlawedJpegError(
            f"its JPEG data has a flaw ({error}), which the picture may show"
        ) from error
    return _upright(pixels, orientation)


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
            turned = cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180)
        case 8:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return pixels
    return turned  # type: ignore[return-value] # of the type that it was

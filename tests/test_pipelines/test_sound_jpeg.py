"""JPEG photos come out as Pillow decodes them, by whichever way."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from image_files import SRGB, STORED_AS, encoded, turned
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipelines.errors import PhotoError
from pipelines.images import decode_photo

SIZES = [(333, 451), (320, 448), (9, 17), (1, 1)]


def _picture(height: int, width: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def _by_pillow(content: bytes, reduced_to: int | None = None) -> NDArray[np.uint8]:
    image = Image.open(BytesIO(content))
    if reduced_to is not None:
        image.draft(None, (reduced_to, reduced_to))
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("reduced_to", [None, 100, 40])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
def test_pixels_are_those_of_pillow(
    *, subsampling: str, progressive: bool, reduced_to: int | None
) -> None:
    for height, width in SIZES:
        content = encoded(
            Image.fromarray(_picture(height, width)),
            "JPEG",
            subsampling=subsampling,
            progressive=progressive,
        )

        photo = decode_photo(content, reduced_to=reduced_to)

        assert np.array_equal(photo.pixels, _by_pillow(content, reduced_to))


@pytest.mark.parametrize("orientation", STORED_AS)
def test_turned_photos_are_those_of_pillow(orientation: int) -> None:
    content = turned(_picture(50, 70), orientation, "JPEG")

    photo = decode_photo(content)

    assert photo.pixels.shape == (50, 70, 3)
    assert np.array_equal(photo.pixels, _by_pillow(content))


def test_colours_stored_without_luminance_are_those_of_pillow() -> None:
    content = encoded(Image.fromarray(_picture(50, 70)), "JPEG", keep_rgb=True)

    assert np.array_equal(decode_photo(content).pixels, _by_pillow(content))


def test_the_profile_of_a_photo_stays() -> None:
    content = encoded(Image.fromarray(_picture(50, 70)), "JPEG", icc_profile=SRGB)

    assert decode_photo(content).icc_profile == SRGB


def test_what_a_flaw_leaves_of_a_photo_is_shown_with_a_remark() -> None:
    content = bytearray(encoded(Image.fromarray(_picture(333, 451)), "JPEG"))
    middle = len(content) // 2
    del content[middle : middle + 500]

    photo = decode_photo(bytes(content))

    assert np.array_equal(photo.pixels, _by_pillow(bytes(content)))
    assert photo.note is not None
    assert photo.note.startswith("its JPEG data has a flaw (")


def test_colours_of_a_resolution_that_only_pillow_knows_are_no_flaw() -> None:
    content = encoded(Image.fromarray(_picture(48, 96)), "JPEG", subsampling="4:4:4")
    # In the header of the frame, three components follow, each with its sampling.
    luminance = content.index(b"\xff\xc0") + 11
    odd = content[:luminance] + b"\x31" + content[luminance + 1 :]

    photo = decode_photo(odd)

    assert np.array_equal(photo.pixels, _by_pillow(odd))
    assert photo.note is None


def test_half_a_photo_is_refused() -> None:
    content = encoded(Image.fromarray(_picture(333, 451)), "JPEG")

    with pytest.raises(PhotoError, match="truncated"):
        decode_photo(content[: len(content) // 2])

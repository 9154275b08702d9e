"""PNG files that others can read."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import cv2
import numpy as np
import pytest
from image_files import SRGB
from PIL import Image

from pipelines.encoding import Strips, encode
from pipelines.png import STRIP_BYTES


def random_pixels(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1),
        (1, 7, 3),
        (9, 1, 4),
        (50, 40),
        (50, 41, 3),
        (33, 20, 4),
        pytest.param((700, STRIP_BYTES // 300), id="several strips"),
        pytest.param((3, STRIP_BYTES + 1), id="rows longer than a strip"),
    ],
)
def test_two_other_programs_read_what_was_written(shape: tuple[int, ...]) -> None:
    pixels = random_pixels(shape)
    content = encode(pixels, "png")

    with Image.open(BytesIO(content)) as image:
        image.verify()
    with Image.open(BytesIO(content)) as image:
        assert image.mode == {1: "L", 3: "RGB", 4: "RGBA"}[1 if pixels.ndim == 2 else shape[2]]
        np.testing.assert_array_equal(np.asarray(image), pixels)
    by_opencv = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 3:
        blue_first = cv2.COLOR_BGR2RGB if shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        by_opencv = cv2.cvtColor(by_opencv, blue_first)
    np.testing.assert_array_equal(by_opencv, pixels)


def test_pixels_need_not_lie_side_by_side_in_memory() -> None:
    pixels = random_pixels((20, 30, 3))[::2, ::3]

    with Image.open(BytesIO(encode(pixels, "png"))) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_equal_pictures_make_equal_files_wherever_they_are_packed() -> None:
    # Pixels that repeat at the very beginning, of which a match may be missed: see `_packed`.
    pictures = random_pixels((12_000, 10, 10, 4))
    pictures[:, 0] = pictures[:, 0, :1]

    here = [encode(picture, "png") for picture in pictures]
    with ThreadPoolExecutor(1) as elsewhere:
        there = list(elsewhere.map(lambda picture: encode(picture, "png"), pictures))

    assert here == there


def test_profile_is_kept() -> None:
    with Image.open(BytesIO(encode(random_pixels((4, 5, 3)), "png", icc_profile=SRGB))) as image:
        assert image.info["icc_profile"] == SRGB


def test_flat_masks_are_small() -> None:
    mask = np.zeros((1000, 1000), np.uint8)
    cv2.circle(mask, (500, 500), 300, 255, thickness=-1, lineType=cv2.LINE_AA)

    assert len(encode(mask, "png")) < mask.size / 50


def test_strips_give_the_picture() -> None:
    pixels = random_pixels((100, 30, 4))
    rows = iter([pixels[:1], pixels[1:60], pixels[60:]])

    content = encode(Strips(height=100, width=30, channels=4, rows=rows), "png")

    with Image.open(BytesIO(content)) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)

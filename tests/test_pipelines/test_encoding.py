from io import BytesIO

import numpy as np
import pytest
from image_files import SRGB
from numpy.typing import NDArray
from PIL import Image

from pipelines.encoding import encode
from pipelines.errors import PhotoError
from pipelines.images import decode_photo
from pipelines.mask_pictures import decode_mask


@pytest.fixture
def upright() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


@pytest.mark.parametrize("image_format", ["png", "jpg", "webp"])
def test_colour_profile_survives_encoding(image_format: str, upright: NDArray[np.uint8]) -> None:
    content = encode(upright, image_format, icc_profile=SRGB)

    assert decode_photo(content).icc_profile == SRGB


def test_a_png_with_a_profile_has_the_same_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 4), np.uint8)

    with Image.open(BytesIO(encode(pixels, "png", icc_profile=SRGB))) as image:
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (301, 203)])
@pytest.mark.parametrize("kind", ["noise", "ramp", "edge"])
def test_masks_read_back_exactly_and_are_packed(kind: str, size: tuple[int, int]) -> None:
    y, x = np.mgrid[: size[0], : size[1]]
    mask = {
        "noise": np.random.default_rng(0).integers(0, 256, size),
        "ramp": x * 255 // size[1],
        "edge": np.clip((x - y / 2) * 40 - size[1] * 10, 0, 255),
    }[kind].astype(np.uint8)

    content = encode(mask, "png")

    with Image.open(BytesIO(content)) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), mask)
    if kind != "noise" and mask.size > 500:
        assert len(content) < mask.size / 10


@pytest.mark.parametrize("profile", [None, b""])
def test_png_round_trip_is_exact(profile: bytes | None, upright: NDArray[np.uint8]) -> None:
    assert np.array_equal(decode_photo(encode(upright, "png", icc_profile=profile)).pixels, upright)
    assert np.array_equal(decode_mask(encode(upright[..., 0], "png")).values, upright[..., 0])


def test_a_picture_beyond_the_limits_of_a_format_is_refused() -> None:
    with pytest.raises(PhotoError, match="do not fit into webp"):
        encode(np.zeros((1, 17_000, 3), np.uint8), "webp")

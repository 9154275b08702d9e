"""What becomes of colour spaces and profiles."""

import numpy as np
import pytest
from icc_profiles import cmyk_profile, linear_grey_profile
from image_files import SRGB, encoded
from numpy.typing import NDArray
from PIL import Image

from pipelines.colours import to_rgb
from pipelines.images import decode_photo

CYAN = (255, 0, 0, 0)


def colour_of(content: bytes) -> NDArray[np.int64]:
    photo = decode_photo(content)
    assert photo.icc_profile is None
    assert photo.note is None
    return photo.pixels.astype(np.int64).mean(axis=(0, 1))


@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile_to_srgb(image_format: str) -> None:
    inks = Image.new("CMYK", (8, 8), CYAN)

    plain = colour_of(encoded(inks, image_format))
    through = colour_of(encoded(inks, image_format, icc_profile=cmyk_profile()))

    assert np.abs(plain - (0, 255, 255)).max() <= 3
    assert np.abs(through - (0, 151, 218)).max() <= 6  # Lab (55, -37, -50), clipped to sRGB


def test_paper_stays_white() -> None:
    paper = encoded(Image.new("CMYK", (8, 8)), "JPEG", icc_profile=cmyk_profile())

    assert (colour_of(paper) >= 254).all()


def test_a_jpeg_of_luma_chroma_and_black_is_not_a_negative() -> None:
    # Adobe stores the negative of all four; Pillow does so, too, and marks it with transform 0.
    negative = Image.new("RGB", (16, 16), (255 - 200, 255 - 100, 255 - 50)).convert("YCbCr")
    planes = np.dstack([255 - np.asarray(negative), np.zeros((16, 16), np.uint8)])
    content = bytearray(encoded(Image.fromarray(planes, "CMYK"), "JPEG", quality=95))
    content[content.index(b"Adobe") + 11] = 2  # luma, chroma and black

    assert np.abs(colour_of(bytes(content)) - (200, 100, 50)).max() <= 4


@pytest.mark.parametrize(
    ("mode", "value"), [("L", 55), ("LA", (55, 255)), ("I;16", 55 * 256 + 200)]
)
def test_grey_goes_through_its_profile_to_srgb(mode: str, value: object) -> None:
    image = Image.new(mode, (4, 4), value)

    assert np.abs(colour_of(encoded(image, "PNG")) - 55).max() <= 0
    through = colour_of(encoded(image, "PNG", icc_profile=linear_grey_profile()))
    assert np.abs(through - 128).max() <= 1


def test_transparent_grey_with_a_profile_is_white() -> None:
    content = encoded(Image.new("LA", (4, 4), (55, 0)), "PNG", icc_profile=linear_grey_profile())

    assert (colour_of(content) == 255).all()


@pytest.mark.parametrize(
    ("mode", "profile"), [("CMYK", b"junk"), ("CMYK", cmyk_profile()[:200]), ("RGB", b"junk")]
)
def test_a_profile_that_does_not_fit_is_left_out_and_that_is_said(
    mode: str, profile: bytes
) -> None:
    photo = decode_photo(encoded(Image.new(mode, (8, 8)), "JPEG", icc_profile=profile))

    assert photo.icc_profile is None
    assert "profile" in (photo.note or "")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_a_profile_of_rgb_is_kept(mode: str) -> None:
    photo = decode_photo(encoded(Image.new(mode, (4, 4)), "PNG", icc_profile=SRGB))

    assert photo.icc_profile == SRGB
    assert photo.note is None


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("step", [1, 3 * 37, 10**9])
def test_photos_converted_in_strips_are_those_converted_as_a_whole(
    mode: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, 37, 4), np.uint8)
    rgba = Image.fromarray(values)
    if mode == "I;16":
        image, expected = Image.fromarray(values.view(np.uint16)[..., 0]), values[..., 1]
        whole = np.repeat(expected[..., None], 3, axis=2)
    else:
        image = rgba.convert("RGB" if mode == "CMYK" else mode).convert(mode)
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image.convert("RGB"), mask=image.convert("RGBA"))
        whole = np.asarray(flat)
    monkeypatch.setattr("pipelines.colours.STRIP_PIXELS", step)

    pixels, _, _ = to_rgb(image)

    assert np.array_equal(pixels, whole)

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from pipelines.errors import PhotoError
from pipelines.masks import read_mask

HALF = np.repeat([[0, 1]], 10, axis=1).reshape(1, 20).repeat(20, axis=0).astype(np.uint8)


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    buffer = BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, "png")
    return buffer.getvalue()


def matlab(**variables: np.ndarray) -> bytes:
    buffer = BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "suffix", "convention"),
    [
        (png(HALF), ".png", "0/1"),
        (png(HALF * 255), ".png", "0/255"),
        (png(HALF * 255, "RGB"), ".png", "0/255"),
        (png(HALF * 255, "RGBA"), ".PNG", "0/255"),
        (png(HALF * 255, "1"), ".png", "0/255"),
        (matlab(mask=HALF), ".mat", "0/1"),
        (matlab(mask=HALF.astype(bool)), ".mat", "0/1"),
        (matlab(mask=HALF.astype(np.float64)), ".MAT", "0/1"),
    ],
)
def test_conventions_are_recognised(content: bytes, suffix: str, convention: str) -> None:
    mask, found = read_mask(content, suffix)
    assert found == convention
    assert np.array_equal(mask, HALF * 255)


def palette(indices: np.ndarray, colours: list[int]) -> bytes:
    image = Image.new("P", indices.shape[::-1])
    image.putdata(indices.ravel().tolist())
    image.putpalette(colours)
    buffer = BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("colours", "convention"),
    [([10, 20, 30, 200, 0, 0], "palette 0/1"), ([0, 0, 0, 255, 255, 255], "0/255")],
    ids=["indices count", "black and white"],
)
def test_palette_pictures(colours: list[int], convention: str) -> None:
    mask, found = read_mask(palette(HALF, colours), ".png")
    assert found == convention
    assert np.array_equal(mask, HALF * 255)


def test_palette_of_white_ground_is_read_by_its_colours() -> None:
    mask, _ = read_mask(palette(1 - HALF, [255, 255, 255, 0, 0, 0]), ".png")
    assert np.array_equal(mask, HALF * 255)


@pytest.mark.parametrize("colour", [0, 255])
def test_alpha_is_the_mask_of_a_picture_of_one_colour(colour: int) -> None:
    rgba = np.full((20, 20, 4), colour, np.uint8)
    rgba[..., 3] = HALF * 255
    for content in (png(rgba), png(rgba[..., [0, 3]])):
        mask, convention = read_mask(content, ".png")
        assert convention == "alpha 0/255"
        assert np.array_equal(mask, HALF * 255)


def test_what_nothing_is_seen_of_may_have_any_colour() -> None:
    soft = HALF * 255
    soft[:, 9] = 90
    silhouette = np.dstack([(HALF * 255)[..., None].repeat(3, axis=2), soft])
    silhouette[:, 9, :3] = 255
    mask, convention = read_mask(png(silhouette), ".png")
    assert np.array_equal(mask, soft)
    assert convention == "alpha soft"


def test_colours_and_alpha_that_disagree_are_refused() -> None:
    rgba = np.dstack([HALF * 255] * 3 + [255 - 255 * HALF.T])
    with pytest.raises(PhotoError, match="its colours and its alpha channel show different masks"):
        read_mask(png(rgba), ".png")


def test_nothing_but_zeros_is_nobody_and_no_convention() -> None:
    for content in (png(HALF * 0), png(HALF * 0, "1"), png(HALF * 0, "RGBA")):
        mask, convention = read_mask(content, ".png")
        assert convention == "nobody"
        assert not mask.any()


def test_numbers_of_classes_are_indices_even_of_black_and_white() -> None:
    content = palette(HALF, [255, 255, 255, 0, 0, 0])
    mask, convention = read_mask(content, ".png", classes=(1,))
    assert convention == "palette classes 1"
    assert np.array_equal(mask, HALF * 255)
    mask, convention = read_mask(matlab(mask=HALF * 7), ".mat", classes=(7, 9))
    assert convention == "classes 7, 9"
    assert np.array_equal(mask, HALF * 255)


@pytest.mark.parametrize(("top", "convention"), [(1, "0/1"), (255, "0/255"), (65535, "0/65535")])
def test_sixteen_bits_keep_their_meaning(top: int, convention: str) -> None:
    mask, found = read_mask(png(HALF.astype(np.uint16) * top), ".png")
    assert found == convention
    assert np.array_equal(mask, HALF * 255)


def soft_edge(dtype: type[np.unsignedinteger], step: int) -> np.ndarray:
    soft = HALF.astype(dtype) * np.iinfo(dtype).max
    soft[:, 8:12] = np.array([60, 100, 150, 200], dtype) * step
    return soft


def test_soft_mask_keeps_its_grey_values() -> None:
    soft = soft_edge(np.uint8, 1)
    mask, convention = read_mask(png(soft), ".png")
    assert convention == "soft"
    assert np.array_equal(mask, soft)


def test_soft_mask_of_sixteen_bits_keeps_its_upper_eight() -> None:
    mask, convention = read_mask(png(soft_edge(np.uint16, 256)), ".png")
    assert convention == "soft"
    assert np.array_equal(mask, soft_edge(np.uint8, 1))


def test_noise_of_compression_is_no_class_number() -> None:
    buffer = BytesIO()
    Image.fromarray(np.kron(HALF * 255, np.ones((8, 8), np.uint8))).save(buffer, "jpeg", quality=60)
    mask, convention = read_mask(buffer.getvalue(), ".jpg")
    assert convention in {"soft", "0/255"}
    assert np.array_equal(mask > 127, np.kron(HALF, np.ones((8, 8))) > 0)


@pytest.mark.parametrize(
    ("content", "suffix", "reason"),
    [
        (png(HALF * 7), ".png", r"mask values 0, 7 are neither"),
        (png(np.where(np.eye(20, dtype=bool), 255, HALF).astype(np.uint8)), ".png", r"0, 1, 255"),
        (png(np.where(np.eye(20, dtype=bool), 128, HALF * 255).astype(np.uint8)), ".png", "0, 128"),
        (png(np.arange(256, dtype=np.uint8).reshape(16, 16)), ".png", r"0, 1, 2, .*\.\.\. are"),
        (
            png(HALF[..., None] * np.uint8([200, 0, 0])),
            ".png",
            "2 colours .#000000, #c80000.; save",
        ),
        (matlab(other=HALF), ".mat", "without a variable 'mask'"),
        (matlab(mask=np.zeros((2, 2, 2))), ".mat", "expected a plane"),
        (b"not a matlab file", ".mat", "damaged MATLAB file"),
        (b"not an image", ".png", "not an image"),
    ],
)
def test_nonsense_is_refused_with_its_values(content: bytes, suffix: str, reason: str) -> None:
    with pytest.raises(PhotoError, match=reason):
        read_mask(content, suffix)

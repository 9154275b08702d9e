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


def test_palette_indices_are_what_counts() -> None:
    image = Image.new("P", (20, 20))
    image.putdata(HALF.ravel().tolist())
    image.putpalette([10, 20, 30, 200, 0, 0])
    buffer = BytesIO()
    image.save(buffer, "png")
    mask, convention = read_mask(buffer.getvalue(), ".png")
    assert convention == "0/1"
    assert np.array_equal(mask, HALF * 255)


def test_soft_mask_keeps_its_grey_values() -> None:
    soft = HALF * 255
    soft[:, 10] = 120
    mask, convention = read_mask(png(soft), ".png")
    assert convention == "soft"
    assert np.array_equal(mask, soft)


@pytest.mark.parametrize(
    ("content", "suffix", "reason"),
    [
        (png(HALF * 7), ".png", r"mask values 0, 7 are neither"),
        (png(np.arange(256, dtype=np.uint8).reshape(16, 16)), ".png", r"0, 1, 2, .*\.\.\. are"),
        (png(HALF[..., None] * np.uint8([200, 0, 0])), ".png", "must be grey"),
        (matlab(other=HALF), ".mat", "without a variable 'mask'"),
        (matlab(mask=np.zeros((2, 2, 2))), ".mat", "expected a plane"),
        (b"not a matlab file", ".mat", "damaged MATLAB file"),
        (b"not an image", ".png", "not an image"),
    ],
)
def test_nonsense_is_refused_with_its_values(content: bytes, suffix: str, reason: str) -> None:
    with pytest.raises(PhotoError, match=reason):
        read_mask(content, suffix)

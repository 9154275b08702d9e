import numpy as np

from pipelines.sizes import fitted_size, resize


def test_resize_and_fitted_size_agree() -> None:
    pixels = np.zeros((6, 9, 3), np.uint8)
    assert fitted_size(height=6, width=9, long_side=3) == (2, 3)
    assert fitted_size(height=10_000, width=1, long_side=64) == (64, 1)
    assert resize(pixels, height=2, width=3).shape == (2, 3, 3)
    assert resize(pixels, height=6, width=9) is pixels

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.prepare import PrepareOptions, prepare


@pytest.fixture(scope="session")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight dark grounds with black masks as a store, half of it for validation."""
    root = tmp_path_factory.mktemp("nobody")
    for folder in ("images", "masks"):
        (root / "pairs" / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(8):
        ground = Image.fromarray(rng.integers(0, 30, (80, 100, 3), np.uint8))
        ground.save(root / "pairs" / "images" / f"{number}.png")
        Image.new("L", ground.size).save(root / "pairs" / "masks" / f"{number}.png")
    options = PrepareOptions(
        source=root / "pairs",
        dataset=root / "nobody.zarr",
        size=64,
        split=(0.5, 0.5, 0.0),
        workers=0,
    )
    prepare(options)
    return root / "nobody.zarr"

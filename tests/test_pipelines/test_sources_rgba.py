from pathlib import Path

import numpy as np
import pytest
from exact_stores import SIDE, box, noise, prepared, save
from PIL import Image

from pipelines.errors import ConfigError
from pipelines.sources import discover_samples

SOFT = box(5, 6, 30, 40)
SOFT[:, 5] = 90
HARD = box(5, 6, 30, 40)


def cut_out(seed: int, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([noise(seed), alpha])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "in" / "soft.png", cut_out(0, SOFT))
    save(tmp_path / "in" / "below" / "hard.png", cut_out(1, HARD))
    return tmp_path / "in"


def test_alpha_is_the_mask_and_transparent_areas_turn_white(folder: Path) -> None:
    found = prepared(folder)
    assert found.summary.format == "rgba"
    assert np.array_equal(found.masks["soft"], SOFT)
    assert np.array_equal(found.masks["below/hard"], HARD)
    assert found.rows["soft"]["convention"] == "alpha soft"
    assert found.rows["below/hard"]["convention"] == "alpha 0/255"
    assert (found.photos["soft"][SOFT == 0] == 255).all()
    assert np.array_equal(found.photos["soft"][SOFT == 255], noise(0)[SOFT == 255])


def test_other_formats_and_palettes(tmp_path: Path) -> None:
    root = tmp_path / "in"
    save(root / "a.png", cut_out(0, HARD))
    Image.fromarray(cut_out(1, SOFT)).save(root / "b.webp", lossless=True)
    image = Image.fromarray(np.where(HARD > 0, 3, 0).astype(np.uint8))
    image.putpalette([9, 9, 9, 50, 50, 50, 99, 99, 99, 180, 120, 70])
    image.save(root / "c.png", transparency=0)
    found = prepared(root)
    assert np.array_equal(found.masks["b"], SOFT)
    assert np.array_equal(found.masks["c"], HARD)


def test_turned_photos_are_upright_with_their_masks(folder: Path) -> None:
    image = Image.fromarray(cut_out(5, HARD))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(folder / "turned.png", exif=exif)
    assert np.array_equal(prepared(folder).masks["turned"], np.rot90(HARD, -1))


def test_pictures_without_alpha_fail_when_the_layout_is_named(folder: Path) -> None:
    save(folder / "opaque.jpg", noise(7))
    found = prepared(folder, format="rgba")
    assert found.rows["opaque"]["status"] == "failed"
    assert "has no alpha channel" in found.rows["opaque"]["reason"]
    assert found.summary.stored == 2


def test_there_are_no_classes(folder: Path) -> None:
    with pytest.raises(ConfigError, match="the layout 'rgba' has no classes"):
        discover_samples(folder, classes=("person",))


def test_an_opaque_picture_is_said_to_be_nothing_but_a_person(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(folder / "opaque.png", cut_out(3, np.full((SIDE, SIDE), 255, np.uint8)))
    prepared(folder)
    assert "1 full-mask" in caplog.text

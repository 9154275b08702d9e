from pathlib import Path

import numpy as np
import pytest
from exact_stores import SIDE, box, noise, prepared, save
from PIL import Image

from pipelines.errors import ConfigError, InputError
from pipelines.sources import discover_samples

MASK = box(5, 6, 30, 40)


@pytest.mark.parametrize(
    ("photo", "mask", "name"),
    [
        ("images/a.jpg", "masks/a.png", "a"),
        ("Image/a.png", "Matte/a.png", "a"),
        ("JPEGImages/a.jpg", "SegmentationClass/a.png", "a"),
        ("photos/below/a.jpg", "labels/below/a.png", "below/a"),
        ("images/a.jpg", "masks/a_mask.png", "a"),
        ("a.jpg", "a_mask.png", "a"),
        ("below/a.jpg", "below/a_alpha.png", "below/a"),
        ("train/images/a.jpg", "train/masks/a.png", "train/a"),
        ("images/train/a.jpg", "masks/train/a.png", "train/a"),
    ],
)
def test_common_names_of_folders_and_files(
    tmp_path: Path, photo: str, mask: str, name: str
) -> None:
    save(tmp_path / "in" / photo, noise(0))
    save(tmp_path / "in" / mask, MASK)
    found = prepared(tmp_path / "in")
    assert found.summary.format == "pairs"
    assert list(found.masks) == [name]
    assert np.array_equal(found.masks[name], MASK)


def test_folders_of_splits_are_the_splits(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "valid", "test") * 3):
        save(tmp_path / "in" / split / "images" / f"{number}.png", noise(number))
        save(tmp_path / "in" / split / "masks" / f"{number}.png", MASK)
    found = prepared(tmp_path / "in")
    assert found.summary.splits == {"train": 3, "val": 3, "test": 3}
    assert {name: split[:3] for name, split in found.splits.items()} == {
        name: name[:3] for name in found.splits
    }


def test_equal_photos_of_two_splits_go_to_the_stricter_one(tmp_path: Path) -> None:
    for split in ("train", "val"):
        save(tmp_path / "in" / split / "images" / "a.png", noise(0))
        save(tmp_path / "in" / split / "masks" / "a.png", MASK)
    found = prepared(tmp_path / "in")
    assert found.summary.duplicates == 1
    assert found.summary.splits == {"train": 0, "val": 1, "test": 0}


def test_orphans_of_a_flat_folder_are_reported_on_both_sides(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / "in" / f"{number}.png", noise(number))
    save(tmp_path / "in" / "0_mask.png", MASK)
    save(tmp_path / "in" / "9_mask.png", MASK)
    found = prepared(tmp_path / "in")
    assert {name: row["status"] for name, row in found.rows.items()} == {
        "0": "stored",
        "1": "missing",
        "9": "missing",
    }
    assert "mask" in found.rows["1"]["reason"]
    assert "photo" in found.rows["9"]["reason"]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    save(tmp_path / "in" / "images" / "a.png", noise(0))
    save(tmp_path / "in" / "masks" / "a.png", MASK)
    save(tmp_path / "in" / "images" / "._b.png", noise(1))
    save(tmp_path / "in" / "images" / ".thumbnails" / "c.png", noise(2))
    assert prepared(tmp_path / "in").summary.discovered == 1


def test_two_folders_of_masks_are_not_chosen_between(tmp_path: Path) -> None:
    for folder in ("images", "masks", "alpha"):
        save(tmp_path / folder / "a.png", MASK)
    with pytest.raises(InputError, match=r"alpha/ and masks/ may both hold the masks; move"):
        discover_samples(tmp_path)


def test_masks_of_one_photo_that_differ_in_their_ending_are_a_problem(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", noise(0))
    for name in ("a.png", "a_mask.png"):
        save(tmp_path / "masks" / name, MASK)
    _, samples = discover_samples(tmp_path)
    assert [sample.problem for sample in samples] == [
        "several masks of one name: a.png, a_mask.png"
    ]


def class_map(path: Path, *, colours: bool) -> np.ndarray:
    """Write a map of classes as PASCAL VOC has it: 15 are people, 7 cars, 255 is not said."""
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[:20], values[20:30, :9], values[30] = 7, 15, 255
    image = Image.fromarray(values)
    if colours:
        image.putpalette([number * 37 % 256 for number in range(768)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return values


@pytest.mark.parametrize("colours", [True, False], ids=["palette", "grey"])
def test_numbers_of_classes_are_refused_until_they_are_chosen(
    tmp_path: Path, *, colours: bool
) -> None:
    root = tmp_path / "in"
    for number in range(2):
        save(root / "images" / f"{number}.png", noise(number))
    save(root / "masks" / "0.png", MASK)
    values = class_map(root / "masks" / "1.png", colours=colours)
    row = prepared(root).rows["1"]
    assert row["status"] == "failed"
    assert "mask values 0, 7, 15, 255 are neither" in row["reason"]
    assert "--classes 15" in row["reason"]
    found = prepared(root, classes=("15", "7"))
    assert np.array_equal(found.masks["1"] > 0, np.isin(values, (7, 15)))
    convention = "palette classes 7, 15" if colours else "classes 7, 15"
    assert found.rows["1"]["convention"] == convention


def test_names_of_classes_are_no_numbers(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a.png", noise(0))
    save(tmp_path / "masks" / "a.png", MASK)
    with pytest.raises(ConfigError, match=r"--classes person: mask files.*hold numbers"):
        discover_samples(tmp_path, classes=("person",))

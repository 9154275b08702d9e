from pathlib import Path

import numpy as np
import pytest
from exact_stores import box, noise, prepared, save
from scipy.io import savemat

from pipelines.errors import InputError
from pipelines.sources import discover_samples

MASKS = [box(3 * number, 4, 30, 40) for number in range(4)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photos and masks in folders of no known names."""
    for number, mask in enumerate(MASKS):
        save(tmp_path / "in" / "shots" / f"{number}.png", noise(number))
        save(tmp_path / "in" / "who" / f"mask-of-{number}.png", mask)
    return tmp_path / "in"


def write(folder: Path, *rows: str, header: str = "image,mask", name: str = "list.csv") -> Path:
    path = folder / name
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


ROWS = [f"shots/{number}.png,who/mask-of-{number}.png" for number in range(4)]


def test_masks_are_those_of_the_rows(folder: Path) -> None:
    write(folder, *ROWS[:3], "shots/gone.png,who/mask-of-3.png")
    found = prepared(folder)
    assert found.summary.format == "csv"
    assert found.rows["shots/gone"]["status"] == "missing"
    assert list(found.masks) == ["shots/0", "shots/1", "shots/2"]
    for name, mask in zip(found.masks, MASKS, strict=False):
        assert np.array_equal(found.masks[name], mask)


def test_the_file_itself_may_be_named_and_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "lists" / "some.csv"
    table.parent.mkdir()
    write(table.parent, f"../in/shots/0.png,{folder}/who/mask-of-0.png", name="some.csv")
    found = prepared(table)
    assert np.array_equal(next(iter(found.masks.values())), MASKS[0])


def test_splits_and_licences_are_kept(folder: Path) -> None:
    rows = [
        f"{row},{split},{licence}"
        for row, split, licence in zip(
            ROWS, ("train", "val", "test", ""), ("CC0", "CC BY 4.0", "CC0", ""), strict=True
        )
    ]
    write(folder, *rows, header="Image,Mask,Split,License")
    found = prepared(folder, split=(0.0, 0.0, 1.0))
    assert list(found.splits.values()) == ["train", "val", "test", "test"]
    assert found.licence == "CC0\n\nCC BY 4.0"


def test_licences_of_photos_that_are_not_stored_are_not_claimed(folder: Path) -> None:
    write(folder, f"{ROWS[0]},CC0", "gone.png,gone.png,secret", header="image,mask,licence")
    (folder / "LICENSE").write_text("ours\n")
    assert prepared(folder).licence == "ours\n\n\nCC0"


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_a_mask_of_matlab(folder: Path, delimiter: str) -> None:
    savemat(folder / "who" / "0.mat", {"mask": MASKS[0] // 255})
    header = delimiter.join(("name", "photo", "mask"))
    write(folder, delimiter.join(("a,b", "shots/0.png", "who/0.mat")), header=header)
    assert np.array_equal(prepared(folder).masks["shots/0"], MASKS[0])


def test_a_row_without_a_mask_fails_alone(folder: Path) -> None:
    write(folder, ROWS[0], "shots/1.png,", ",who/mask-of-2.png")
    rows = prepared(folder).rows
    assert [row["status"] for row in rows.values()] == ["stored", "failed", "failed"]
    assert rows["shots/1"]["reason"].endswith("list.csv, line 3: names no mask")
    assert rows["line 4"]["reason"].endswith("list.csv, line 4: names no image")


def test_names_that_no_file_can_have_fail_alone(folder: Path) -> None:
    write(
        folder, ROWS[0], ".,who/mask-of-1.png", "/,who/mask-of-1.png", "a\0b.png,who/mask-of-2.png"
    )
    reasons = [row["reason"] for row in prepared(folder).rows.values()]
    assert reasons[0] == ""
    assert "not a regular file" in reasons[1]
    assert "not a regular file" in reasons[2]
    assert "no file can have this name" in reasons[3]


def test_photos_that_differ_in_their_extension_keep_it(folder: Path) -> None:
    save(folder / "shots" / "0.bmp", noise(9))
    write(folder, ROWS[0], "shots/0.bmp,who/mask-of-1.png")
    assert list(prepared(folder).masks) == ["shots/0.png", "shots/0.bmp"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("picture,mask\na,b\n", r"list\.csv: has no column 'image', but picture, mask"),
        ("image,mask,split\na,b,some\n", r"line 2: the split 'some' is none of train, val"),
        ("image,mask\na,b,c\n", r"line 2: more cells than the header has"),
        ("image,mask\na,b\na,c\n", r"line 3: a is listed in line 2 too"),
        ('image,mask\n"a,b\n', "cannot be read as CSV"),
        (b"image,mask\n\xe9,b\n", "cannot be read as CSV in UTF-8"),
    ],
)
def test_damaged_tables_are_named(tmp_path: Path, text: str | bytes, reason: str) -> None:
    table = tmp_path / "list.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=reason):
        discover_samples(table)


def test_several_tables_are_not_chosen_between(folder: Path) -> None:
    write(folder, *ROWS)
    write(folder, ROWS[0], name="part.csv")
    write(folder, "1,2", header="x,y", name="other.csv")
    with pytest.raises(InputError, match=r"list\.csv and part\.csv both list photos and masks"):
        discover_samples(folder)
    assert prepared(folder / "part.csv").summary.stored == 1

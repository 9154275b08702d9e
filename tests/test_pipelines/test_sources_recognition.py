from pathlib import Path

import pytest
from coco_files import write_coco
from exact_stores import box, noise, save, write_json

from pipelines.errors import ConfigError, InputError
from pipelines.sources import FORMATS, discover_samples

MASK = box(5, 6, 30, 40)


def write_layout(root: Path, name: str) -> None:
    match name:
        case "pairs":
            save(root / "images" / "1.png", noise(1))
            save(root / "masks" / "1.png", MASK)
        case "csv":
            (root / "list.csv").write_text("image,mask\nx/1.png,y/1.png\n")
        case "supervisely":
            write_json(root / "meta.json", {"classes": [{"title": "person"}]})
            write_json(root / "ds0" / "ann" / "1.png.json", {})
        case "coco":
            write_coco(root, [])
        case "pfcn":
            save(root / "images_data_crop" / "1.jpg", noise(1))
            save(root / "images_mask" / "1.png", MASK)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("pairs", "csv"),
        ("pairs", "coco"),
        ("csv", "supervisely"),
        ("supervisely", "coco"),
        ("pairs", "pfcn"),
    ],
)
def test_a_folder_of_two_layouts_asks_which(tmp_path: Path, first: str, second: str) -> None:
    for name in (first, second):
        write_layout(tmp_path, name)
    with pytest.raises(InputError, match=rf"looks like '{first}' .*'{second}' .*--format {first}"):
        discover_samples(tmp_path)
    assert discover_samples(tmp_path, first)[0] == first


def test_a_folder_of_none_lists_them_all(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", noise(0))
    write_json(tmp_path / "settings.json", {"images": 3})
    with pytest.raises(InputError, match="not a layout that banet knows") as error:
        discover_samples(tmp_path)
    assert all(f"({name})" in str(error.value) for name in FORMATS)


def test_photos_without_transparency_are_no_cut_outs(tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise(0))
    with pytest.raises(InputError, match="not a layout that banet knows"):
        discover_samples(tmp_path)


def test_other_files_and_other_layouts_are_not_read_as_tables(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", noise(0))
    with pytest.raises(InputError, match=r"a\.png: a file; name the folder"):
        discover_samples(photo)
    table = tmp_path / "list.csv"
    table.write_text("image,mask\na.png,b.png\n")
    with pytest.raises(ConfigError, match=r"--format pairs: name the folder of the dataset, not"):
        discover_samples(table, "pairs")
    with pytest.raises(InputError, match="no photos found in the layout 'coco'"):
        discover_samples(table, "coco")


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    write_layout(tmp_path / "elsewhere", "pairs")
    root = tmp_path / "in"
    root.mkdir()
    for name in ("images", "masks"):
        (root / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "images" / "loop").symlink_to(root)
    _, samples = discover_samples(root)
    assert [sample.name for sample in samples] == ["1"]

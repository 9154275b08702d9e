from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import ConfigError, InputError
from pipelines.sources import discover_samples
from pipelines.sources.crops import cropped_samples


def test_pairs_are_recognised_and_matched_by_stem(pairs_folder: Path) -> None:
    name, samples = discover_samples(pairs_folder)
    assert name == "pairs"
    assert [sample.name for sample in samples] == [f"{number:02d}" for number in range(24)]
    assert all(
        Path(str(sample.photo)).is_file() and Path(str(sample.mask)).is_file() for sample in samples
    )


def test_pairs_lists_both_kinds_of_orphan(
    tmp_path: Path, write_pairs_to: Callable[[Path, int], None]
) -> None:
    write_pairs_to(tmp_path, 3)
    (tmp_path / "images" / "00.png").unlink()
    (tmp_path / "masks" / "01.png").unlink()
    _, samples = discover_samples(tmp_path)
    exists = [
        (Path(str(sample.photo)).exists(), Path(str(sample.mask)).exists()) for sample in samples
    ]
    assert exists == [(False, True), (True, False), (True, True)]


def test_photos_of_one_name_are_all_listed_with_the_problem(
    tmp_path: Path, write_pairs_to: Callable[[Path, int], None]
) -> None:
    write_pairs_to(tmp_path, 2)
    (tmp_path / "images" / "00.jpg").write_bytes((tmp_path / "images" / "00.png").read_bytes())
    _, samples = discover_samples(tmp_path)
    found = [(sample.name, sample.problem) for sample in samples]
    problem = "several photos of one name: 00.jpg, 00.png"
    assert found == [("00", problem), ("00.png", problem), ("01", "")]


def test_pfcn_lists_every_number_with_its_split(pfcn_folder: Path) -> None:
    name, samples = discover_samples(pfcn_folder)
    assert name == "pfcn"
    assert [(sample.name, sample.split) for sample in samples] == [
        ("00001", "train"),
        ("00003", "train"),
        ("00004", "train"),
        ("00002", "test"),
        ("00009", "test"),
    ]


def test_unknown_layout_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a layout that banet knows: images/ and masks/"):
        discover_samples(tmp_path)


def test_forced_layout_without_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photos found in the layout 'pairs'"):
        discover_samples(tmp_path, "pairs")


def test_missing_folder_and_unknown_format_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        discover_samples(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="--format mp4: use auto, pairs, csv, rgba, pfcn"):
        discover_samples(tmp_path, "mp4")


def test_damaged_list_is_named(pfcn_folder: Path) -> None:
    (pfcn_folder / "trainlist.mat").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"trainlist\.mat: not a readable list"):
        discover_samples(pfcn_folder)


def test_crops_become_samples_of_their_own(pairs_folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "index.csv"
    table.write_text('\ufeffstem,upper_crop\n00,"5,0,80,70"\n01,\n', encoding="utf-8")
    _, samples = discover_samples(pairs_folder)
    crops = cropped_samples(samples, table)
    assert [(crop.name, crop.crop) for crop in crops] == [("00#upper_crop", (5, 0, 80, 70))]
    assert crops[0].photo == samples[0].photo


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("stem,box\n00,1\n", "needs a column 'stem'"),
        ('stem,upper_crop\n00,"1,2,3"\n', "00, column upper_crop: '1,2,3' is not x0,y0,x1,y1"),
        ('stem,upper_crop\n00,"9,0,5,5"\n', "is empty or negative"),
        ("stem,upper_crop\n00,5,0,80,70\n", "the row of '00' has more fields"),
        ('stem,upper_crop\n99.png,"0,0,5,5"\n', "1 stems are no samples .*'99.png'"),
        (b"stem,upper_crop\n\xe9,1\n", "cannot be read as CSV in UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_bad_crop_tables_are_named(
    pairs_folder: Path, tmp_path: Path, content: str | bytes | None, reason: str
) -> None:
    table = tmp_path / "index.csv"
    if content is not None:
        table.write_bytes(content if isinstance(content, bytes) else content.encode())
    _, samples = discover_samples(pairs_folder)
    with pytest.raises(InputError, match=reason):
        cropped_samples(samples, table)

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import ConfigError, InputError
from pipelines.sources import discover_samples
from pipelines.sources.crops import add_crops


def test_pairs_are_recognised_and_matched_by_stem(pairs_folder: Path) -> None:
    name, samples = discover_samples(pairs_folder)
    assert name == "pairs"
    assert [sample.name for sample in samples] == [f"{number:02d}" for number in range(24)]
    assert all(sample.photo.is_file() and sample.mask.is_file() for sample in samples)


def test_pairs_lists_both_kinds_of_orphan(
    tmp_path: Path, write_pairs_to: Callable[[Path, int], None]
) -> None:
    write_pairs_to(tmp_path, 3)
    (tmp_path / "images" / "00.png").unlink()
    (tmp_path / "masks" / "01.png").unlink()
    _, samples = discover_samples(tmp_path)
    exists = [(sample.photo.exists(), sample.mask.exists()) for sample in samples]
    assert exists == [(False, True), (True, False), (True, True)]


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
    with pytest.raises(InputError, match=r"expected images/ and masks/"):
        discover_samples(tmp_path)


def test_forced_layout_without_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photos found in the layout 'pairs'"):
        discover_samples(tmp_path, "pairs")


def test_missing_folder_and_unknown_format_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        discover_samples(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="--format mp4: use auto, pfcn, pairs"):
        discover_samples(tmp_path, "mp4")


def test_damaged_list_is_named(pfcn_folder: Path) -> None:
    (pfcn_folder / "trainlist.mat").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"trainlist\.mat: not a readable list"):
        discover_samples(pfcn_folder)


def test_crops_become_samples_of_their_own(pairs_folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "index.csv"
    table.write_text('stem,upper_crop\n00,"5,0,80,70"\n01,\n99,"0,0,5,5"\n')
    _, samples = discover_samples(pairs_folder)
    crops = add_crops(samples, table)[len(samples) :]
    assert [(crop.name, crop.crop) for crop in crops] == [("00#upper_crop", (5, 0, 80, 70))]
    assert crops[0].photo == samples[0].photo


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("stem,box\n00,1\n", "needs a column 'stem'"),
        ('stem,upper_crop\n00,"1,2,3"\n', "00, column upper_crop: '1,2,3' is not x0,y0,x1,y1"),
        ('stem,upper_crop\n00,"9,0,5,5"\n', "is empty or negative"),
        (None, "cannot be read"),
    ],
)
def test_bad_crop_tables_are_named(
    pairs_folder: Path, tmp_path: Path, content: str | None, reason: str
) -> None:
    table = tmp_path / "index.csv"
    if content is not None:
        table.write_text(content)
    _, samples = discover_samples(pairs_folder)
    with pytest.raises(InputError, match=reason):
        add_crops(samples, table)

"""Pictures of the least certain masks."""

import errno
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from segment_results import ledger

from pipelines import review
from pipelines.allocator import give_freed_memory_back
from pipelines.errors import BanetError, InputError
from pipelines.ledger import LedgerRow, ledger_rows
from pipelines.peak_memory import forget_process_peak, process_peak
from pipelines.process_memory import resident_memory
from pipelines.progress import SilentProgress
from pipelines.review import DARK, LIGHT, LONG_SIDE, Review, checkerboard, side_by_side
from pipelines.segment import SegmentSummary

Run = Callable[..., SegmentSummary]
WritePhoto = Callable[..., Path]


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    return tmp_path / "review"


def listed(folder: Path, name: str = "review.json") -> list[str]:
    entries = json.loads((folder / name).read_text())
    assert {entry["picture"] for entry in entries} == {path.name for path in folder.glob("*.jpg")}
    return [entry["source"] for entry in entries]


def test_the_least_certain_masks_come_first_also_of_earlier_runs(
    run: Run, photos: Path, shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "bad.jpg").write_bytes(b"broken")
    run(photos)
    rows = ledger(photos.with_name("photos-segmented"))
    del rows["bad.jpg"]
    expected = sorted(rows, key=lambda source: (rows[source]["confidence"], source))

    assert run(photos, review_dir=shown).skipped == 5
    assert listed(shown) == expected

    monkeypatch.setattr(review, "REVIEWED", 2)
    (photos / expected[0]).unlink()
    run(photos, review_dir=shown)
    assert listed(shown) == expected[1:3]
    with Image.open(shown / "review-001.jpg") as picture:
        assert picture.width > 3 * picture.height / 2


def test_a_picture_shows_photo_mask_and_person_on_a_checkerboard() -> None:
    photo = np.full((200, 100, 3), (200, 30, 30), np.uint8)
    mask = np.zeros((200, 100), np.uint8)
    mask[100:] = 255

    picture = side_by_side(photo, mask, "name " * 100)

    width = LONG_SIDE // 2
    assert picture.shape[1] == 3 * width + 4 * review.GAP
    parts = [
        picture[review.GAP : review.GAP + LONG_SIDE, start : start + width]
        for start in (review.GAP + number * (width + review.GAP) for number in range(3))
    ]
    assert (parts[0] == (200, 30, 30)).all()
    assert set(np.unique(parts[1][:200])) == {0}
    assert set(np.unique(parts[1][-200:])) == {255}
    board = checkerboard(height=LONG_SIDE, width=width)
    assert set(np.unique(board)) == {LIGHT, DARK}
    assert (parts[2][:200] == board[:200]).all()
    assert np.abs(parts[2][-200:].astype(int) - (200, 30, 30)).max() <= 2
    assert picture[LONG_SIDE + 2 * review.GAP :].min() < 128  # the caption


def test_shards_share_a_folder(run: Run, photos: Path, shown: Path) -> None:
    for index in (1, 2):
        run(photos, shard=f"{index}/2", review_dir=shown)

    names = [f"review.{index}-of-2.json" for index in (1, 2)]
    entries = [entry for name in names for entry in json.loads((shown / name).read_text())]
    assert len({entry["source"] for entry in entries}) == 5
    assert {entry["picture"] for entry in entries} == {path.name for path in shown.glob("*.jpg")}


@pytest.mark.parametrize("where", ["photos", "photos/below", "out/masks/x", "out/composites"])
def test_a_folder_among_photos_or_results_is_refused(
    run: Run, photos: Path, tmp_path: Path, where: str
) -> None:
    with pytest.raises(InputError, match="--review-dir"):
        run(photos, out=tmp_path / "out", review_dir=tmp_path / where)
    assert not (tmp_path / "out").exists()


def test_a_folder_whose_pictures_a_pattern_would_name_is_refused(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--review-dir"):
        run(tmp_path / "*/*.png", out=tmp_path / "a/out", review_dir=tmp_path / "b")
    with pytest.raises(InputError, match="--review-dir"):
        run(photos / "0.png", review_dir=photos)


def test_a_dry_run_writes_none(run: Run, photos: Path, shown: Path) -> None:
    run(photos, review_dir=shown, dry_run=True)

    assert not shown.exists()


def test_a_folder_that_cannot_be_made_ends_the_run_before_the_work(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BanetError, match=r"--review-dir .*cannot be written"):
        run(photos, review_dir=tmp_path / "file")

    assert not (photos.with_name("photos-segmented") / "results.jsonl").exists()


@pytest.fixture
def vast(run: Run, tmp_path: Path, write_photo: WritePhoto) -> Review:
    """A review of one small photo, and one of 36 megapixels, which is less certain."""
    folder, out = tmp_path / "vast", tmp_path / "vast-out"
    write_photo(folder / "small.jpg", width=64, height=48)
    write_photo(folder / "vast.jpg", width=6000, height=6000)
    run(folder, out=out, composite="none")
    shown = tmp_path / "review"
    shown.mkdir()
    return Review(folder=shown, root=folder, out=out, shard=None, max_memory=None)


def test_what_max_memory_has_no_room_for_is_left_out_and_said(
    vast: Review, caplog: pytest.LogCaptureFixture
) -> None:
    give_freed_memory_back()
    limited = replace(vast, max_memory=resident_memory() + 50_000_000)

    limited.write(partial(ledger_rows, vast.out / "results.jsonl"), SilentProgress())

    assert listed(limited.folder) == ["small.jpg"]
    assert "1 uncertain masks of large photos are not shown" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count otherwise")
def test_a_large_mask_takes_little_more_memory_than_to_make_it(vast: Review) -> None:
    give_freed_memory_back()
    before = resident_memory()
    forget_process_peak(torch.device("cpu"))

    vast.write(partial(ledger_rows, vast.out / "results.jsonl"), SilentProgress())

    assert set(listed(vast.folder)) == {"small.jpg", "vast.jpg"}
    peak = process_peak(torch.device("cpu"))
    assert peak is not None
    assert peak - before < 4 * 6000 * 6000


def test_many_rows_are_ordered_with_few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "ROWS_AT_ONCE", 4)
    doubts = np.random.default_rng(0).integers(0, 10, 50) / 10
    rows = [
        LedgerRow(
            source=f"{number:02}.jpg",
            status="ok",
            mask="m.png",
            confidence=float(doubt),
            seconds=0.1,
            fingerprint="f",
        )
        for number, doubt in enumerate(doubts)
    ]

    ordered = list(review.least_certain(lambda: rows))

    assert ordered == sorted(rows, key=lambda row: (row.confidence, row.source))


def test_names_that_are_no_text_are_shown_all_the_same(
    run: Run, tmp_path: Path, shown: Path, write_photo: WritePhoto
) -> None:
    folder = tmp_path / "odd"
    path = write_photo(folder / "a.png")
    try:
        path.rename(folder / "\udcff 人.png")
    except OSError as error:
        if error.errno != errno.EILSEQ:
            raise
        pytest.skip(
            "the file system of the temporary folder refuses names that are not UTF-8, as that of "
            "macOS does, so that no photo there can have one"
        )

    run(folder, review_dir=shown)

    assert listed(shown) == ["\udcff 人.png"]

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from figures import draw_portrait
from PIL import Image

from pipelines.boundary import boundary_target
from pipelines.errors import BanetError, ConfigError, InputError, LockedError, StoreError
from pipelines.examine import split_of
from pipelines.locks import exclusive
from pipelines.prepare import PrepareOptions, prepare, report_path
from pipelines.store import open_store

HASHES = [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(1, 2001)]


def options(source: Path, dataset: Path, **changes: object) -> PrepareOptions:
    defaults: dict[str, object] = {"size": 64, "workers": 0}
    return PrepareOptions(source=source, dataset=dataset, **{**defaults, **changes})


def report(dataset: Path) -> dict[str, dict[str, object]]:
    lines = report_path(dataset).read_text().splitlines()
    return {row["name"]: row for row in map(json.loads, lines)}


@pytest.fixture
def copied(pairs_folder: Path, tmp_path: Path) -> Path:
    """A copy of the clean dataset that a test may damage."""
    return Path(shutil.copytree(pairs_folder, tmp_path / "copied"))


def test_store_holds_what_the_design_promises(prepared: Path) -> None:
    group = zarr.open_group(prepared, mode="r")
    found = {name: (array.shape[1:], str(array.dtype)) for name, array in group.arrays()}
    assert found == {
        "image": ((64, 64, 3), "uint8"),
        "mask": ((64, 64), "uint8"),
        "boundary": ((64, 64), "uint8"),
        "kernel_size": ((), "uint16"),
        "valid": ((4,), "int16"),
        "split": ((), "uint8"),
        "name": ((), "StringDType()"),
        "sha256": ((), "StringDType()"),
    }
    assert group["image"].chunks == (1, 64, 64, 3)
    assert group["image"].metadata.dimension_names == ("sample", "y", "x", "channel")
    assert group.attrs["schema_version"] == 1
    assert group.attrs["canonical_width"] == 50.0


def test_stored_sample_is_the_letterboxed_pair(prepared: Path) -> None:
    group = zarr.open_group(prepared, mode="r")
    name, cropped, cropped_mask = next(open_store(prepared).photos([5]))
    photo, mask = draw_portrait(int(name))
    assert group["valid"][5].tolist() == [0, 8, 64, 48]  # 120 x 90 in a frame of 64
    assert not group["image"][5, :, :8].any()
    assert not group["mask"][5, :, 56:].any()
    assert cropped.shape == (64, 48, 3)
    assert cropped.mean() == pytest.approx(photo.mean(), abs=2)
    assert cropped_mask.mean() == pytest.approx(mask.mean(), abs=2)
    target, kernel_size = boundary_target(cropped_mask, canonical_width=50 * 64 / 512)
    assert np.array_equal(group["boundary"][5, :, 8:56], target)
    assert group["kernel_size"][5] == kernel_size


def test_every_pfcn_name_is_accounted_for(pfcn_folder: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "out.zarr"
    summary = prepare(options(pfcn_folder, dataset))
    counts = (summary.stored, summary.duplicates, summary.missing, summary.failed)
    assert counts == (2, 1, 2, 0)
    assert summary.discovered == sum(counts) == 5
    assert summary.exit_code == 0
    rows = report(dataset)
    assert rows["00003"]["status"] == "duplicate"
    assert rows["00003"]["reason"] == "same photo as 00001"
    assert rows["00004"]["status"] == "missing"
    assert "00004.jpg does not exist" in str(rows["00004"]["reason"])
    assert rows["00002"]["split"] == "test"


def test_bad_pairs_are_reported_with_their_reason_and_the_rest_is_stored(
    copied: Path, tmp_path: Path
) -> None:
    images, masks = copied / "images", copied / "masks"
    (images / "00.png").write_bytes(b"")
    (images / "01.png").write_bytes((images / "02.png").read_bytes()[:900])
    (images / "03.png").write_text("I am no picture")
    Image.new("L", (50, 40)).save(masks / "04.png")
    Image.fromarray(np.full((120, 90), 7, np.uint8)).save(masks / "05.png")
    (masks / "06.png").unlink()
    (images / "07.png").unlink()
    dataset = tmp_path / "out.zarr"
    summary = prepare(options(copied, dataset))
    assert (summary.stored, summary.missing, summary.failed) == (17, 2, 5)
    assert summary.discovered == 24
    assert summary.exit_code == 3
    reasons = {name: str(row["reason"]) for name, row in report(dataset).items()}
    assert "00.png: empty file" in reasons["00"]
    assert "01.png: damaged image" in reasons["01"]
    assert "03.png: not an image" in reasons["03"]
    assert "04.png: 50 x 40 pixels, but its photo has 90 x 120" in reasons["04"]
    assert "05.png: mask values 7 are neither" in reasons["05"]
    assert "masks/06.png does not exist" in reasons["06"]
    assert "does not exist" in reasons["07"]
    assert len(open_store(dataset)) == 17


def test_file_names_of_other_encodings_and_unreadable_files_fail_alone(
    copied: Path, tmp_path: Path
) -> None:
    for folder in ("images", "masks"):
        path = copied / folder / "00.png"
        path.rename(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.png"))
    dataset = tmp_path / "out.zarr"
    summary = prepare(options(copied, dataset))
    assert (summary.stored, summary.failed) == (23, 1)
    assert any("not valid UTF-8" in str(row["reason"]) for row in report(dataset).values())


def test_photo_of_the_test_list_keeps_its_copies_out_of_training(
    pfcn_folder: Path, tmp_path: Path
) -> None:
    photos, masks = pfcn_folder / "images_data_crop", pfcn_folder / "images_mask"
    shutil.copy(photos / "00001.jpg", photos / "00002.jpg")
    shutil.copy(masks / "00001_mask.mat", masks / "00002_mask.mat")
    dataset = tmp_path / "out.zarr"
    summary = prepare(options(pfcn_folder, dataset))
    assert (summary.stored, summary.duplicates) == (1, 2)
    assert summary.splits == {"train": 0, "val": 0, "test": 1}


def test_second_run_at_the_same_time_is_refused(pairs_folder: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "out.zarr"
    with (
        exclusive(tmp_path / ".out.zarr.lock", place=dataset),
        pytest.raises(LockedError, match=r"out\.zarr: another run of banet is writing there"),
    ):
        prepare(options(pairs_folder, dataset))
    assert prepare(options(pairs_folder, dataset)).stored == 24


def test_what_a_killed_run_left_aside_is_swept(pairs_folder: Path, tmp_path: Path) -> None:
    leftover = tmp_path / ".out.zarr.partial"
    (leftover / "store-0123" / "image").mkdir(parents=True)
    prepare(options(pairs_folder, tmp_path / "out.zarr"))
    assert not leftover.exists()


def test_empty_masks_are_stored_and_said(
    copied: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Image.new("L", (90, 120)).save(copied / "masks" / "03.png")
    summary = prepare(options(copied, tmp_path / "out.zarr"))
    assert summary.stored == 24
    assert summary.findings == {"empty-mask": 1}
    assert "the doctor found: 1 empty-mask" in caplog.text


def test_parallel_and_synchronous_runs_write_the_same_bytes(
    copied: Path, tmp_path: Path, write_pairs_to: Callable[[Path, int], None]
) -> None:
    write_pairs_to(copied, 70)  # more than one shard
    stores = [tmp_path / f"{workers}.zarr" for workers in (0, 2)]
    for workers, dataset in zip((0, 2), stores, strict=True):
        prepare(options(copied, dataset, workers=workers))
    files = [
        {path.relative_to(store): path.read_bytes() for path in store.rglob("*") if path.is_file()}
        for store in stores
    ]
    assert files[0] == files[1]
    assert (stores[0] / "image" / "c" / "1" / "0" / "0" / "0").is_file()


def test_second_run_leaves_the_store_alone(pairs_folder: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "out.zarr"
    first = prepare(options(pairs_folder, dataset))
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    second = prepare(options(pairs_folder, dataset))
    assert second.stored == first.stored == 24
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before


def test_other_options_need_force(pairs_folder: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "out.zarr"
    prepare(options(pairs_folder, dataset))
    with pytest.raises(StoreError, match=r"other options; add --force"):
        prepare(options(pairs_folder, dataset, size=32))
    assert open_store(dataset).attributes["size"] == 64
    prepare(options(pairs_folder, dataset, size=32, force=True))
    assert open_store(dataset).attributes["size"] == 32


def test_folder_of_somebody_else_is_never_replaced(pairs_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.zarr").mkdir()
    (tmp_path / "precious.zarr" / "file").write_text("mine")
    with pytest.raises(StoreError, match="exists and is no dataset of banet's"):
        prepare(options(pairs_folder, tmp_path / "precious.zarr", force=True))
    assert (tmp_path / "precious.zarr" / "file").read_text() == "mine"


def test_check_writes_nothing(pairs_folder: Path, tmp_path: Path) -> None:
    summary = prepare(options(pairs_folder, tmp_path / "out.zarr", check=True))
    assert summary.stored == 24
    assert list(tmp_path.iterdir()) == []


def test_missing_chunks_are_noticed_and_mended_with_force(
    pairs_folder: Path, tmp_path: Path
) -> None:
    dataset = tmp_path / "out.zarr"
    prepare(options(pairs_folder, dataset))
    (dataset / "mask" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(StoreError, match=r"damaged, mask is not complete.*--force"):
        prepare(options(pairs_folder, dataset))
    prepare(options(pairs_folder, dataset, force=True))
    shard = dataset / "image" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-5000])
    with pytest.raises(StoreError, match="'image' is damaged"):
        list(open_store(dataset).photos([0, 1]))


def test_too_many_failures_write_nothing(copied: Path, tmp_path: Path) -> None:
    for number in range(3):
        (copied / "images" / f"{number:02d}.png").write_bytes(b"")
    dataset = tmp_path / "out.zarr"
    with pytest.raises(BanetError, match=r"3 pairs failed, --max-failures allows 2"):
        prepare(options(copied, dataset, max_failures=2))
    assert not dataset.exists()
    assert prepare(options(copied, dataset, max_failures=3)).failed == 3


def test_dataset_of_nothing_but_failures_is_an_error(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / "a.png").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"none of 1 pairs can be stored"):
        prepare(options(tmp_path / "in", tmp_path / "out.zarr"))
    assert not (tmp_path / "out.zarr").exists()


def test_crop_shares_the_split_of_its_photo(pairs_folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "index.csv"
    rows = "".join(f'{number:02d},"5,0,80,70"\n' for number in range(24))
    table.write_text("stem,upper_crop\n" + rows)
    dataset = tmp_path / "out.zarr"
    summary = prepare(options(pairs_folder, dataset, crops=table, split=(0.5, 0.5, 0)))
    assert summary.stored == 48
    splits = {name: row["split"] for name, row in report(dataset).items()}
    assert all(splits[name] == splits[name.partition("#")[0]] for name in splits)
    assert set(splits.values()) == {"train", "val"}


@pytest.mark.parametrize(
    ("fit", "valid"),
    [("letterbox", (0, 8, 64, 48)), ("stretch", (0, 0, 64, 64)), ("crop", (0, 0, 64, 64))],
)
def test_fits(
    pairs_folder: Path, tmp_path: Path, fit: str, valid: tuple[int, int, int, int]
) -> None:
    dataset = tmp_path / "out.zarr"
    prepare(options(pairs_folder, dataset, fit=fit))
    assert zarr.open_group(dataset, mode="r")["valid"][0].tolist() == list(valid)


def test_split_follows_the_shares() -> None:
    counts = Counter(split_of(sha, (0.8, 0.1, 0.1), None) for sha in HASHES)
    assert counts["train"] / len(HASHES) == pytest.approx(0.8, abs=0.03)
    assert counts["val"] / len(HASHES) == pytest.approx(0.1, abs=0.03)


def test_list_of_the_dataset_wins_over_the_shares() -> None:
    assert {split_of(sha, (0.8, 0.1, 0.1), "test") for sha in HASHES} == {"test"}
    counts = Counter(split_of(sha, (0.8, 0.1, 0.1), "train") for sha in HASHES)
    assert counts["test"] == 0
    assert counts["val"] / len(HASHES) == pytest.approx(1 / 9, abs=0.03)


def test_all_mistakes_are_named_together() -> None:
    with pytest.raises(ConfigError) as error:
        PrepareOptions(
            source=Path("a"), dataset=Path("b"), size=3, split=(0.5, 0.1, 0.1), canny=(9, 1)
        )
    message = str(error.value)
    assert all(part in message for part in ("--size 3", "--split 0.5,0.1,0.1", "--canny 9,1"))


def test_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        prepare(options(tmp_path / "nowhere", tmp_path / "out.zarr"))

"""What the doctor says of whole datasets, and what becomes of the splits."""

import json
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import symmetric_face, write_landmarks
from faults import write_clean
from permissions import closed
from PIL import Image

from pipelines.doctor.findings import KINDS, Finding
from pipelines.doctor.fingerprint import LENGTH
from pipelines.doctor.near_duplicates import BLOCK, find_near_duplicates
from pipelines.errors import ConfigError
from pipelines.examine import ReportRow
from pipelines.prepare import PrepareOptions, prepare, report_path
from pipelines.preview import write_preview
from pipelines.progress import SilentProgress
from pipelines.sources import discover_samples

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "doctor.md"


def options(source: Path, dataset: Path, **changes: object) -> PrepareOptions:
    defaults: dict[str, object] = {"size": 64, "workers": 0}
    return PrepareOptions(source=source, dataset=dataset, **{**defaults, **changes})


def found_by(source: Path, **changes: object) -> list[tuple[str, str]]:
    settings = options(source, source / "out.zarr", check=True, **changes)
    return [(name, finding.kind) for name, finding in prepare(settings).found()]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    write_clean(tmp_path / "people")
    return tmp_path / "people"


def recompress(folder: Path, source: str, target: str) -> None:
    """Save a photo again, so that its content is another and its looks are not."""
    with Image.open(folder / source) as photo:
        photo.save(folder / target, quality=70)


def test_near_duplicate_of_a_test_photo_leaves_training(pfcn_folder: Path, tmp_path: Path) -> None:
    recompress(pfcn_folder / "images_data_crop", "00002.jpg", "00004.jpg")
    masks = pfcn_folder / "images_mask"
    shutil.copy(masks / "00002_mask.mat", masks / "00004_mask.mat")
    dataset = tmp_path / "out.zarr"
    summary = prepare(options(pfcn_folder, dataset))
    assert summary.findings["near-duplicate"] == summary.findings["duplicate-across-splits"] == 1
    rows = map(json.loads, report_path(dataset).read_text().splitlines())
    splits = {row["name"]: row["split"] for row in rows if row["status"] == "stored"}
    assert splits == {"00001": splits["00001"], "00002": "test", "00004": "test"}


def test_series_of_near_duplicates_shares_a_split(clean: Path, tmp_path: Path) -> None:
    for number in range(20):
        with Image.open(clean / "images" / "00.png") as photo:
            photo.save(clean / "images" / f"a{number}.jpg", quality=95 - 2 * number)
        shutil.copy(clean / "masks" / "00.png", clean / "masks" / f"a{number}.png")
    summary = prepare(options(clean, tmp_path / "out.zarr", split=(0.4, 0.3, 0.3)))
    assert summary.findings == {"near-duplicate": 20}
    lines = report_path(tmp_path / "out.zarr").read_text().splitlines()
    splits = {row["name"]: row["split"] for row in map(json.loads, lines)}
    assert len({splits[name] for name in splits if name == "00" or name.startswith("a")}) == 1
    assert len(set(splits.values())) == 3


def test_landmarks_beside_the_mask_and_damaged_ones_are_found(pfcn_folder: Path) -> None:
    write_landmarks(pfcn_folder, 47, symmetric_face(45, 36))
    write_landmarks(pfcn_folder, 1, symmetric_face(10, 12, size=8))
    (pfcn_folder / "images_tracker" / "00002.mat").write_bytes(b"x")
    found = found_by(pfcn_folder)
    assert ("00001", "face-outside-mask") in found
    assert ("00002", "landmarks-unreadable") in found


def test_box_that_leaves_its_photo_is_found(clean: Path, tmp_path: Path) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text('stem,upper_crop\n03,"0,0,500,20"\n')
    assert found_by(clean, crops=table) == [("03#upper_crop", "crop-outside")]


def test_report_lists_findings_and_no_measurements(clean: Path, tmp_path: Path) -> None:
    Image.new("L", (180, 240)).save(clean / "masks" / "05.png")
    prepare(options(clean, tmp_path / "out.zarr"))
    lines = report_path(tmp_path / "out.zarr").read_text().splitlines()
    row = next(row for row in map(json.loads, lines) if row["name"] == "05")
    assert [finding["kind"] for finding in row["findings"]] == ["empty-mask"]
    assert "traits" not in row


def test_every_pair_of_many_photos_is_compared() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(-100, 100, (2 * BLOCK + 100, LENGTH), np.int8)
    numbers[-1] = numbers[3]
    numbers[BLOCK + 5] = numbers[BLOCK - 5]
    prints = [each.tobytes() for each in numbers]
    prints[7] = b""
    found = find_near_duplicates(prints)
    assert [(each.first, each.second) for each in found.twins] == [
        (BLOCK - 5, BLOCK + 5),
        (3, len(prints) - 1),
    ]
    assert found.firsts[-1] == 3
    assert found.firsts[7] == 7


def test_film_of_equal_frames_is_linked_to_its_first_in_little_memory() -> None:
    frames = [np.arange(LENGTH, dtype=np.int8).tobytes()] * (BLOCK + 50)
    found = find_near_duplicates(frames)
    assert set(found.firsts) == {0}
    assert len(found.twins) == len(frames) - 1


def test_preview_shows_samples_and_findings_and_nothing_of_earlier_ones(
    clean: Path, tmp_path: Path
) -> None:
    (clean / "images" / "02.png").write_bytes(b"x")
    Image.new("L", (180, 240)).save(clean / "masks" / "05.png")
    folder = tmp_path / "sheets"
    settings = options(clean, tmp_path / "out.zarr", check=True, preview=folder)
    prepare(settings)
    names = {"samples.jpg", "photo-unreadable.jpg", "empty-mask.jpg"}
    assert {path.name for path in folder.iterdir()} == names
    with Image.open(folder / "samples.jpg") as sheet:
        assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 1000
    assert not (tmp_path / "out.zarr").exists()
    shutil.copy(clean / "images" / "01.png", clean / "images" / "02.png")
    prepare(settings)
    assert not (folder / "photo-unreadable.jpg").exists()


def test_preview_inside_of_the_dataset_is_refused(clean: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lies inside of the source"):
        prepare(options(clean, tmp_path / "out.zarr", preview=clean / "images" / "sheets"))
    table = clean / "annotations" / "people.json"
    table.parent.mkdir()
    table.write_text("{}")
    with pytest.raises(ConfigError, match="lies inside of the source"):
        prepare(options(table, tmp_path / "out.zarr", preview=clean / "sheets"))


def test_preview_of_large_photos_takes_little_memory(clean: Path, tmp_path: Path) -> None:
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (24, 18, 3), np.uint8)
        large = Image.fromarray(noise).resize((1800, 2400))
        large.save(clean / "images" / f"{number:02}.png", compress_level=1)
        Image.new("L", (1800, 2400)).save(clean / "masks" / f"{number:02}.png")
    settings = options(clean, tmp_path / "out.zarr", check=True, preview=tmp_path / "sheets")
    listed = discover_samples(clean)[1][:6]
    row = ReportRow(name="", status="failed", photo="", mask="")
    rows = [replace(row, findings=(Finding("empty-mask", ""),))] * 6
    (tmp_path / "sheets").mkdir()
    tracemalloc.start()
    write_preview(listed, rows, settings, SilentProgress())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 70_000_000  # one of the pairs; six, stained, take 156 MB


def test_photo_that_may_not_be_read_is_out_of_reach(clean: Path) -> None:
    with closed(clean / "images" / "01.png"):
        assert ("01", "out-of-reach") in found_by(clean)


def test_document_has_every_kind() -> None:
    rows = [
        f"| `{name}` | {kind.severity} | {kind.meaning} | {kind.remedy} |"
        for name, kind in KINDS.items()
    ]
    table = DOCUMENT.read_text().partition("\n## ")[0]
    assert [line for line in table.splitlines() if line.startswith("| `")] == rows

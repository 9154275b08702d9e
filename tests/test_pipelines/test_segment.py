import json
import os
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from distributed import LocalCluster
from image_files import SRGB
from PIL import Image
from segment_results import counts, ledger, outputs, pixels

from pipelines.parallel import available_cores
from pipelines.run_workers import local_workers
from pipelines.segment import SegmentOptions, SegmentSummary, probe_device

Run = Callable[..., SegmentSummary]


SUMMARY_KEYS = {
    *("root", "discovered", "ok", "empty", "failed", "skipped", "exit_code", "device", "precision"),
    *("weights", "stages", "wall_seconds", "images_per_second", "versions"),
}


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a Dask cluster in processes of its own."""
    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


def test_every_photo_gets_a_mask_and_a_composite_in_a_mirrored_tree(run: Run, photos: Path) -> None:
    summary = run(photos)

    out = photos.with_name("photos-segmented")
    assert counts(summary) == (5, 0, 0, 0)
    assert summary.exit_code == 0
    names = {"0.png", "1.png", "2.png", "3.png", "below/portrait.png"}
    assert set(outputs(out)) == {f"{kind}/{n}" for kind in ("masks", "composites") for n in names}
    assert pixels(out / "masks/below/portrait.png").shape == (50, 30)
    assert pixels(out / "composites/0.png").shape == (40, 60, 4)
    assert np.array_equal(pixels(out / "composites/0.png")[..., 3], pixels(out / "masks/0.png"))


def test_the_ledger_describes_each_photo(run: Run, photos: Path) -> None:
    run(photos)

    row = ledger(photos.with_name("photos-segmented"))["below/portrait.jpg"]
    status = (photos / "below/portrait.jpg").stat()
    assert (row["size"], row["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
    assert (row["mask"], row["composite"]) == (
        "masks/below/portrait.png",
        "composites/below/portrait.png",
    )
    assert (row["width"], row["height"], row["status"], row["error"]) == (30, 50, "ok", None)
    assert 0 < row["coverage"] <= 1
    assert 0 <= row["confidence"] <= 1
    assert row["seconds"] > 0


def test_run_json_is_the_summary(run: Run, photos: Path) -> None:
    summary = run(photos)

    content = json.loads((photos.with_name("photos-segmented") / "run.json").read_text())
    assert set(content) >= SUMMARY_KEYS
    assert content["discovered"] == content["ok"] == 5
    assert (content["device"], content["precision"]) in {("cpu", "fp32"), ("cuda", "fp32")}
    assert {"decode", "shrink", "forward", "refine", "encode"} <= set(content["stages"])
    assert all(seconds >= 0 for seconds in content["stages"].values())
    assert content["weights"] == summary.weights
    assert json.loads(json.dumps(summary.as_json()))["ok"] == 5


def test_bad_photos_are_recorded_with_their_reason_and_the_rest_is_done(
    run: Run, photos: Path
) -> None:
    good = (photos / "0.png").read_bytes()
    (photos / "empty.jpg").touch()
    (photos / "text.jpg").write_text("no image")
    (photos / "cut.png").write_bytes(good[: len(good) // 2])
    (photos / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    (photos / "raw.cr2").write_bytes(b"II*\x00\x10\x00\x00\x00CR\x02\x00" + b"\x00" * 50)
    Image.new("RGB", (4, 4)).save(photos / "vast.bmp")
    header = (photos / "vast.bmp").read_bytes()
    vast = header[:18] + struct.pack("<2i", 90_000, 90_000) + header[26:]
    (photos / "vast.bmp").write_bytes(vast)

    summary = run(photos, photos / "nothing/../0.png")

    reasons = {failure.source: failure.error for failure in summary.failures}
    assert counts(summary) == (5, 0, 6, 0)
    assert summary.exit_code == 3
    for name, reason in {
        "empty.jpg": "empty file",
        "text.jpg": "not an image",
        "cut.png": "damaged image",
        "gone.jpg": "No such file",
        "raw.cr2": "convert it",
        "vast.bmp": "too large",
    }.items():
        assert reason in reasons[name]
    row = ledger(photos.with_name("photos-segmented"))["text.jpg"]
    assert (row["status"], row["mask"], row["composite"]) == ("failed", None, None)


def test_a_named_file_that_is_no_photo_fails_by_itself(run: Run, photos: Path) -> None:
    (photos / "notes.txt").write_text("no image")

    summary = run(photos / "notes.txt", photos / "0.png")

    assert counts(summary) == (1, 0, 1, 0)


def test_namesakes_do_not_overwrite_each_other_now_or_later(
    run: Run, photos: Path, write_photo: Callable[..., Path]
) -> None:
    out = photos.with_name("photos-segmented")
    write_photo(photos / "0.webp", width=20, height=20)
    run(photos)
    write_photo(photos / "0.bmp", width=10, height=10)

    summary = run(photos)

    assert counts(summary) == (1, 0, 0, 6)
    masks = {source: row["mask"] for source, row in ledger(out).items() if source[0] == "0"}
    assert masks == {
        "0.png": "masks/0.png",
        "0.webp": "masks/0.webp.png",
        "0.bmp": "masks/0.bmp.png",
    }
    assert pixels(out / masks["0.bmp"]).shape == (10, 10)
    assert pixels(out / masks["0.webp"]).shape == (20, 20)


def test_without_a_person_the_mask_is_black_and_there_is_no_composite(
    run: Run, photos: Path
) -> None:
    out = photos.with_name("photos-segmented")
    run(photos)

    summary = run(photos, threshold=0.9999)

    assert counts(summary) == (0, 5, 0, 0)
    assert not pixels(out / "masks/0.png").any()
    assert not (out / "composites/0.png").exists()
    assert ledger(out)["0.png"]["composite"] is None
    assert counts(run(photos, threshold=0.9999)) == (0, 0, 0, 5)


def test_names_that_are_no_valid_text_are_segmented_and_remembered(
    run: Run, tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    photo = write_photo(tmp_path / "in/a.png")
    photo.rename(photo.with_name(os.fsdecode(b"\xff\xfe.png")))

    assert counts(run(tmp_path / "in")) == (1, 0, 0, 0)
    assert counts(run(tmp_path / "in")) == (0, 0, 0, 1)


def test_binary_masks_have_two_values_split_at_the_threshold(run: Run, photos: Path) -> None:
    out = photos.with_name("photos-segmented")
    run(photos, threshold=0.56)
    soft = pixels(out / "masks/0.png").astype(float)
    run(photos, threshold=0.56, mask="binary")

    binary = pixels(out / "masks/0.png")
    assert set(np.unique(binary)) == {0, 255}
    probability = soft / 255 * 0.96 + 0.02
    clear = np.abs(probability - 0.56) > 0.01
    assert np.array_equal((binary == 255)[clear], (probability > 0.56)[clear])


@pytest.mark.parametrize(
    ("options", "extension", "channels"),
    [
        ({"composite": "color", "composite_format": "jpg"}, "jpg", 3),
        ({"composite": "color", "background": "#123456"}, "png", 3),
        ({"composite": "blur", "composite_format": "webp"}, "webp", 3),
        ({"composite": "transparent", "composite_format": "webp"}, "webp", 4),
    ],
)
def test_every_kind_of_composite_is_written(
    run: Run, photos: Path, options: dict[str, str], extension: str, channels: int
) -> None:
    run(photos / "0.png", **options)

    picture = pixels(photos.with_name("photos-segmented") / f"composites/0.{extension}")
    assert picture.shape == (40, 60, channels)


@pytest.mark.parametrize("composite", ["none", "transparent"])
def test_refining_is_told_and_can_be_left_out(run: Run, photos: Path, composite: str) -> None:
    mask = photos.with_name("photos-segmented") / "masks/0.png"
    refined = run(photos, composite=composite)
    with_refining = pixels(mask)
    plain = run(photos, composite=composite, refine=False)

    assert "refine" in refined.stages
    assert "refine" not in plain.stages
    assert not np.array_equal(pixels(mask), with_refining)


def test_masks_alone_come_without_composites(run: Run, photos: Path) -> None:
    run(photos, composite="none")

    assert not any(
        name.startswith("composites") for name in outputs(photos.with_name("photos-segmented"))
    )


def test_a_large_jpeg_gets_a_mask_of_its_own_size_from_a_reduced_decoding(
    run: Run, tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    photo = write_photo(tmp_path / "in/large.jpg", width=801, height=603)
    run(photo, out=tmp_path / "full")
    run(photo, out=tmp_path / "reduced", composite="none")

    full = pixels(tmp_path / "full/masks/large.png").astype(int)
    reduced = pixels(tmp_path / "reduced/masks/large.png").astype(int)
    assert full.shape == reduced.shape == (603, 801)
    assert np.abs(full - reduced).mean() < 2


def test_rotated_photos_give_upright_results_with_their_profile(run: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    Image.new("RGB", (60, 40), "red").save(tmp_path / "in/a.jpg", exif=exif, icc_profile=SRGB)

    run(tmp_path / "in")

    with Image.open(tmp_path / "in-segmented/composites/a.png") as composite:
        assert composite.size == (40, 60)
        assert composite.info["icc_profile"] == SRGB
        assert 0x0112 not in composite.getexif()


def test_masks_do_not_depend_on_the_number_of_workers_or_where_they_are(
    run: Run, photos: Path, tmp_path: Path, scheduler: str
) -> None:
    run(photos, out=tmp_path / "0")
    run(photos, out=tmp_path / "1", workers=1)
    run(photos, out=tmp_path / "3", workers=3)
    summary = run(photos, out=tmp_path / "remote", scheduler=scheduler)

    assert counts(summary) == (5, 0, 0, 0)
    assert summary.device in {"cpu", "cuda"}
    expected = outputs(tmp_path / "0")
    for name in ("1", "3", "remote"):
        assert set(outputs(tmp_path / name)) == set(expected)
        for mask in (path for path in expected if path.startswith("masks/")):
            difference = pixels(tmp_path / name / mask).astype(int) - pixels(tmp_path / "0" / mask)
            assert np.abs(difference).max() <= 1


def test_several_gpus_are_no_secret(
    photos: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)

    def probe(*devices: str, **options: Any) -> list[str]:
        caplog.clear()
        with caplog.at_level("INFO", "pipelines"):
            for device in devices:
                probe_device(
                    SegmentOptions(inputs=(photos,), device=device, precision="fp32", **options)
                )
        return caplog.messages

    monkeypatch.setitem(sys.modules, "dask_cuda", None)
    assert len(probe("auto", "cuda", "cuda:1")) == 2
    assert caplog.messages[0].startswith("4 CUDA devices, using cuda:0")
    assert "the extra `cuda`" in caplog.messages[0]

    monkeypatch.setitem(sys.modules, "dask_cuda", ModuleType("dask_cuda"))
    assert len(probe("auto", "cuda", "cuda:1")) == 2
    assert caplog.messages[0].startswith("4 CUDA devices, a process for each")
    assert probe("cuda", workers=0)[0].startswith("4 CUDA devices, using cuda:0")


def test_on_a_gpu_as_many_workers_may_wait_as_there_are_cores(photos: Path) -> None:
    options = SegmentOptions(inputs=(photos,))
    assert local_workers(options, "cuda", photos=9, is_far=False) == 2 * available_cores()
    assert local_workers(options, "cpu", photos=None, is_far=False) == available_cores()
    assert local_workers(options, "cpu", photos=1, is_far=False) == 0
    assert local_workers(replace(options, workers=3), "cuda", photos=1, is_far=True) == 3
    assert (local_workers(options, "cpu", photos=9, is_far=True) or 0) > available_cores()


def test_answer_that_is_no_number_is_a_failure(run: Run, photos: Path, spoilt_weights: str) -> None:
    summary = run(photos, weights=spoilt_weights)
    assert (summary.failed, summary.empty, summary.exit_code) == (5, 0, 3)
    assert "the network's answer is not a number" in summary.failures[0].error


def test_a_missing_output_mount_of_a_photo_fails_only_that_photo(run: Run, photos: Path) -> None:
    out = photos.with_name("photos-segmented")
    (out / "masks").mkdir(parents=True)
    (out / "masks/below").write_text("in the way")

    summary = run(photos)

    assert counts(summary) == (4, 0, 1, 0)
    assert "cannot be written" in summary.failures[0].error

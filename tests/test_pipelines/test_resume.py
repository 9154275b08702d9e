import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deaths import begun
from segment_results import counts, ledger, outputs, pixels

from pipelines.errors import BanetError
from pipelines.progress import ReadFigures
from pipelines.segment import SegmentOptions, SegmentSummary, segment

Run = Callable[..., SegmentSummary]

KILLED_PHOTOS = 60
"""Enough for a run to be still busy when it is killed."""


def test_unchanged_photos_are_skipped(run: Run, photos: Path) -> None:
    run(photos)
    before = outputs(photos.with_name("photos-segmented"))

    summary = run(photos)

    assert counts(summary) == (0, 0, 0, 5)
    assert summary.exit_code == 0
    assert outputs(photos.with_name("photos-segmented")) == before


def test_a_touched_photo_is_skipped_and_a_changed_one_is_not(
    run: Run, photos: Path, write_photo: Callable[..., Path]
) -> None:
    run(photos)
    os.utime(photos / "0.png", (1, 1))
    write_photo(photos / "1.png", seed=99)

    assert counts(run(photos)) == (1, 0, 0, 4)
    assert counts(run(photos)) == (0, 0, 0, 5)


def test_a_missing_output_is_made_again(run: Run, photos: Path) -> None:
    run(photos)
    (photos.with_name("photos-segmented") / "composites/2.png").unlink()

    assert counts(run(photos)) == (1, 0, 0, 4)


def test_failed_photos_are_tried_again(run: Run, photos: Path) -> None:
    good = (photos / "0.png").read_bytes()
    (photos / "0.png").write_bytes(b"broken")
    assert counts(run(photos)) == (4, 0, 1, 0)
    assert counts(run(photos)) == (0, 0, 1, 4)

    (photos / "0.png").write_bytes(good)

    assert counts(run(photos)) == (1, 0, 0, 4)


def test_force_does_everything_again(run: Run, photos: Path) -> None:
    run(photos)

    assert counts(run(photos, force=True)) == (5, 0, 0, 0)


def test_other_options_in_the_same_folder_skip_only_what_they_did_themselves(
    run: Run, photos: Path
) -> None:
    run(photos)

    assert counts(run(photos / "0.png", photos / "1.png", mask="binary")) == (2, 0, 0, 0)
    assert counts(run(photos)) == (2, 0, 0, 3)
    assert counts(run(photos, mask="binary")) == (5, 0, 0, 0)
    assert counts(run(photos, mask="binary")) == (0, 0, 0, 5)
    assert counts(run(photos, mask="binary", refine=False)) == (5, 0, 0, 0)


def test_a_different_background_picture_of_the_same_name_counts_as_another_option(
    run: Run, photos: Path, tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    options = {"composite": "image", "background": str(tmp_path / "beach.png")}
    write_photo(tmp_path / "beach.png", seed=50)
    run(photos, **options)

    write_photo(tmp_path / "beach.png", seed=51)

    assert counts(run(photos, **options)) == (5, 0, 0, 0)


def test_a_dry_run_writes_nothing_and_says_what_there_is_to_do(run: Run, photos: Path) -> None:
    summary = run(photos, dry_run=True)

    assert (summary.pending, summary.discovered, summary.exit_code) == (5, 5, 0)
    assert not photos.with_name("photos-segmented").exists()


def test_an_interrupted_run_keeps_what_is_done_and_goes_on(run: Run, photos: Path) -> None:
    class Interrupt:
        def start(self, description: str, total: int | None, _figures: ReadFigures) -> None:
            assert (description, total) == ("Segmenting", 5)

        def advance(self, steps: int = 1, status: str = "") -> None:
            raise KeyboardInterrupt(steps, status)

        def finish(self) -> None:
            pytest.fail("the stage did not end")

    out = photos.with_name("photos-segmented")
    with pytest.raises(KeyboardInterrupt):
        run(photos, progress=Interrupt())

    assert len(ledger(out)) == 1
    content = json.loads((out / "run.json").read_text())
    assert (content["ok"], content["pending"], content["exit_code"]) == (1, 4, None)
    assert counts(run(photos)) == (4, 0, 0, 1)


def test_a_killed_run_loses_nothing_and_repeats_nothing(
    run: Run, tmp_path: Path, write_photo: Callable[..., Path], weights_file: str
) -> None:
    folder, out = tmp_path / "many", tmp_path / "killed"
    for index in range(KILLED_PHOTOS):
        write_photo(folder / f"{index:03}.png", width=400, height=300, seed=index)
    options = SegmentOptions(
        inputs=(folder,), out=out, weights=weights_file, workers=2, precision="fp32"
    )
    process = begun(segment, options)
    try:
        wait_until(lambda: rows_written(out) >= 4 or not process.is_alive())
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    finished = [source for source, row in ledger_of_killed(out).items() if row["status"] == "ok"]
    assert 4 <= len(finished) < KILLED_PHOTOS
    times = {name: (out / f"masks/{name[:3]}.png").stat().st_mtime_ns for name in finished}

    summary = run(folder, out=out)
    run(folder, out=tmp_path / "whole")

    assert summary.skipped == len(finished)
    assert times == {name: (out / f"masks/{name[:3]}.png").stat().st_mtime_ns for name in finished}
    killed, whole = outputs(out), outputs(tmp_path / "whole")
    assert set(killed) == set(whole)
    assert len(ledger(out)) == KILLED_PHOTOS
    for name in (name for name in whole if name.startswith("masks/")):
        difference = pixels(out / name).astype(int) - pixels(tmp_path / "whole" / name)
        assert np.abs(difference).max() <= 1


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rows_written(out: Path) -> int:
    path = out / "results.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def ledger_of_killed(out: Path) -> dict[str, dict[str, Any]]:
    lines = (out / "results.jsonl").read_bytes().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return {row["source"]: row for row in rows}


def test_too_many_failures_stop_the_run_and_keep_the_ledger(run: Run, photos: Path) -> None:
    for index in range(6):
        (photos / f"bad{index}.jpg").write_bytes(b"broken")

    with pytest.raises(BanetError, match="--max-failures allows 2"):
        run(photos, max_failures=2)

    assert len(ledger(photos.with_name("photos-segmented"))) >= 3
    assert run(photos, max_failures=6).exit_code == 3


def test_moved_input_and_output_go_on_together(run: Run, photos: Path, tmp_path: Path) -> None:
    run(photos)
    shutil.move(photos, tmp_path / "moved")
    shutil.move(photos.with_name("photos-segmented"), tmp_path / "moved-segmented")

    assert counts(run(tmp_path / "moved")) == (0, 0, 0, 5)

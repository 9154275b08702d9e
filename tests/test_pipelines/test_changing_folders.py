"""Folders that others change while a run lasts: nothing is lost, and nothing is taken for whole."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from acting_progress import At
from segment_results import counts, errors, ledger, outputs, pixels

from pipelines.errors import BanetError, InputError
from pipelines.segment import SegmentSummary
from pipelines.whole_files import read_bytes

Run = Callable[..., SegmentSummary]

WritePhoto = Callable[..., Path]


@pytest.fixture
def out(photos: Path) -> Path:
    return photos.with_name("photos-segmented")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
@pytest.mark.timeout(60)
def test_a_file_that_becomes_a_pipe_while_it_is_opened_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "file.jpg").write_bytes(b"content")
    file = (tmp_path / "file.jpg").stat()
    monkeypatch.setattr(Path, "stat", lambda _path: file)

    with pytest.raises(Exception, match="not a regular file"):
        read_bytes(tmp_path / "pipe.jpg")


def test_photos_and_folders_that_vanish_in_mid_run_are_failures(
    run: Run, photos: Path, out: Path
) -> None:
    def remove() -> None:
        (photos / "3.png").unlink()
        shutil.rmtree(photos / "below")

    # In order: 0, 1 | 2, 3 | below/portrait. The first two are done when the others go.
    summary = run(photos, progress=At(remove))

    assert summary.failed >= 1
    assert set(errors(summary)) <= {"3.png", "below/portrait.jpg"}
    assert "No such file" in str(errors(summary))
    assert sum(counts(summary)) == 5
    assert summary.exit_code == 3
    again = run(photos)
    assert (again.discovered, again.failed) == (3, 0)
    assert {row["mask"] for row in ledger(out).values() if row["status"] == "ok"} == {
        name for name in outputs(out) if name.startswith("masks/")
    }


def test_a_photo_that_grows_while_it_is_read_is_not_taken_for_whole(
    run: Run, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = photos / "0.png"
    changing = iter([True])
    fstat = os.fstat

    def grow(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        is_target = status.st_ino == target.stat().st_ino
        if is_target and next(changing, False):
            with target.open("ab") as file:
                file.write(b"more")
        return status

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", grow)
        summary = run(photos)

    assert "changed while it was being read" in errors(summary)["0.png"]
    assert not (out / "masks/0.png").exists()
    assert counts(run(photos)) == (1, 0, 0, 4)


def test_the_hash_is_of_what_was_segmented_when_a_photo_is_replaced_in_mid_run(
    run: Run, photos: Path, out: Path, write_photo: WritePhoto, tmp_path: Path
) -> None:
    import hashlib

    new = write_photo(tmp_path / "new.png", width=70, height=44, seed=9)
    content = new.read_bytes()
    (photos / "3.png").unlink()
    shutil.copy(photos / "0.png", photos / "3.png")

    run(photos, progress=At(lambda: new.replace(photos / "below/portrait.jpg")))

    row = ledger(out)["below/portrait.jpg"]
    assert (row["sha256"], row["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert pixels(out / row["mask"]).shape == (44, 70)


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps open files from being deleted")
@pytest.mark.parametrize("workers", [0, 2])
def test_an_output_folder_that_is_removed_in_mid_run_ends_the_run_and_the_next_makes_it_whole(
    run: Run, photos: Path, out: Path, workers: int
) -> None:
    def remove() -> None:  # at once: the workers go on writing
        shutil.rmtree(out.rename(out.with_name("removed")))

    with pytest.raises(BanetError, match=r"results\.jsonl: was deleted .*same command again"):
        run(photos, progress=At(remove), workers=workers)

    run(photos)

    rows = ledger(out)
    assert set(rows) == {"0.png", "1.png", "2.png", "3.png", "below/portrait.jpg"}
    assert all((out / row["mask"]).is_file() for row in rows.values())


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps open files from being moved")
def test_an_output_folder_that_is_moved_away_at_the_end_is_told(
    run: Run, photos: Path, out: Path, tmp_path: Path
) -> None:
    with pytest.raises(BanetError, match=r"results\.jsonl: was deleted or replaced"):
        run(photos, progress=At(lambda: out.rename(tmp_path / "elsewhere"), done=5))


@pytest.mark.skipif(os.name == "nt", reason="Windows locks otherwise")
def test_results_are_not_lost_to_two_runs_that_start_at_the_same_moment(
    run: Run, photos: Path, out: Path
) -> None:
    outcomes: list[object] = []
    both = threading.Barrier(2)

    def start() -> None:
        both.wait()
        try:
            outcomes.append(run(photos).ok)
        except BanetError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(str, outcomes)) in (["5", "LockedError"], ["0", "5"])
    assert len(ledger(out)) == 5


def test_a_folder_that_vanishes_during_the_search_is_named(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Path.stat

    def stat_of(path: Path, **options: Any) -> os.stat_result:
        if path.name == "below":
            shutil.rmtree(photos / "below", ignore_errors=True)
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", stat_of)

    with pytest.raises(InputError, match=r"below: this folder cannot be read"):
        run(photos)

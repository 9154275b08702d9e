"""Watching: photos that come, change and go while a run lasts."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from segment_results import ledger

from pipelines.errors import BanetError, ConfigError, InputError
from pipelines.photo_tasks import BatchTask, PhotoTask
from pipelines.progress import ReadFigures
from pipelines.segment import SegmentSummary
from pipelines.segment_run import SegmentRun
from pipelines.watch_run import SettledFiles

Run = Callable[..., SegmentSummary]
WritePhoto = Callable[..., Path]
Steps = Generator[None, None, None]

STABLE = 0.05


@pytest.fixture
def out(photos: Path) -> Path:
    return photos.with_name("photos-segmented")


@pytest.fixture
def watch(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Watch while steps are taken: the next one after every look that found all settled."""

    def call(*inputs: Path, steps: Steps, **options: Any) -> None:
        looks = 0

        def pause(_seconds: float) -> None:
            nonlocal looks
            looks += 1
            time.sleep(2 * STABLE)
            if looks % 3 == 0 and next(steps, "end") == "end":
                raise KeyboardInterrupt

        monkeypatch.setattr("pipelines.watch_run.sleep", pause)
        with pytest.raises(KeyboardInterrupt):
            run(*inputs, watch=True, stable_seconds=STABLE, **options)

    return call


def run_file(out: Path) -> dict[str, Any]:
    content = json.loads((out / "run.json").read_text())
    parts = ("ok", "empty", "failed", "skipped", "pending")
    assert content["discovered"] == sum(content[part] for part in parts)
    return content


def counted(out: Path) -> tuple[int, ...]:
    content = run_file(out)
    return tuple(content[key] for key in ("ok", "failed", "skipped", "pending"))


def test_files_settle_when_they_have_not_changed_for_a_while(tmp_path: Path) -> None:
    now = 0.0
    settled = SettledFiles(5, clock=lambda: now)
    path = tmp_path / "a.jpg"
    path.write_bytes(b"1")
    os.utime(path, (1, 1))  # an old time, as of many copies, says nothing
    found = []
    for change in (b"", b"", b"2", b"", b"", b"gone", b"1", b"", b""):
        if change == b"gone":
            path.unlink()
        elif change:
            with path.open("ab") as file:
                file.write(change)
        found.append(list(settled.look(tmp_path, ["a.jpg", "missing.jpg"])))
        now += 3

    assert found == [[], [], [], [], ["a.jpg"], [], [], [], ["a.jpg"]]


def test_photos_are_taken_as_they_come_change_and_go(
    watch: Callable[..., None], photos: Path, out: Path, write_photo: WritePhoto
) -> None:
    def steps() -> Steps:
        assert counted(out) == (5, 0, 0, 0)
        write_photo(photos / "new/a.png", seed=7)
        (photos / "bad.jpg").write_bytes(b"broken")
        (photos / "1.png").unlink()
        yield
        assert counted(out) == (6, 1, 0, 0)
        assert run_file(out)["failures"][0]["source"] == "bad.jpg"
        tries.append((out / "results.jsonl").read_bytes().count(b"bad.jpg"))
        yield
        tries.append((out / "results.jsonl").read_bytes().count(b"bad.jpg"))
        write_photo(photos / "bad.jpg", seed=8)
        os.utime(photos / "0.png", (1, 1))
        write_photo(photos / "2.png", seed=9)
        yield
        assert counted(out) == (7, 0, 0, 0)
        assert run_file(out)["failures"] == []
        yield

    tries: list[int] = []
    watch(photos, steps=steps())

    assert tries == [1, 1]  # a failed photo is tried again only when it has changed
    assert {row["status"] for row in ledger(out).values()} == {"ok"}
    assert len(ledger(out)) == 7  # the photo that went keeps what was made of it
    assert (out / "masks/1.png").exists()


def test_what_earlier_runs_did_is_skipped(
    watch: Callable[..., None], run: Run, photos: Path, out: Path
) -> None:
    run(photos)

    def steps() -> Steps:
        assert counted(out) == (0, 0, 5, 0)
        yield

    watch(photos, steps=steps())
    assert run(photos).skipped == 5


def test_a_photo_that_starts_to_change_again_is_left_until_it_has_settled(
    run: Run, photos: Path, out: Path
) -> None:
    class Changing:
        done = 0

        def start(self, _description: str, _total: int | None, figures: ReadFigures) -> None:
            self.figures = figures

        def advance(self, steps: int = 1, status: str = "") -> None:
            assert (self.figures().failed, status) == (0, "")
            self.done += steps
            if self.done >= 2 and not whole:
                whole.append((photos / "3.png").read_bytes())
                (photos / "3.png").write_bytes(whole[0][:50])
            if self.done == 4:
                (photos / "3.png").write_bytes(whole[0])
            if self.done == 5:
                raise KeyboardInterrupt

        def finish(self) -> None:
            """End."""

    whole: list[bytes] = []
    with pytest.raises(KeyboardInterrupt):
        run(photos, watch=True, stable_seconds=0.5, progress=Changing())

    assert whole
    assert {row["status"] for row in ledger(out).values()} == {"ok"}
    assert counted(out) == (5, 0, 0, 0)


def test_nothing_needs_to_be_there_at_first_and_folders_may_go(
    watch: Callable[..., None],
    tmp_path: Path,
    write_photo: WritePhoto,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, out = tmp_path / "inbox", tmp_path / "out"
    folder.mkdir()

    def steps() -> Steps:
        write_photo(folder / "a.png", seed=1)
        yield
        assert counted(out) == (1, 0, 0, 0)
        folder.rename(tmp_path / "away")
        yield
        yield
        assert caplog.text.count("watching goes on without it") == 1
        (tmp_path / "away").rename(folder)
        write_photo(folder / "b.png", seed=2)
        yield
        assert counted(out) == (2, 0, 0, 0)

    watch(folder, out=out, steps=steps())


def test_a_new_link_to_the_results_ends_the_watch(
    run: Run, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.watch_run.sleep", lambda _: link())

    def link() -> None:
        if not (photos / "link").exists():
            (photos / "link").symlink_to(out)

    with pytest.raises(InputError, match="lies inside the input folder"):
        run(photos, watch=True, stable_seconds=STABLE)


def test_a_vanished_photo_is_no_row_and_its_earlier_results_stay(
    run: Run, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.photo_worker import segment_batch

    tasks: list[BatchTask] = []
    with monkeypatch.context() as patch:
        patch.setattr(SegmentRun, "_record", lambda *_: None)
        patch.setattr(
            "pipelines.segment_run.segment_batch",
            lambda task: tasks.append(task) or segment_batch(task),
        )
        run(photos / "0.png")
    settings = tasks[0].settings.__class__(**{**vars(tasks[0].settings), "watching": True})
    (photos / "0.png").unlink()

    result = segment_batch(
        BatchTask(photos=(PhotoTask(source="0.png", stem="0"),), settings=settings)
    )

    assert (result.rows, result.vanished) == ((), ("0.png",))
    assert (out / "masks/0.png").exists()


def test_too_many_failures_end_the_watch(run: Run, photos: Path) -> None:
    for index in range(3):
        (photos / f"bad{index}.jpg").write_bytes(b"broken")

    with pytest.raises(BanetError, match="--max-failures allows 2"):
        run(photos, watch=True, stable_seconds=STABLE, max_failures=2)


@pytest.mark.parametrize("options", [{"dry_run": True}, {"stable_seconds": 0}])
def test_what_makes_no_sense_is_refused(run: Run, photos: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"--watch|--stable-seconds"):
        run(photos, watch=True, **options)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_photo_is_taken_when_it_is_whole_and_a_signal_ends_the_watch(
    tmp_path: Path, write_photo: WritePhoto, weights_file: str, sent: signal.Signals, exit_code: int
) -> None:
    folder, out = tmp_path / "inbox", tmp_path / "out"
    folder.mkdir()
    whole = write_photo(tmp_path / "photo.png", width=200, height=300).read_bytes()
    options = ["--out", str(out), "--watch", "--stable-seconds", "2", "--weights", weights_file]
    with subprocess.Popen(
        [sys.executable, "-m", "banet_cli", "segment", str(folder), *options, "--json"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: process.poll() is not None or (out / "run.json").exists())
        with (folder / "slow.png").open("wb", buffering=0) as file:
            for start in range(0, len(whole), len(whole) // 8):
                file.write(whole[start : start + len(whole) // 8])
                assert not rows(out)
                time.sleep(0.2)
        wait_until(lambda: process.poll() is not None or len(rows(out)) == 1)
        process.send_signal(sent)
        stdout, messages = process.communicate()
    assert process.returncode == exit_code, messages
    assert stdout == ""
    assert re.search(r"interrupted; run the command again to complete it\n$", messages)
    assert "Traceback" not in messages
    assert [row["status"] for row in ledger(out).values()] == ["ok"]
    assert (counted(out), run_file(out)["exit_code"]) == ((1, 0, 0, 0), None)


def rows(out: Path) -> list[str]:
    path = out / "results.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)

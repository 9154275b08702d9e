"""Folders as nobody would make them on purpose: every photo is accounted for, none stops a run."""

import json
import os
import random
import shutil
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from segment_results import counts, ledger, outputs, pixels

from pipelines.errors import BanetError, InputError
from pipelines.segment import SegmentSummary
from pipelines.whole_files import read_bytes, write_atomically

Run = Callable[..., SegmentSummary]
WritePhoto = Callable[..., Path]

LONGEST_NAME = 255
"""Bytes of a name in the file systems of Linux, macOS and Windows."""


@pytest.fixture
def out(photos: Path) -> Path:
    return photos.with_name("photos-segmented")


class At:
    """Progress that does something once, when some photos are done."""

    def __init__(self, action: Callable[[], object], *, done: int = 1) -> None:
        self._action = action
        self._left = done

    def start(self, *_stage: object) -> None:
        """Begin."""

    def advance(self, steps: int = 1, _status: str = "") -> None:
        was_left, self._left = self._left, self._left - steps
        if was_left > 0 >= self._left:
            self._action()

    def finish(self) -> None:
        """End."""


def errors(summary: SegmentSummary) -> dict[str, str]:
    return {failure.source: failure.error for failure in summary.failures}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.timeout(60)  # who opens a pipe that nobody writes to waits for ever
def test_what_is_no_file_fails_by_its_name_and_the_rest_is_done(run: Run, photos: Path) -> None:
    (photos / "broken-link.jpg").symlink_to("nowhere.jpg")
    (photos / "circle.jpg").symlink_to("circle.jpg")
    (photos / "folder-link.jpg").symlink_to(".")
    os.mkfifo(photos / "pipe.jpg")
    (photos / "device.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(photos)  # addresses of sockets are short
        try:
            server.bind("socket.jpg")
        finally:
            os.chdir(here)

        summary = run(photos)

    assert counts(summary) == (5, 0, 5, 0)
    assert errors(summary) == {
        "broken-link.jpg": "cannot be read: No such file or directory",
        "circle.jpg": "cannot be read: Too many levels of symbolic links",
        "device.png": "not a regular file",
        "pipe.jpg": "not a regular file",
        "socket.jpg": "not a regular file",
    }


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


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
def test_names_of_any_kind_are_done_and_remembered(
    run: Run, photos: Path, write_photo: WritePhoto
) -> None:
    shutil.rmtree(photos)
    names = [
        "line\nfeed.png",
        "\x1b[31mred\x07\r.png",
        " .png",
        "-rf.png",
        "a'b\"c;$(d).png",
        "[x]*?.png",
        "\u202etxt.png",
        "e\u0301.png",
        "\u00e9.png",
        os.fsdecode(b"\xff\xfe.png"),
        "nul\x01.png",
        "masks/composites/results.jsonl.png",
    ]
    for seed, name in enumerate(names):
        write_photo(photos / name, seed=seed)

    assert counts(run(photos)) == (len(names), 0, 0, 0)
    rows = ledger(photos.with_name("photos-segmented"))
    assert set(rows) == set(names)
    assert len({row["mask"] for row in rows.values()}) == len(names)
    assert counts(run(photos)) == (0, 0, 0, len(names))


@pytest.mark.parametrize("composite_format", ["png", "webp"])
def test_names_as_long_as_the_file_system_takes_are_done(
    run: Run, photos: Path, out: Path, write_photo: WritePhoto, composite_format: str
) -> None:
    shutil.rmtree(photos)
    for extension in (".jpg", ".jpeg", ".png", ".bmp"):  # all want the same name
        write_photo(photos / ("n" * (LONGEST_NAME - len(extension)) + extension))
    write_photo(photos / ("ü" * ((LONGEST_NAME - 5) // 2) + "n.png"))

    summary = run(photos, composite_format=composite_format)

    assert errors(summary) == {}
    rows = ledger(out)
    assert len({row["mask"] for row in rows.values()}) == 5
    assert all(
        (out / row[kind]).is_file() for row in rows.values() for kind in ("mask", "composite")
    )
    assert run(photos, composite_format=composite_format).skipped == 5


@pytest.fixture
def deep_folder(photos: Path) -> Iterator[Path]:
    """A folder of photos with one 1200 folders below, relative to it."""
    here = Path.cwd()
    deep = Path(*["d"] * 1200)
    try:
        os.chdir(photos)
        for name in deep.parts:  # step by step: makedirs recurses
            Path(name).mkdir()
            os.chdir(name)
    finally:
        os.chdir(here)
    yield deep
    # rmtree recurses, too, and so does what pytest would remove the folders with.
    subprocess.run(["rm", "-rf", *photos.parent.iterdir()], check=True)  # noqa: S607


@pytest.mark.skipif(os.name == "nt", reason="Windows has no paths so long")
def test_folders_deeper_than_python_recurses_are_searched_and_mirrored(
    run: Run, photos: Path, out: Path, write_photo: WritePhoto, deep_folder: Path
) -> None:
    write_photo(photos / "0.png").rename(photos / deep_folder / "0.png")

    summary = run(photos)

    assert errors(summary) == {}
    assert counts(summary) == (5, 0, 0, 0)
    mask = out / "masks" / deep_folder / "0.png"
    (mask.parent / ".1.part").touch()
    (out / "run.json").write_text("{}")  # as if the run had been killed
    assert run(photos).skipped == 5
    assert [path.name for path in mask.parent.iterdir()] == ["0.png"]


def test_names_that_differ_in_case_alone_get_results_that_do_not(
    run: Run, photos: Path, out: Path, write_photo: WritePhoto
) -> None:
    for name in ("X.jpg", "x.JPG", "x.jpg"):
        write_photo(photos / "case" / name)
    run(photos / "case", out=out)

    masks = [row["mask"].casefold() for row in ledger(out).values()]
    assert len(set(masks)) == len(masks) == len(list((photos / "case").iterdir()))


def test_hard_links_are_photos_like_any_other(run: Run, photos: Path, out: Path) -> None:
    os.link(photos / "0.png", photos / "again.png")

    assert counts(run(photos)) == (6, 0, 0, 0)
    rows = ledger(out)
    assert rows["0.png"]["sha256"] == rows["again.png"]["sha256"]
    assert np.array_equal(pixels(out / "masks/0.png"), pixels(out / "masks/again.png"))


@pytest.mark.parametrize("moment", [-(10**9), 0, 2**33])
def test_no_time_of_a_file_confuses_later_runs(run: Run, photos: Path, moment: int) -> None:
    for path in photos.glob("*.png"):
        os.utime(path, (moment, moment))
    run(photos)

    assert run(photos).skipped == 5
    os.utime(photos / "0.png", (1, 1))
    assert run(photos).skipped == 5  # its content is what it was


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


def test_a_row_whose_size_is_wrong_is_put_right_without_doing_the_photo_again(
    run: Run, photos: Path, out: Path
) -> None:
    run(photos)
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    rows[0]["size"] += 1  # as if the file had been replaced between a look at it and its reading
    (out / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    run(photos)

    assert ledger(out)["0.png"]["size"] == (photos / "0.png").stat().st_size


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


def test_garbage_in_the_middle_of_the_ledger_costs_only_what_it_hides(
    run: Run, photos: Path, out: Path
) -> None:
    run(photos)
    lines = (out / "results.jsonl").read_bytes().splitlines(keepends=True)
    garbage = [b"\x00" * 4096 + b"\n", b"[" * 100_000 + b"\n", b"\xff\xfe{}\n", b"\n", b"null\n"]
    torn = lines[1][: len(lines[1]) // 2]
    (out / "results.jsonl").write_bytes(
        b"".join([lines[0], *garbage, torn + b"\n", *lines[2:4], torn])
    )

    assert counts(run(photos)) == (2, 0, 0, 3)
    assert len(ledger(out)) == 5
    assert counts(run(photos)) == (0, 0, 0, 5)


def test_what_a_newer_version_wrote_into_the_ledger_is_kept(
    run: Run, photos: Path, out: Path
) -> None:
    run(photos)
    lines = (out / "results.jsonl").read_text().splitlines()
    rows = [json.loads(line) | {"mood": "sunny"} for line in lines]
    unknown = {**rows[0], "status": "dreaming"}
    (out / "results.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [unknown, *rows[1:]])
    )

    assert counts(run(photos)) == (1, 0, 0, 4)
    assert [row.get("mood") for row in ledger(out).values()] == [None, *["sunny"] * 4]


@pytest.mark.parametrize("seed", range(4))
def test_accounting_adds_up_over_any_mixture(
    run: Run, photos: Path, out: Path, write_photo: WritePhoto, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    kinds = ("good", "good", "good", "empty file", "cut short", "text", "link", "gone")
    for round_number in range(3):
        for number in range(12):
            path = (
                photos
                / chance.choice(["", "a", "a/b"])
                / f"{number}.{chance.choice(['png', 'jpg'])}"
            )
            kind = chance.choice(kinds)
            if path.is_symlink() or kind in {"link", "gone"}:
                path.unlink(missing_ok=True)
            if kind == "link":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(photos / "nowhere.png")
            elif kind != "gone":
                write_photo(path, seed=chance.randrange(100))
            if kind in {"empty file", "cut short"}:
                content = path.read_bytes()
                path.write_bytes(content[: len(content) // 2] if kind == "cut short" else b"")
            if kind == "text":
                path.write_bytes(b"text")
        options: dict[str, Any] = {
            "workers": chance.choice([0, 2]),
            "threshold": chance.choice([0.5, 0.9999]),  # nobody reaches the second
            "force": chance.random() < 0.2,
        }
        summary = run(photos, **options)

        names = {str(path.relative_to(photos)) for path in photos.rglob("*.*") if not path.is_dir()}
        rows = {name: row for name, row in ledger(out).items() if name in names}
        assert summary.discovered == sum(counts(summary)) == len(names) == len(rows), round_number
        statuses = [row["status"] for row in rows.values()]
        assert summary.failed == statuses.count("failed") == len(summary.failures)
        assert summary.ok + summary.empty + summary.skipped == len(names) - summary.failed
        assert summary.exit_code == (3 if summary.failed else 0)
        written = {row["mask"] for row in ledger(out).values() if row["mask"]}
        assert written == {name for name in outputs(out) if name.startswith("masks/")}
        for name, row in rows.items():
            if row["status"] == "failed":
                assert row["error"]
                assert row["mask"] is None, name


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is closed to root"
)
def test_a_photo_that_may_not_be_read_fails_and_says_so(run: Run, photos: Path) -> None:
    (photos / "0.png").chmod(0)

    assert errors(run(photos)) == {"0.png": "cannot be read: Permission denied"}


def test_an_atomic_write_leaves_nothing_behind_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", b"content")

    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert stat.S_ISDIR((tmp_path / "taken").stat().st_mode)


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


def test_pictures_of_one_pixel_and_of_one_line_are_photos(
    run: Run, photos: Path, out: Path
) -> None:
    for name, size in {"one.png": (1, 1), "wide.png": (3000, 1), "high.png": (1, 3000)}.items():
        Image.new("RGB", size, (90, 120, 200)).save(photos / name)

    assert run(photos).failed == 0
    assert pixels(out / "masks/wide.png").shape == (1, 3000)

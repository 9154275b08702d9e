"""Folders as nobody would make them on purpose: every photo is accounted for, none stops a run."""

import json
import os
import random
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from permissions import closed
from PIL import Image
from segment_results import counts, errors, ledger, outputs, pixels

from pipelines.segment import SegmentSummary

Run = Callable[..., SegmentSummary]
WritePhoto = Callable[..., Path]

LONGEST_NAME = 255
"""Bytes of a name in the file systems of Linux, macOS and Windows."""


@pytest.fixture
def out(photos: Path) -> Path:
    return photos.with_name("photos-segmented")


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


def test_a_row_whose_size_is_wrong_is_put_right_without_doing_the_photo_again(
    run: Run, photos: Path, out: Path
) -> None:
    run(photos)
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    rows[0]["size"] += 1  # as if the file had been replaced between a look at it and its reading
    (out / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    run(photos)

    assert ledger(out)["0.png"]["size"] == (photos / "0.png").stat().st_size


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


def test_a_photo_that_may_not_be_read_fails_and_says_so(run: Run, photos: Path) -> None:
    with closed(photos / "0.png"):
        summary = run(photos)

    assert errors(summary) == {"0.png": "cannot be read: Permission denied"}


def test_pictures_of_one_pixel_and_of_one_line_are_photos(
    run: Run, photos: Path, out: Path
) -> None:
    for name, size in {"one.png": (1, 1), "wide.png": (3000, 1), "high.png": (1, 3000)}.items():
        Image.new("RGB", size, (90, 120, 200)).save(photos / name)

    assert run(photos).failed == 0
    assert pixels(out / "masks/wide.png").shape == (1, 3000)

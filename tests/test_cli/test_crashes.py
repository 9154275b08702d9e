"""Runs of `banet segment` that are killed at any moment: the same command ends as if nothing was.

`make heavy` runs the long ones.
"""

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from made_photos import make_photos
from processes import BANET, kill_group, lines_in, started, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL"),
]

Mask = tuple[Path, int, int]
"""Its path, and what is another one once it is written again."""

LONGEST_START = 4.0
"""Seconds; those that begin slower are killed the earlier in their life."""


def rows_in(out: Path) -> dict[str, dict[str, Any]]:
    """Return the whole rows of a ledger, whose last line may be torn, without their seconds."""
    rows = {}
    path = out / "results.jsonl"
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        if not line.endswith(b"\n"):
            continue
        try:
            row = json.loads(line)
        except ValueError:  # torn by an earlier kill
            continue
        del row["seconds"]
        rows[row["source"]] = row
    return rows


def results_in(out: Path) -> dict[str, bytes]:
    """Return all files but those that say when and how long."""
    files = {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }
    for name in ("results.jsonl", "run.json", ".lock"):
        files.pop(name, None)
    return files


def identities(out: Path, rows: dict[str, dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """Return what changes when the mask of a finished photo is written again."""
    masks = [row["mask"] for row in rows.values() if row["status"] == "ok"]
    found = {mask: (out / mask).stat() for mask in masks}
    return {mask: (status.st_ino, status.st_mtime_ns) for mask, status in found.items()}


def masks_in(out: Path) -> Iterator[Mask]:
    """Yield all masks; one that is written again is another one."""
    for path in (out / "masks").rglob("*.png"):
        with suppress(FileNotFoundError):
            status = path.stat()
            yield path, status.st_ino, status.st_mtime_ns


def kill_again_and_again(
    command: tuple[str, ...], out: Path, *, kills: int, photos: int, chance: random.Random
) -> None:
    """Start a command and kill it, so often, at moments spread over the life of the whole run."""
    log = out.with_suffix(".log")
    for left in range(kills, 0, -1):
        before = rows_in(out)
        kept = identities(out, before)
        earlier, still_to_do = set(masks_in(out)), photos - len(before)
        # Some die while they start, others after some photos, all before the last one is done.
        more = chance.randint(0, max(0, min(2 * still_to_do // left - 4, still_to_do - 5)))
        seconds = chance.uniform(0, LONGEST_START) if chance.random() < 0.3 else 60
        with started(*command, log=log) as process:
            # Masks, since rows come by the task, and those of the last ones nearly at once.
            def has_come_so_far(earlier: set[Mask] = earlier, more: int = more) -> bool:
                return len(set(masks_in(out)) - earlier) > more

            wait_until(has_come_so_far, process, seconds=seconds)
            assert process.poll() is None, log.read_text()
            kill_group(process)

        after = rows_in(out)
        assert before.items() <= after.items()
        assert kept.items() <= identities(out, after).items()


@pytest.mark.parametrize(
    ("kills", "photos"),
    [
        pytest.param(4, 60, id="few"),
        pytest.param(50, 200, id="many", marks=[pytest.mark.heavy, pytest.mark.timeout(3600)]),
    ],
)
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    banet: Callable[..., Any], weights_file: str, tmp_path: Path, kills: int, photos: int
) -> None:
    folder, whole, out = tmp_path / "photos", tmp_path / "whole", tmp_path / "killed"
    make_photos(folder, photos, broken=(7, photos - 9), width=160, height=120)
    options = ("--weights", weights_file, "--precision", "fp32", "--workers", "2", "--json")
    uninterrupted = banet("segment", folder, "--out", whole, *options)
    assert uninterrupted.exit_code == 3
    command = (*BANET, "segment", str(folder), "--out", str(out), *options)

    kill_again_and_again(
        command,
        out,
        kills=kills,
        photos=photos,
        chance=random.Random(5),  # noqa: S311 - no secret
    )
    before = rows_in(out)
    last = banet("segment", folder, "--out", out, *options)

    assert last.exit_code == 3, last.stderr
    done = sum(row["status"] == "ok" for row in before.values())
    assert (last.summary["skipped"], last.summary["failed"]) == (done, 2)
    assert last.summary["ok"] == photos - 2 - done
    assert not list(out.rglob(".*.part"))
    assert results_in(out) == results_in(whole)
    assert rows_in(out) == rows_in(whole)


def test_the_lock_of_a_killed_run_is_nobodys(
    banet: Callable[..., Any], weights_file: str, tmp_path: Path
) -> None:
    make_photos(tmp_path / "photos", 40, width=160, height=120)
    command = ("segment", "photos", "--out", "out", "--weights", weights_file, "--workers", "0")
    with started(*BANET, *command, log=tmp_path / "log") as process:
        assert wait_until(lambda: lines_in(tmp_path / "out/results.jsonl") > 0, process)
        process.send_signal(signal.SIGSTOP)
        refused = banet(*command)
        assert refused.exit_code == 5
        assert "another run of banet is writing there" in refused.stderr
        kill_group(process)

    assert banet(*command).exit_code == 0


def test_a_reader_who_leaves_loses_no_results(weights_file: str, tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 6)
    with subprocess.Popen(
        [*BANET, "segment", "photos", "--weights", weights_file, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert len(rows_in(tmp_path / "photos-segmented")) == 6
    assert json.loads(Path("photos-segmented/run.json").read_text())["exit_code"] == 0

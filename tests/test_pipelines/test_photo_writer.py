"""A task of several photos, whose results are written while the next one is computed."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import photo_worker
from pipelines.budget import Budget
from pipelines.photo_tasks import BatchTask, PhotoTask
from pipelines.photo_worker import segment_batch
from pipelines.process_memory import ProcessMemory
from pipelines.segment import SegmentSummary

Run = Callable[..., SegmentSummary]

STEMS = "0123"


@pytest.fixture
def task(run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch) -> BatchTask:
    """All photos in one task, and the results of the first one of an earlier run."""
    tasks: list[BatchTask] = []
    with monkeypatch.context() as patch:
        patch.setattr(
            "pipelines.segment_run.segment_batch",
            lambda task: tasks.append(task) or segment_batch(task),
        )
        run(photos / "0.png", workers=0)
    return replace(
        tasks[0], photos=tuple(PhotoTask(source=f"{stem}.png", stem=stem) for stem in STEMS)
    )


def sources(rows: tuple[photo_worker.LedgerRow, ...]) -> str:
    return "".join(row.source.removesuffix(".png") for row in rows)


def test_an_unchanged_photo_holds_no_memory_that_the_next_one_waits_for(
    task: BatchTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = ProcessMemory(Budget(1))
    monkeypatch.setattr(photo_worker, "process_memory", lambda _settings: memory)
    first = segment_batch(replace(task, photos=task.photos[:1])).rows[0]

    again = replace(task, photos=(replace(task.photos[0], known=first), *task.photos[1:]))
    result = segment_batch(again)

    assert (sources(result.unchanged), sources(result.rows)) == ("0", "123")
    assert memory._budget.held == 0


@pytest.mark.parametrize(("full_at", "done", "undone"), [(1, "0", "23"), (3, "012", "")])
def test_photos_behind_one_that_found_the_disk_full_are_given_back(
    task: BatchTask, full_at: int, done: str, undone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = ProcessMemory(Budget(10**9))
    monkeypatch.setattr(photo_worker, "process_memory", lambda _settings: memory)
    rename = os.replace

    def fill_up(old: str, new: str) -> None:
        if Path(new).stem == STEMS[full_at]:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(old, new)

    monkeypatch.setattr("os.replace", fill_up)

    result = segment_batch(task)

    assert "No space left on device; make room" in str(result.ended_by)
    assert sources(result.rows) == done
    assert "".join(source.removesuffix(".png") for source in result.undone) == undone
    assert memory._budget.held == 0
    assert not list(Path(str(task.settings.out)).rglob("*.part"))

"""Runs of `segment` that kill themselves at a chosen spot, in processes that begin quickly."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from deaths import die, exit_code_of

from pipelines.file_log import FileLog
from pipelines.output_folder import OutputFolder
from pipelines.segment import SegmentOptions, segment
from pipelines.storage import FilePath

# On cores that others use too, several threads for tiny tensors wait for each other for minutes.
torch.set_num_threads(1)


def _in_half_a_row(nth: int) -> AbstractContextManager[Any]:
    left = nth

    def write(log: FileLog, line: bytes) -> None:
        nonlocal left
        left -= 1
        log._file.write(line if left else line[: len(line) // 2])
        if not left:
            die()

    return patch.object(FileLog, "write", write)


def _before_a_rename(name: str, nth: int = 1) -> AbstractContextManager[Any]:
    left, rename = nth, os.replace

    def replace(source: str, target: FilePath) -> None:
        nonlocal left
        left -= Path(target).match(name)
        if not left:
            die()
        rename(source, target)

    return patch.object(os, "replace", replace)


def _after_a_rename(name: str, nth: int = 1) -> AbstractContextManager[Any]:
    left, rename = nth, os.replace

    def replace(source: str, target: FilePath) -> None:
        nonlocal left
        rename(source, target)
        left -= Path(target).match(name)
        if not left:
            die()

    return patch.object(os, "replace", replace)


def _while_files_of_shards_go(name: str) -> AbstractContextManager[Any]:
    remove = OutputFolder._remove

    def dying(folder: OutputFolder, of: str, shards: Any) -> None:
        for shard in shards:
            remove(folder, of, [shard])
            if of == name:
                die()

    return patch.object(OutputFolder, "_remove", dying)


SPOTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "half of the first row": lambda: _in_half_a_row(1),
    "half of the fourth row": lambda: _in_half_a_row(4),
    "first mask not renamed": lambda: _before_a_rename("masks/*.png"),
    "third composite not renamed": lambda: _before_a_rename("composites/*.png", 3),
    "composite without mask": lambda: _after_a_rename("composites/*.png", 2),
    "mask without row": lambda: _after_a_rename("masks/*.png", 3),
    "first run file not renamed": lambda: _before_a_rename("run*.json"),
    "run file of the end not renamed": lambda: _before_a_rename("run*.json", 2),
    "ledger not rewritten": lambda: _before_a_rename("results*.jsonl"),
    "ledger rewritten": lambda: _after_a_rename("results*.jsonl"),
    "ledgers of shards half removed": lambda: _while_files_of_shards_go("results.jsonl"),
    "run files of shards half removed": lambda: _while_files_of_shards_go("run.json"),
    "nowhere": nullcontext,
}


def segment_and_die(spot: str, options: SegmentOptions) -> None:
    """Be the run that dies."""
    with SPOTS[spot]():
        segment(options)


def killed_run(spot: str, options: SegmentOptions) -> int:
    """Run `segment` in a process until it dies, and return its exit code, `-SIGKILL` if it did."""
    return exit_code_of(segment_and_die, spot, options)

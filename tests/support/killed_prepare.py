"""Runs of `prepare` that kill themselves at a chosen spot."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from deaths import die, exit_code_of

from pipelines import parts, prepare, prepare_work, store_writing
from pipelines.prepare import PrepareOptions


def _at(module: Any, name: str, nth: int = 1, *, after: bool = False) -> Callable[[], Any]:
    """Die before the nth call of a function, or after it."""

    def spot() -> AbstractContextManager[Any]:
        left, function = nth, getattr(module, name)

        def dying(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if not left and not after:
                die()
            result = function(*arguments, **named)
            if not left:
                die()
            return result

        return patch.object(module, name, dying)

    return spot


def _between_renames() -> AbstractContextManager[Any]:
    rename = Path.rename

    def dying(path: Path, target: Path) -> Path:
        found = rename(path, target)
        if target.name.startswith("replaced-"):
            die()
        return found

    return patch.object(Path, "rename", dying)


REPLACING = "old store away, new one not there"
"""A spot of runs that replace a store."""

SPOTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "in the midst of a part": _at(store_writing, "sync_file", 5),
    "second part without rows": _at(parts, "write_rows", 2),
    "after the second part": _at(parts, "write_rows", 2, after=True),
    "all parts, no store": _at(prepare_work, "create_store"),
    "in the midst of the shards": _at(prepare_work, "write_shard", 2),
    "store without its group": _at(store_writing.zarr, "create_group"),
    "store beside its place": _at(store_writing, "publish"),
    "store without a report": _at(prepare, "report_path"),
    "nothing swept": _at(prepare_work, "forget_parts"),
    "parts forgotten, not deleted": _at(prepare_work, "remove_tree"),
}


def prepare_and_die(spot: str, options: PrepareOptions) -> None:
    """Be the run that dies."""
    with _between_renames() if spot == REPLACING else SPOTS[spot]():
        prepare.prepare(options)


def killed_prepare(spot: str, options: PrepareOptions) -> int:
    """Run `prepare` in a process until it dies, and return its exit code, `-SIGKILL` if it did."""
    return exit_code_of(prepare_and_die, spot, options)

"""`run.json` in an output folder: what the last run was, which the next one must know.

A shard has a file of its own, such as `run.2-of-8.json`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import InputError
from pipelines.storage import Location, locate, path_within
from pipelines.whole_files import write_atomically

RUN_FILE = "run.json"


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """The run that used an output folder last.

    Attributes:
        root: Folder that its photos lay in; None if that is not known.
        finished: Whether it ended by itself.
    """

    root: Location | None
    finished: bool


def read_run_file(path: Location) -> EarlierRun | None:
    """Return what is known of the run that wrote a file; None if there is none."""
    try:
        content = json.loads(path.read_bytes())
        root = content.get("root")
        return EarlierRun(
            root=root if root is None else locate(root), finished=content["exit_code"] is not None
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return EarlierRun(root=None, finished=False)


def write_run_file(path: Location, content: Mapping[str, object]) -> None:
    """Write `run.json` or that of a shard.

    While the run lasts, and for good if it dies, the exit code in it is null.
    """
    write_atomically(path, json.dumps(content, indent=2).encode("ascii"))


def refuse_other_root(earlier: Iterable[EarlierRun], *, root: Location, out: Location) -> None:
    """Make sure that the photos of one folder do not replace the results of another one.

    The ledger names photos relative to their folder, so that both can be moved; two folders are
    told apart by the first one still being where it was.

    Raises:
        InputError: `out` holds the results of another folder than `root`.
    """
    for run in earlier:
        if run.root is None or not run.root.exists():
            continue
        if not (root.exists() and _is_same(root, run.root)):
            raise InputError(
                f"--out {out}: holds the results for {run.root}, which those for {root} could "
                "overwrite; choose another folder for the results"
            )


def _is_same(one: Location, other: Location) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.samefile(other)
    return path_within(one, other) == ""

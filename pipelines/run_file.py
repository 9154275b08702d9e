"""`run.json` in an output folder: what the last run was, which the next one must know."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import InputError
from pipelines.images import write_atomically

RUN_FILE = "run.json"


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """The run that used an output folder last.

    Attributes:
        root: Folder that its photos lay in; None if that is not known.
        finished: Whether it ended by itself.
    """

    root: Path | None
    finished: bool


def read_run_file(out: Path) -> EarlierRun | None:
    """Return what is known of the last run; None if there was none."""
    try:
        content = json.loads((out / RUN_FILE).read_bytes())
        root = content.get("root")
        return EarlierRun(
            root=root if root is None else Path(root), finished=content["exit_code"] is not None
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return EarlierRun(root=None, finished=False)


def write_run_file(out: Path, content: Mapping[str, object]) -> None:
    """Write `run.json`; while the run lasts, and for good if it dies, its exit code is null."""
    write_atomically(out / RUN_FILE, json.dumps(content, indent=2).encode("ascii"))


def refuse_other_root(earlier: EarlierRun | None, *, root: Path, out: Path) -> None:
    """Make sure that the photos of one folder do not replace the results of another one.

    The ledger names photos relative to their folder, so that both can be moved; two folders are
    told apart by the first one still being where it was.

    Raises:
        InputError: `out` holds the results of another folder than `root`.
    """
    if earlier is None or earlier.root is None or not earlier.root.exists():
        return
    if root.exists() and root.samefile(earlier.root):
        return
    raise InputError(
        f"--out {out}: holds the results for {earlier.root}, which those for {root} could "
        "overwrite; choose another folder for the results"
    )

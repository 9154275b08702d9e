"""`run.json` in an output folder: what the last run was, which the next one must know.

A shard has a file of its own, such as `run.2-of-8.json`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import ConfigError, InputError
from pipelines.storage import Location, RemotePath, locate, path_within
from pipelines.whole_files import write_atomically

RUN_FILE = "run.json"


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """The run that used an output folder last.

    Attributes:
        root: Path or URL of the folder that its photos lay in; None if that is not known.
        finished: Whether it ended by itself.
    """

    root: str | None
    finished: bool


def read_run_file(path: Location) -> EarlierRun | None:
    """Return what is known of the run that wrote a file; None if there is none."""
    try:
        content = json.loads(path.read_bytes())
        root = content.get("root")
        return EarlierRun(
            root=root if isinstance(root, str) else None,
            finished=content["exit_code"] is not None,
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


def refuse_other_root(earlier: str, *, root: Location, out: Location) -> None:
    """Make sure that the photos of one folder do not replace the results of another one.

    The ledger names photos relative to their folder, so that both can be moved; two folders are
    told apart by the first one still being where it was.

    Args:
        earlier: Folder whose results `out` holds.
        root: Folder of the photos that are to be segmented.
        out: Output folder.

    Raises:
        InputError: They are two folders; or `earlier` cannot be reached, and may be another one.
    """
    if earlier == str(root):
        return
    try:
        place = _locate(earlier, root)
        is_other = place.exists() and not _is_same(root, place)
    except (ConfigError, OSError) as error:
        raise InputError(
            f"--out {out}: holds the results for {earlier}, which cannot be reached "
            f"({getattr(error, 'strerror', None) or error}) and may be another folder than {root}; "
            "choose another folder for the results, or delete run*.json there if it is gone"
        ) from error
    if is_other:
        raise InputError(
            f"--out {out}: holds the results for {earlier}, which those for {root} could "
            "overwrite; choose another folder for the results"
        )


def _locate(place: str, root: Location) -> Location:
    """Return what a run file names, reached as the photos of this run are where that is possible.

    Raises:
        ConfigError: It cannot be opened.
    """
    beside = root.same_server(place) if isinstance(root, RemotePath) else None
    return beside or locate(place)


def _is_same(one: Location, other: Location) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.exists() and one.samefile(other)
    return path_within(one, other) == ""

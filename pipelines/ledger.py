"""The ledger of a run of `banet segment`: one JSON line per photo, the memory of later runs."""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from pipelines.errors import InputError, LockedError
from pipelines.images import write_atomically
from pipelines.object_log import ObjectLog, read_log, remove_parts
from pipelines.storage import Location, RemotePath

LEDGER_NAME = "results.jsonl"

Status = Literal["ok", "empty", "failed"]

BEGUN_ERROR = "segmented again by a run that was stopped before it had finished this photo"
"""Error of a photo whose results are being replaced; it stays if the run dies."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerRow:
    """What became of one photo. Field names are the keys of the JSON line.

    Attributes:
        source: Path of the photo relative to the input folder, with forward slashes.
        size: Of the file, in bytes; None if it could not be examined.
        mtime_ns: Time of its last change in nanoseconds since 1970; None likewise.
        etag: What an object store calls its content; None elsewhere.
        sha256: Of the file; None if it could not be read.
        status: `ok`, `empty` (no person found) or `failed`.
        mask: Path of the mask relative to the output folder; None if there is none. A failed photo
            has one only if its results were being replaced when a run died.
        composite: Path of the composite relative to the output folder; None if there is none.
        width: Of the upright photo and its results, in pixels; None if failed.
        height: Likewise.
        coverage: Share of the photo that shows people, in [0, 1]; None if failed.
        confidence: How sure the network is of the mask, in [0, 1]: of the pixels that may show a
            person, the share that surely does. None if failed.
        error: Why it failed; None if it did not.
        note: What there is to say about the reading, such as that only the first of several pages
            was taken; None if nothing.
        seconds: Wall time that the photo took.
        fingerprint: Identifies the weights and options of the run that wrote the row, so that
            runs with different ones can share a folder and each knows what it may skip.
    """

    source: str
    size: int | None = None
    mtime_ns: int | None = None
    etag: str | None = None
    sha256: str | None = None
    status: Status
    mask: str | None = None
    composite: str | None = None
    width: int | None = None
    height: int | None = None
    coverage: float | None = None
    confidence: float | None = None
    error: str | None = None
    note: str | None = None
    seconds: float
    fingerprint: str

    def to_line(self) -> bytes:
        """Return the row as a line of JSON with its line feed.

        It is plain ASCII, so that file names that are no valid UTF-8 survive.
        """
        return json.dumps({name: getattr(self, name) for name in _KINDS}).encode("ascii") + b"\n"


_KINDS: dict[str, Any] = get_type_hints(LedgerRow)
"""Type of every key of a row."""


def read_ledger(path: Location) -> dict[str, LedgerRow]:
    """Read a ledger; the last row of a photo counts, and an absent file is an empty ledger.

    Lines that are no ledger rows, such as one torn by a power cut, are left out: the worst that
    follows is that their photos are done again.

    Raises:
        InputError: The file is there and cannot be read.
    """
    try:
        content = read_log(path) if isinstance(path, RemotePath) else path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InputError(
            f"{path}: the ledger of earlier runs cannot be read ({error.strerror or error}); mend "
            "its permissions or choose another folder for the results"
        ) from error
    rows: dict[str, LedgerRow] = {}
    damaged = 0
    for line in content.splitlines():
        try:
            row = _parse_row(line)
        except (ValueError, TypeError, AttributeError):
            damaged += 1
        else:
            rows[row.source] = row
    if damaged:
        logger.warning("%s: %d unreadable lines; their photos are done again", path, damaged)
    return rows


def write_ledger(path: Location, rows: Mapping[str, LedgerRow]) -> None:
    """Write a whole ledger, sorted and with one row per photo.

    Raises:
        OSError: It cannot be written.
    """
    write_atomically(path, b"".join(rows[source].to_line() for source in sorted(rows)))
    if isinstance(path, RemotePath):
        remove_parts(path)


class Ledger:
    """Appends rows while a run lasts; a context manager, for one process at a time.

    Each row is written at once, in a single system call, so that a killed run loses at most the
    photos in work. Behind a URL, where nothing can be appended to, it is those of the last seconds:
    see `ObjectLog`. A row supersedes earlier ones of its photo. When the ledger is closed, the file
    is rewritten atomically, sorted and with one row per photo, so that readers of a finished run
    need not know about superseding.

    Args:
        path: Of the file.
        rows: What `read_ledger` found in it.
    """

    def __init__(self, path: Location, rows: Mapping[str, LedgerRow]) -> None:
        self._path = path
        self._rows = dict(rows)
        self._begun: dict[str, LedgerRow] = {}

    def __enter__(self) -> Self:
        if isinstance(self._path, RemotePath):
            write_ledger(self._path, self._rows)
            self._file: ObjectLog | _AppendedFile = ObjectLog(self._path)
        else:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = _AppendedFile(self._path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if not isinstance(error, LockedError):  # the ledger is another run's by now
            write_ledger(self._path, self._rows)

    def append(self, rows: Iterable[LedgerRow]) -> None:
        """Record the results of some photos."""
        for row in rows:
            self._rows[row.source] = row
            self._begun.pop(row.source, None)
            self._file.write(row.to_line())

    def begin(self, sources: Iterable[str]) -> None:
        """Take back the rows of photos whose results are about to be replaced.

        Otherwise a run that dies between the replacing and the new row would leave the old row
        beside the new results, and a later run with the old options would take them for its own.
        """
        rows = [self._rows[source] for source in sources if source in self._rows]
        stale = [row for row in rows if row.status != "failed"]
        self.append(replace(row, status="failed", error=BEGUN_ERROR) for row in stale)
        self._begun.update((row.source, row) for row in stale)
        if stale:
            self._file.sync()

    def give_back(self, sources: Iterable[str]) -> None:
        """Let the rows that `begin` took back hold again: their results were not replaced."""
        self.append([self._begun[source] for source in sources if source in self._begun])

    def write_due(self) -> None:
        """Write rows that have been waiting for a while, as they do behind a URL.

        Raises:
            OSError: They could not be written for a long time.
        """
        if isinstance(self._file, ObjectLog):
            self._file.write_due()

    @property
    def begun_at_once(self) -> int:
        """Return for how many photos `begin` is best called: behind a URL each call is a file."""
        return 1000 if isinstance(self._path, RemotePath) else 1

    @property
    def rows(self) -> Mapping[str, LedgerRow]:
        """Return the newest row of every photo."""
        return MappingProxyType(self._rows)


class _AppendedFile:
    """A file on a disk, to which lines are appended."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b", buffering=0)
        if self._ends_in_a_torn_line():
            self._file.write(b"\n")

    def write(self, line: bytes) -> None:
        self._file.write(line)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def _ends_in_a_torn_line(self) -> bool:
        if self._file.seek(0, os.SEEK_END) == 0:
            return False
        self._file.seek(-1, os.SEEK_END)
        return self._file.read(1) != b"\n"


def _parse_row(line: bytes) -> LedgerRow:
    content = json.loads(line)
    row = LedgerRow(**{key: value for key, value in content.items() if key in _KINDS})
    wrong = [name for name, kind in _KINDS.items() if not _is_a(getattr(row, name), kind)]
    if wrong:
        raise TypeError(f"values of the wrong type: {', '.join(wrong)}")
    return row


def _is_a(value: object, kind: Any) -> bool:
    return value in get_args(kind) if get_origin(kind) is Literal else isinstance(value, kind)

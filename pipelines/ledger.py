"""The ledger of a run of `banet segment`: one JSON line per photo, the memory of later runs."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from types import TracebackType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from pipelines.errors import BanetError, InputError, LockedError
from pipelines.file_log import FileLog
from pipelines.line_order import newest_lines
from pipelines.lines_on_disk import LinesOnDisk
from pipelines.object_log import ObjectLog, read_log, remove_parts
from pipelines.storage import Location, RemotePath
from pipelines.whole_files import write_atomically

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
        seconds: Wall time until its results were written, with that of the photo before.
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

    Raises:
        InputError: The file is there and cannot be read.
    """
    return {row.source: row for row in ledger_rows(path)}


def ledger_rows(path: Location, *, status: Status | None = None) -> Iterator[LedgerRow]:
    """Yield the rows of a ledger, which need not be there, in the order of the file.

    Lines that are no ledger rows, such as one torn by a power cut, are left out: the worst that
    follows is that their photos are done again.

    Args:
        path: Of the file.
        status: Only rows with this one, which takes a fraction of the time; None for all.

    Raises:
        InputError: The file is there and cannot be read.
    """
    damaged = 0
    wanted = b"" if status is None else json.dumps(status).encode()
    try:
        with BytesIO(read_log(path)) if isinstance(path, RemotePath) else path.open("rb") as file:
            for _, row in _lines(line for line in file if wanted in line):
                if row is None:
                    damaged += 1
                elif status is None or row.status == status:
                    yield row
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise InputError(
            f"{path}: the ledger of earlier runs cannot be read ({error.strerror or error}); mend "
            "its permissions or choose another folder for the results"
        ) from error
    if damaged:
        logger.warning("%s: %d unreadable lines; their photos are done again", path, damaged)


def write_ledger(path: Location, rows: Mapping[str, LedgerRow]) -> None:
    """Write a whole ledger, sorted and with one row per photo.

    Raises:
        OSError: It cannot be written.
    """
    write_atomically(path, (rows[source].to_line() for source in sorted(rows)))
    if isinstance(path, RemotePath):
        remove_parts(path)


def remove_ledger(path: Location) -> None:
    """Delete a ledger, if it is there.

    Raises:
        OSError: It cannot be deleted.
    """
    if isinstance(path, RemotePath):
        remove_parts(path)  # first, since parts without their file count as newer than another
    path.unlink(missing_ok=True)


class Ledger:
    """Appends rows while a run lasts; a context manager, for one process at a time.

    Each row is written at once, in a single system call, so that a killed run loses at most the
    photos in work. Behind a URL, where nothing can be appended to, it is those of the last seconds:
    see `ObjectLog`. A row supersedes earlier ones of its photo. When the ledger is closed, the file
    is rewritten atomically, sorted and with one row per photo, so that readers of a finished run
    need not know about superseding.

    Rows that are appended stay on the disk alone: a run over millions of photos is to need no more
    memory at its end than at its beginning. Of those that are remembered, only the places in the
    file are in memory, unless it is behind a URL.

    Args:
        path: Of the file.
        rows: What `read_ledger` found of the photos that are this ledger's.
        remember: Know them nevertheless, for `rows`, and for photos that are begun more than once.
            `rows` are then written before the first one is appended.
        check: Raises `LockedError` if the ledger is another run's by now.
    """

    def __init__(
        self,
        path: Location,
        rows: Mapping[str, LedgerRow],
        *,
        remember: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._check = check
        self._earlier = rows
        self._remember = remember
        self._remembered: dict[str, LedgerRow] | LinesOnDisk[LedgerRow] | None = None
        self._begun: dict[str, LedgerRow] = {}

    def __enter__(self) -> Self:
        try:
            if self._remember or isinstance(self._path, RemotePath):
                write_ledger(self._path, self._earlier)
            if isinstance(self._path, RemotePath):
                self._log: ObjectLog | FileLog = ObjectLog(self._path)
                self._remembered = dict(self._earlier) if self._remember else None
            else:
                self._log = FileLog(self._path)
                if self._remember:
                    self._remembered = LinesOnDisk(self._path, key_of=_source_of, parse=_parse_row)
                    self._earlier = {}  # all of them are in the file
        except OSError as error:
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if not isinstance(error, LockedError):  # else the ledger is another run's by now
                self._rewrite()
        except OSError as failure:
            if error is None:  # which tells more, and what was appended is whole as it is
                raise self._unwritable(failure) from failure
        finally:
            self._log.close()
            if isinstance(self._remembered, LinesOnDisk):
                self._remembered.close()

    def append(self, rows: Iterable[LedgerRow]) -> None:
        """Record the results of some photos.

        Raises:
            BanetError: They cannot be written, or the ledger was deleted.
        """
        self._check()
        for row in rows:
            place = self._write(row)
            self._begun.pop(row.source, None)
            if isinstance(self._remembered, dict):
                self._remembered[row.source] = row
            elif self._remembered is not None and place is not None:
                self._remembered.put(row.source, place)

    def begin(self, sources: Iterable[str]) -> None:
        """Take back the rows of photos whose results are about to be replaced.

        Otherwise a run that dies between the replacing and the new row would leave the old row
        beside the new results, and a later run with the old options would take them for its own.

        Raises:
            BanetError: As for `append`.
        """
        known = self._earlier if self._remembered is None else self._remembered
        rows = [known[source] for source in sources if source in known]
        stale = [row for row in rows if row.status != "failed"]
        self.append(replace(row, status="failed", error=BEGUN_ERROR) for row in stale)
        self._begun.update((row.source, row) for row in stale)
        if not stale:
            return
        try:
            if isinstance(self._log, ObjectLog):
                self._log.write_now(before_each_try=self._check)
            else:
                self._log.sync()
        except OSError as error:
            raise self._unwritable(error) from error

    def give_back(self, sources: Iterable[str]) -> None:
        """Let the rows that `begin` took back hold again: their results were not replaced."""
        self.append([self._begun[source] for source in sources if source in self._begun])

    def write_due(self) -> None:
        """Write rows that have been waiting for a while, as they do behind a URL.

        Raises:
            BanetError: They could not be written for a long time.
        """
        if isinstance(self._log, ObjectLog):
            self._check()
            try:
                self._log.write_due()
            except OSError as error:
                raise self._unwritable(error) from error

    @property
    def begun_at_once(self) -> int:
        """Return for how many photos `begin` is best called: behind a URL each call is a file."""
        return 1000 if isinstance(self._path, RemotePath) else 1

    @property
    def rows(self) -> Mapping[str, LedgerRow]:
        """Return the newest row of every photo, where rows are remembered."""
        assert self._remembered is not None
        return self._remembered

    def _write(self, row: LedgerRow) -> int | None:
        """Write a row, and return where it begins if that is known."""
        try:
            return self._log.write(row.to_line())
        except OSError as error:
            raise self._unwritable(error) from error

    def _rewrite(self) -> None:
        """Bring the rows in order, the newest of every photo."""
        if isinstance(self._log, ObjectLog):
            self._log.write_now(before_each_try=self._check)
        else:
            self._check()
            self._log.sync()
            self._log.check()
        if isinstance(self._path, RemotePath):
            write_ledger(self._path, {**self._earlier, **read_ledger(self._path)})
            return
        with self._path.open("rb") as file:
            places = ((row.source, place) for place, row in _lines(file) if row is not None)
            older = ((source, b"") for source in sorted(self._earlier))
            ordered = newest_lines(file, places, key_of=_source_of, older=older)
            write_atomically(
                self._path, (line or self._earlier[source].to_line() for source, line in ordered)
            )

    def _unwritable(self, error: OSError) -> BanetError:
        if isinstance(error, FileNotFoundError):
            return BanetError(
                f"{self._path}: was deleted or replaced while the run was writing it, and other "
                "results perhaps as well; run the same command again, which makes what is missing"
            )
        return BanetError(
            f"{self._path}: cannot be written ({error.strerror or error}); make room or mend its "
            "permissions, then run the same command again, which goes on from there"
        )


def _lines(file: Iterable[bytes]) -> Iterator[tuple[int, LedgerRow | None]]:
    """Yield where each line of a ledger begins, and its row; None if it is none."""
    place = 0
    for line in file:
        try:
            row = _parse_row(line)
        except (ValueError, TypeError, AttributeError, RecursionError):
            row = None
        yield place, row
        place += len(line)


def _parse_row(line: bytes) -> LedgerRow:
    content = json.loads(line)
    row = LedgerRow(**{key: value for key, value in content.items() if key in _KINDS})
    wrong = [name for name, kind in _KINDS.items() if not _is_a(getattr(row, name), kind)]
    if wrong:
        raise TypeError(f"values of the wrong type: {', '.join(wrong)}")
    return row


def _source_of(line: bytes) -> str:
    source: str = json.loads(line)["source"]
    return source


def _is_a(value: object, kind: Any) -> bool:
    return value in get_args(kind) if get_origin(kind) is Literal else isinstance(value, kind)

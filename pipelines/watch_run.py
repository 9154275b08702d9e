"""A run of `banet segment --watch`: looks for photos again and again, until it is interrupted.

It polls, since networks of file systems tell nobody of changes. What it did counts as in any other
run, each photo once, as what it is at last.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import NoReturn

from pipelines.errors import BanetError, LockedError
from pipelines.ledger import Ledger
from pipelines.parallel import Pool
from pipelines.photo_files import refuse_overlap
from pipelines.photo_search import find_photos_again
from pipelines.photo_tasks import BatchResult, PhotoTask
from pipelines.progress import Progress, SilentProgress
from pipelines.resume import pending_work
from pipelines.review import refuse_review_among_photos
from pipelines.segment_options import Failure
from pipelines.segment_run import SegmentRun
from pipelines.storage import FilePath, Location, Status, path_in, status_of

MOST_SECONDS_BETWEEN_LOOKS = 2.0

RUN_FILE_SECONDS = 10.0
"""How old the counts in the run file may be while photos are segmented."""

REVIEW_SECONDS = 60.0
"""Least seconds between two reviews, which cost a few seconds each."""

logger = logging.getLogger(__name__)


def signature_of(path: FilePath) -> Status | None:
    """Return size and time of a file, None if they are not to be had."""
    try:
        return status_of(path)
    except OSError:
        return None


class SettledFiles:
    """Knows which files have not changed for a while.

    That a file is old by its own time says nothing: many copies take the time of the original. So
    each is observed.

    Args:
        seconds: How long it must not have changed.
        clock: Returns seconds.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[str, tuple[Status, float]] = {}

    @property
    def signatures(self) -> Iterator[tuple[str, Status]]:
        """Yield the files of the last look, settled or not, with their signatures."""
        return ((source, signature) for source, (signature, _) in self._seen.items())

    def look(self, root: Location, sources: Iterable[str]) -> dict[str, Status]:
        """Examine files, named relative to `root`, and return those that have settled."""
        seen: dict[str, tuple[Status, float]] = {}
        settled: dict[str, Status] = {}
        for source in sources:
            now = self._clock()
            signature = signature_of(path_in(root, source))
            if signature is None:
                continue
            before, since = self._seen.get(source, (signature, now))
            if before != signature:
                since = now
            seen[source] = signature, since
            if now - since >= self._seconds:
                settled[source] = signature
        self._seen = seen
        return settled


@dataclass(kw_only=True)
class WatchRun(SegmentRun):
    """Segments photos as they come."""

    waiting: int | None = 0
    _handled: dict[str, Status] = field(default_factory=dict)
    _status: dict[str, str] = field(default_factory=dict)
    _errors: dict[str, str] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _written: float = -math.inf
    _reviewed: float = -math.inf
    _review_is_old: bool = False

    @property
    def discovered(self) -> int:
        """Return how many photos there were so far for this run."""
        waiting = sum(
            source not in self._status and self.folder.takes(source) for source in self.tree.sources
        )
        return len(self._status) + waiting

    def do(self, progress: Progress) -> NoReturn:
        """Segment photos, old and new, and never return.

        Raises:
            InputError: A new link leads to the output folder.
            LockedError: Another run is writing there.
            BanetError: See `segment`.
        """
        settled = SettledFiles(self.options.stable_seconds)
        pause = min(MOST_SECONDS_BETWEEN_LOOKS, self.options.stable_seconds / 2)
        with (
            self.folder.held(
                root=self.settings.root, announce=lambda: self._write_run_file(finished=False)
            ),
            self._working(self.folder.earlier_rows(), photos=None) as (pool, ledger),
        ):
            if self.review is not None:
                self.review.open()
            logger.info("watching %s; an interrupt ends it", self.settings.root)
            progress.start("Watching", None, self.figures)
            while True:
                started = monotonic()
                self._take_settled(settled, pool, ledger, progress)
                ledger.write_due()
                self._renew_review(ledger)
                # Where a look takes long, it should not be all that the disk is busy with.
                sleep(max(pause, monotonic() - started))
                self._look_again()

    def _take_settled(
        self, settled: SettledFiles, pool: Pool, ledger: Ledger, progress: Progress
    ) -> None:
        """Segment the photos that have settled since they were last done."""
        mine = filter(self.folder.takes, self.tree.sources)
        new = {
            source: signature
            for source, signature in settled.look(self.settings.root, mine).items()
            if self._handled.get(source) != signature
        }
        self.waiting = sum(
            self._handled.get(source) != signature for source, signature in settled.signatures
        )
        # Photos that come back are looked at anew, so that those that are gone need no memory.
        self._handled = {
            source: self._handled[source]
            for source, _ in settled.signatures
            if source in self._handled
        }
        if not new:
            return
        work = pending_work(
            self.tree,
            self.settings,
            ledger.rows,
            force=self.options.force,
            concerned=new.__contains__,
        )
        self._handled |= new
        for source in new.keys() - {task.source for task in work}:
            self._count(source, "skipped")
        self.waiting -= len(new) - len(work)
        self._segment(self._unchanged(work), len(work), pool, ledger, progress)
        self._write_run_file(finished=False)
        self._review_is_old = True

    def _renew_review(self, ledger: Ledger) -> None:
        now = monotonic()
        if self.review is None or not self._review_is_old or now - self._reviewed < REVIEW_SECONDS:
            return
        self._write_review(self.review, ledger.rows.values, SilentProgress())
        self._reviewed, self._review_is_old = now, False

    def _unchanged(self, work: Iterable[PhotoTask]) -> Iterator[PhotoTask]:
        """Yield the photos that are still as they were when they had settled.

        The others have to settle anew.
        """
        for task in work:
            if signature_of(path_in(self.settings.root, task.source)) == self._handled[task.source]:
                yield task
            else:
                del self._handled[task.source]

    def _look_again(self) -> None:
        """Search the inputs anew, and say once what cannot be searched."""
        root = self.settings.root
        assert isinstance(root, Path)  # the options refuse to watch URLs
        self.tree, left_out = find_photos_again(self.options.inputs, root)
        refuse_overlap(self.tree, self.settings.out)
        if self.review is not None:
            refuse_review_among_photos(self.review.folder, self.tree, self.settings.out)
        for sentence in left_out:
            if sentence not in self._told:
                logger.warning("%s; watching goes on without it until it is there", sentence)
        self._told = set(left_out)

    def _record(self, result: BatchResult, ledger: Ledger, progress: Progress) -> None:
        assert self.waiting is not None
        self.waiting -= len(result.rows) + len(result.unchanged) + len(result.vanished)
        super()._record(result, ledger, progress)
        self._errors |= {
            row.source: row.error or "" for row in result.rows if row.status == "failed"
        }
        ledger.give_back(result.vanished)
        for source in result.vanished:
            # Another machine may see a new file a while later than this one.
            self._handled.pop(source, None)
        if monotonic() - self._written > RUN_FILE_SECONDS:
            self._write_run_file(finished=False)

    def _count(self, source: str, status: str) -> None:
        earlier = self._status.get(source)
        if status == "skipped" and earlier is not None:
            return  # touched only: it is what it was
        if earlier is not None:
            self.counts[earlier] -= 1
            self._errors.pop(source, None)
        self._status[source] = status
        self.counts[status] += 1

    def _failures(self) -> tuple[Failure, ...]:
        return tuple(
            Failure(source=source, error=error) for source, error in sorted(self._errors.items())
        )

    def _write_run_file(self, *, finished: bool) -> None:
        try:
            super()._write_run_file(finished=finished)
        except LockedError:
            raise
        except BanetError as error:  # the next one is soon due
            logger.warning("%s", error)
        self._written = monotonic()

"""A run of `banet segment` as it proceeds: hands out the work and records what comes back."""

import gc
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import get_args

from pipelines.devices import utilisation
from pipelines.errors import BanetError
from pipelines.failed_photos import read_failures
from pipelines.free_memory import free_memory, used_memory
from pipelines.info import versions
from pipelines.ledger import Ledger, LedgerRow
from pipelines.output_folder import OutputFolder
from pipelines.parallel import Pool, available_cores, open_pool, take_in_flight
from pipelines.photo_tasks import BatchResult, BatchTask, PhotoTask, Stage, TaskSettings
from pipelines.photo_tree import PhotoTree
from pipelines.photo_worker import segment_batch
from pipelines.progress import Progress, RunFigures
from pipelines.resume import pending_work, released
from pipelines.review import Review
from pipelines.run_workers import gpu_processes, local_workers, threads_per_worker
from pipelines.runtimes import runtime_of
from pipelines.segment_options import Failure, SegmentOptions, SegmentSummary, Usage
from pipelines.storage import is_remote, locate
from pipelines.worker_process import probe_worker

TASK_SECONDS = 1.0
"""About how long the photos of a task take: long beside the ten milliseconds that a task costs
itself, and so short that an interrupted run is soon at rest."""

MOST_PHOTOS_PER_TASK = 32

TASKS_LEFT_PER_WORKER = 2
"""Into so many tasks at least what is left is divided, so that all workers end at about the same
time; the last tasks are single photos."""

NEWEST_WEIGHT = 0.1
"""Of the last photo in the running mean of how long photos take."""

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class SegmentRun:
    """Counts what came back and keeps the ledger.

    Attributes:
        started: What `time.perf_counter` said.
        started_cpu: What `time.process_time` said.
        handed_out: What `time.perf_counter` said at the first photo; None before.
        cores: That the workers have.
        waiting: Photos that were found and are still to be done; None where the total says it.
        failed: Sources of the photos that failed. Why they did, the ledger says: the reasons would
            fill the memory.
    """

    options: SegmentOptions
    settings: TaskSettings
    folder: OutputFolder
    tree: PhotoTree
    started: float
    started_cpu: float
    handed_out: float | None = None
    cores: int = field(default_factory=available_cores)
    waiting: int | None = None
    device: str = "not used"
    precision: str = "not used"
    noted: int = 0
    photo_seconds: float | None = None
    counts: Counter[str] = field(default_factory=Counter)
    stages: dict[Stage, float] = field(default_factory=lambda: defaultdict(float))
    waits: dict[Stage, float] = field(default_factory=lambda: defaultdict(float))
    failed: set[str] = field(default_factory=set)

    @cached_property
    def discovered(self) -> int:
        """Return how many photos there are for this run."""
        return sum(map(self.folder.takes, self.tree.sources))

    @cached_property
    def review(self) -> Review | None:
        """Return where the least certain masks are to be shown; None if nowhere."""
        if self.options.review_dir is None:
            return None
        return Review(
            folder=locate(self.options.review_dir).absolute(),
            root=self.settings.root,
            out=self.settings.out,
            shard=self.folder.shard,
            max_memory=self.options.max_memory,
        )

    def computed_by(self, device_and_precision: tuple[str, str]) -> None:
        """Note where the networks run."""
        self.device, self.precision = device_and_precision

    def plan(self) -> tuple[list[PhotoTask], dict[str, LedgerRow]]:
        """Find out what there is to do, and return it with the ledger of earlier runs."""
        earlier = self.folder.earlier_rows()
        work = pending_work(
            self.tree,
            self.settings,
            earlier,
            force=self.options.force,
            concerned=self.folder.takes,
        )
        self.counts["skipped"] = self.discovered - len(work)
        return work, earlier

    def do(self, progress: Progress) -> SegmentSummary:
        """Segment the photos that are to be done, and write ledger and `run.json`.

        Raises:
            LockedError: Another run is writing there.
            BanetError: See `segment`.
        """
        with self.folder.held(
            root=self.settings.root, announce=lambda: self._write_run_file(finished=False)
        ):
            was_interrupted = self.folder.was_interrupted()
            work, earlier = self.plan()
            if self.review is not None:
                self.review.open()
            if not work and was_interrupted:
                with Ledger(self.folder.ledger, self.folder.own(earlier)):
                    """Bring in order what it appended."""
            if work:
                with self._working(earlier, photos=len(work)) as (pool, ledger):
                    progress.start("Segmenting", len(work), self.figures)
                    self._segment(released(work), len(work), pool, ledger, progress)
                    progress.finish()
                if self.options.scheduler is not None:
                    self.folder.sweep()
                self._tell_of_notes()
            self._write_run_file(finished=True)
            if self.review is not None:
                self._write_review(self.review, self.folder.closed_rows, progress)
            # Before another run takes over the ledger, from which the failures are read.
            return self.summary()

    def figures(self) -> RunFigures:
        """Return how the run stands; called from the thread of a display, too."""
        is_local = self.options.scheduler is None
        memory = used_memory() if is_local else None
        limit = None if memory is None else memory + free_memory()
        if limit is not None and self.options.max_memory is not None:
            limit = min(limit, self.options.max_memory)
        return RunFigures(
            failed=self.counts["failed"],
            empty=self.counts["empty"],
            waiting=self.waiting,
            busy_seconds=sum(tuple(self.stages.values())),  # copied: it may grow meanwhile
            cores=self.cores,
            memory=memory,
            memory_limit=limit,
            gpu=utilisation(self.device) if is_local else None,
        )

    def summary(self) -> SegmentSummary:
        """Return the state of the run."""
        wall_seconds = time.perf_counter() - self.started
        skipped = self.counts["skipped"]
        done = self.counts.total() - skipped
        return SegmentSummary(
            out=self.settings.out,
            root=self.settings.root,
            shard=self.options.shard,
            discovered=self.discovered,
            ok=self.counts["ok"],
            empty=self.counts["empty"],
            failed=self.counts["failed"],
            skipped=skipped,
            pending=self.discovered - skipped - done,
            exit_code=3 if self.counts["failed"] else 0,
            runtime=runtime_of(self.options.weights),
            device=self.device,
            precision=self.precision,
            weights={"name": self.options.weights, "sha256": self.settings.weights_sha256},
            stages=_in_order(self.stages),
            wall_seconds=round(wall_seconds, 3),
            images_per_second=round(done / wall_seconds, 3),
            versions=versions(),
            failures=self._failures(),
            usage=Usage(
                cores=self.cores,
                start_seconds=(self.handed_out or time.perf_counter()) - self.started,
                cpu_seconds=(
                    time.process_time() - self.started_cpu
                    if self.options.scheduler is None
                    and not gpu_processes(self.options, self.device)
                    else None
                ),
                waits=_in_order(self.waits),
            ),
        )

    @contextmanager
    def _working(
        self, earlier: Mapping[str, LedgerRow], *, photos: int | None
    ) -> Iterator[tuple[Pool, Ledger]]:
        """Open the workers and the ledger, and leave word of the run in the run file."""
        is_far = is_remote(self.tree.root) or is_remote(self.folder.path)
        gpus = gpu_processes(self.options, self.device)
        with open_pool(
            workers=local_workers(self.options, self.device, photos=photos, is_far=is_far),
            scheduler=self.options.scheduler,
            gpus=gpus,
        ) as pool:
            threads = threads_per_worker(pool, self.options, self.device)
            self.settings = replace(self.settings, threads=threads, processes=pool.processes)
            if self.options.scheduler is not None:
                self.cores = pool.workers
            self.computed_by(next(pool.map(probe_worker, [self.settings])))
            # Before the first result: a run that dies must have left word of itself.
            self._write_run_file(finished=False)
            try:
                with Ledger(
                    self.folder.ledger,
                    self.folder.own(earlier),
                    remember=self.options.watch,
                    check=self.folder.check_held,
                ) as ledger:
                    del earlier  # of millions of rows the ledger of a watch keeps the places only
                    # What was loaded stays: the collector need not look through it again and again.
                    gc.freeze()
                    self.handed_out = time.perf_counter()
                    yield pool, ledger
            except BaseException:
                with suppress(BanetError):  # what ended the run is the error to tell of
                    self._write_run_file(finished=False)
                raise

    def _segment(
        self,
        work: Iterable[PhotoTask],
        left: int,
        pool: Pool,
        ledger: Ledger,
        progress: Progress,
    ) -> None:
        """Segment photos.

        Args:
            work: The photos.
            left: How many these are, at most.
            pool: Of the workers.
            ledger: For the rows.
            progress: Told of each.
        """
        stopping = False
        tasks_left = TASKS_LEFT_PER_WORKER * max(1, pool.workers)
        begun: deque[PhotoTask] = deque()

        def tasks() -> Iterator[BatchTask]:
            nonlocal left
            photos = iter(work)
            while not stopping:
                count = max(1, min(self._photos_per_task(), left // tasks_left))
                if not begun:
                    begun.extend(islice(photos, max(count, ledger.begun_at_once)))
                    ledger.begin(photo.source for photo in begun)
                batch = tuple(begun.popleft() for _ in range(min(count, len(begun))))
                if not batch:
                    return
                left -= len(batch)
                yield BatchTask(photos=batch, settings=self.settings)

        results = iter(pool.map(segment_batch, tasks()))
        try:
            for result in results:
                self._record(result, ledger, progress)
                self._stop_after(result)
        except BaseException:
            stopping = True
            take_in_flight(results, lambda result: self._record(result, ledger, progress))
            ledger.give_back(photo.source for photo in begun)
            raise

    def _photos_per_task(self) -> int:
        if self.photo_seconds is None:
            return 1
        seconds = max(self.photo_seconds, TASK_SECONDS / MOST_PHOTOS_PER_TASK)
        return max(1, round(TASK_SECONDS / seconds))

    def _record(self, result: BatchResult, ledger: Ledger, progress: Progress) -> None:
        self.folder.check_held()
        ledger.append((*result.rows, *result.unchanged))
        ledger.give_back(result.undone)
        for row in result.rows:
            self._count(row.source, row.status)
            before = row.seconds if self.photo_seconds is None else self.photo_seconds
            self.photo_seconds = before + NEWEST_WEIGHT * (row.seconds - before)
            self.noted += row.note is not None
        for row in result.unchanged:
            self._count(row.source, "skipped")
        for stage, seconds in result.stages.items():
            self.stages[stage] += seconds
        for stage, seconds in result.waits.items():
            self.waits[stage] += seconds
        progress.advance(len(result.rows) + len(result.unchanged))

    def _count(self, source: str, status: str) -> None:
        """Count what became of a photo."""
        self.counts[status] += 1
        if status == "failed":
            self.failed.add(source)

    def _failures(self) -> tuple[Failure, ...]:
        return read_failures(self.folder.ledger, self.failed)

    def _write_review(
        self, review: Review, rows: Callable[[], Iterable[LedgerRow]], progress: Progress
    ) -> None:
        def mine() -> Iterator[LedgerRow]:
            return (
                row for row in rows() if row.source in self.tree and self.folder.takes(row.source)
            )

        review.write(mine, progress)

    def _tell_of_notes(self) -> None:
        if self.noted:
            logger.info(
                "%d photos come with a remark, such as that further pages were left out; it stands "
                "as `note` in %s",
                self.noted,
                self.folder.ledger,
            )

    def _stop_after(self, result: BatchResult) -> None:
        """End the run if a task could not, or if too many photos have failed.

        Raises:
            BanetError: With the reason.
        """
        if result.ended_by is not None:
            raise result.ended_by
        failed, limit = self.counts["failed"], self.options.max_failures
        if limit is not None and failed > limit:
            last = [row for row in result.rows if row.status == "failed"][-1]
            raise BanetError(
                f"stopped after {failed} failed photos, --max-failures allows {limit}; the "
                f"last one was {last.source} ({last.error}); {self.folder.ledger} "
                "lists all"
            )

    def _write_run_file(self, *, finished: bool) -> None:
        content = self.summary().as_json()
        try:
            self.folder.write_run_file(content if finished else {**content, "exit_code": None})
        except OSError as error:
            raise BanetError(
                f"{self.settings.out}: {error.strerror or error}; make room or choose another "
                "--out, then run the same command again, which goes on from there"
            ) from error


def _in_order(seconds: Mapping[Stage, float]) -> dict[Stage, float]:
    """Return seconds by stage in the order of the work, to the millisecond."""
    stages: tuple[Stage, ...] = get_args(Stage)
    return {stage: round(seconds[stage], 3) for stage in stages if stage in seconds}

"""`banet segment`: photos in; masks, composites and a ledger out."""

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch

from pipelines.checkpoints import SHIPPED_WEIGHTS, Weights, load_weights
from pipelines.compositing import Colour, parse_colour
from pipelines.devices import precision_name, resolve_device, resolve_precision
from pipelines.errors import BanetError, InputError, PhotoError
from pipelines.images import read_bytes, write_atomically
from pipelines.info import versions
from pipelines.ledger import LEDGER_NAME, Ledger, LedgerRow, read_ledger
from pipelines.parallel import Pool, open_pool
from pipelines.photo_files import (
    COMPOSITES,
    MASKS,
    default_output_folder,
    find_photos,
    refuse_overlap,
    remove_leftovers,
)
from pipelines.photo_tasks import BatchResult, BatchTask, PhotoTask, TaskSettings
from pipelines.photo_worker import load_background, probe_worker, segment_batch
from pipelines.progress import Progress, SilentProgress
from pipelines.resume import fingerprint, pending_work
from pipelines.segment_options import Failure, SegmentOptions, SegmentSummary

__all__ = ["Failure", "SegmentOptions", "SegmentSummary", "segment"]

PHOTOS_PER_TASK = 2
"""Enough to make the cost of a task (a millisecond or two) small beside its work, and few enough
that an interrupted run is soon at rest."""

SAME_INTERRUPT_SECONDS = 1.0
"""Interrupts so close together are one: `timeout`, for instance, sends each signal twice."""


def segment(options: SegmentOptions, *, progress: Progress | None = None) -> SegmentSummary:
    """Cut the people out of all photos that the options name.

    A photo that fails is recorded and the run goes on. Whatever ends the run, the ledger holds
    all photos that were finished, and the same call goes on from there.

    Raises:
        ConfigError: The options do not fit together.
        InputError: An input is missing, or the output folder overlaps the input.
        WeightsError: The weights cannot be used.
        DeviceError: The requested device is missing.
        BanetError: Nothing can be written, the workers are gone, or too many photos failed.
    """
    started = time.perf_counter()
    weights = load_weights(options.weights)
    tree = find_photos(options.inputs)
    out = (options.out or default_output_folder(tree)).absolute()
    refuse_overlap(tree, out)
    settings = _task_settings(options, weights, tree.root, out)
    earlier = read_ledger(out / LEDGER_NAME)
    work = pending_work(tree, settings, earlier, force=options.force)
    run = _Run(
        options=options,
        settings=settings,
        started=started,
        discovered=len(tree.sources),
        skipped=len(tree.sources) - len(work),
        weights=weights,
    )
    if options.scheduler is None:
        run.computed_by(probe_device(options))
    if not options.dry_run:
        run.do(work, earlier, progress or SilentProgress())
    return run.summary()


def probe_device(options: SegmentOptions) -> tuple[str, str]:
    """Return the names of the device and the precision that local workers will compute with.

    Raises:
        ConfigError: The device cannot compute in the requested precision.
        DeviceError: The requested device is missing.
    """
    device = resolve_device(options.device)
    return str(device), precision_name(resolve_precision(options.precision, device))


@dataclass(kw_only=True)
class _Run:
    """One run as it proceeds: counts what came back and keeps the ledger."""

    options: SegmentOptions
    settings: TaskSettings
    weights: Weights
    started: float
    discovered: int
    skipped: int
    device: str = "not used"
    precision: str = "not used"
    counts: Counter[str] = field(default_factory=Counter)
    stages: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    failures: list[Failure] = field(default_factory=list)

    def computed_by(self, device_and_precision: tuple[str, str]) -> None:
        """Note where the networks run."""
        self.device, self.precision = device_and_precision

    def do(
        self, work: list[PhotoTask], earlier: Mapping[str, LedgerRow], progress: Progress
    ) -> None:
        """Segment the photos that are to be done, and write ledger and `run.json`."""
        if not work:
            _prepare_output_folder(self.settings.out)
            self._write_run_file(self.summary().as_json())
            return
        with open_pool(workers=self.options.workers, scheduler=self.options.scheduler) as pool:
            self.settings = replace(self.settings, threads=_threads_per_worker(pool, self.options))
            self.computed_by(next(pool.map(probe_worker, [self.settings])))
            _prepare_output_folder(self.settings.out)
            with Ledger(self.settings.out / LEDGER_NAME, earlier) as ledger:
                try:
                    self._segment(work, pool, ledger, progress)
                except BaseException:
                    self._write_run_file({**self.summary().as_json(), "exit_code": None})
                    raise
        self._write_run_file(self.summary().as_json())

    def summary(self) -> SegmentSummary:
        """Return the state of the run."""
        wall_seconds = time.perf_counter() - self.started
        done = self.counts.total()
        return SegmentSummary(
            out=self.settings.out,
            discovered=self.discovered,
            ok=self.counts["ok"],
            empty=self.counts["empty"],
            failed=self.counts["failed"],
            skipped=self.skipped,
            pending=self.discovered - self.skipped - done,
            exit_code=3 if self.counts["failed"] else 0,
            device=self.device,
            precision=self.precision,
            weights={"name": self.weights.name, "sha256": self.weights.sha256},
            stages={name: round(seconds, 3) for name, seconds in self.stages.items()},
            wall_seconds=round(wall_seconds, 3),
            images_per_second=round(done / wall_seconds, 3),
            versions=versions(),
            failures=tuple(sorted(self.failures, key=lambda failure: failure.source)),
        )

    def _segment(
        self, work: list[PhotoTask], pool: Pool, ledger: Ledger, progress: Progress
    ) -> None:
        progress.start("Segmenting", len(work))
        stopping = False

        def tasks() -> Iterator[BatchTask]:
            photos = iter(work)
            while not stopping and (batch := tuple(islice(photos, PHOTOS_PER_TASK))):
                yield BatchTask(photos=batch, settings=self.settings)

        results = iter(pool.map(segment_batch, tasks()))
        try:
            self._commit(results, ledger, progress)
        except KeyboardInterrupt:
            stopping = True
            self._commit_in_flight(results, ledger, progress)
            raise
        progress.finish()

    def _commit_in_flight(
        self, results: Iterator[BatchResult], ledger: Ledger, progress: Progress
    ) -> None:
        """Wait for the tasks in flight after an interrupt; another one, later, ends the wait."""
        interrupted = time.monotonic()
        while True:
            try:
                return self._commit(results, ledger, progress)
            except KeyboardInterrupt:
                if time.monotonic() - interrupted > SAME_INTERRUPT_SECONDS:
                    raise

    def _commit(self, results: Iterator[BatchResult], ledger: Ledger, progress: Progress) -> None:
        """Record results as they come."""
        for result in results:
            ledger.append((*result.rows, *result.unchanged))
            self.skipped += len(result.unchanged)
            for row in result.rows:
                self.counts[row.status] += 1
                if row.status == "failed":
                    self.failures.append(Failure(source=row.source, error=row.error or ""))
            for stage, seconds in result.stages.items():
                self.stages[stage] += seconds
            failed = self.counts["failed"]
            progress.advance(
                len(result.rows) + len(result.unchanged), f"{failed} failed" if failed else ""
            )
            limit = self.options.max_failures
            if limit is not None and failed > limit:
                last = self.failures[-1]
                raise BanetError(
                    f"stopped after {failed} failed photos, --max-failures allows {limit}; the "
                    f"last one was {last.source} ({last.error}); {LEDGER_NAME} in "
                    f"{self.settings.out} lists all"
                )

    def _write_run_file(self, content: Mapping[str, object]) -> None:
        text = json.dumps(content, indent=2)
        write_atomically(self.settings.out / "run.json", text.encode("ascii"))


def _task_settings(
    options: SegmentOptions, weights: Weights, root: Path, out: Path
) -> TaskSettings:
    """Put together what workers need to know.

    Raises:
        BanetError: The background picture cannot be read.
    """
    name = options.weights
    settings = TaskSettings(
        root=root,
        out=out,
        weights=name if name in SHIPPED_WEIGHTS else str(Path(name).absolute()),
        weights_sha256=weights.sha256,
        device=options.device,
        precision=options.precision,
        size=options.size or weights.info.size,
        mask=options.mask,
        threshold=options.threshold,
        composite=options.composite,
        composite_format=options.composite_format,
        colour=_colour(options),
        background=_background(options),
        threads=None,
        fingerprint="",
    )
    return replace(settings, fingerprint=fingerprint(settings))


def _colour(options: SegmentOptions) -> Colour | None:
    return parse_colour(options.background or "white") if options.composite == "color" else None


def _background(options: SegmentOptions) -> tuple[Path, str] | None:
    if options.composite != "image" or options.background is None:
        return None
    path = Path(options.background).absolute()
    try:
        sha256 = hashlib.sha256(read_bytes(path)).hexdigest()
    except PhotoError as error:
        raise InputError(
            f"--background {path}: {error}; name a picture that can be read"
        ) from error
    load_background(path, sha256)
    return path, sha256


def _threads_per_worker(pool: Pool, options: SegmentOptions) -> int | None:
    """Share the cores among the workers; on a cluster each worker thread is one core's worth."""
    if options.scheduler is not None:
        return 1
    return max(1, torch.get_num_threads() // pool.workers) if pool.workers > 1 else None


def _prepare_output_folder(out: Path) -> None:
    """Create the folder and make sure that results can be written there.

    Raises:
        BanetError: They cannot.
    """
    try:
        for name in (MASKS, COMPOSITES):
            remove_leftovers([out / name])
        (out / MASKS).mkdir(parents=True, exist_ok=True)
        write_atomically(out / MASKS / ".writable", b"banet")
        (out / MASKS / ".writable").unlink()
    except OSError as error:
        raise BanetError(
            f"--out {out}: cannot be written ({error.strerror or error}); mend its permissions "
            "or choose another folder"
        ) from error

"""What `banet prepare` shares out among workers: looking at pairs, and writing shards."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from pipelines.examine import ReportRow, examine
from pipelines.file_trees import remove_tree
from pipelines.landmarks import ReferenceFace
from pipelines.on_disk import OnDisk
from pipelines.parallel import Pool, take_in_flight, tell_of_wait
from pipelines.part_rows import Framed, forget_parts
from pipelines.parts import make_part, part_tasks, settings_key, shard_pieces
from pipelines.prepare_options import PrepareOptions
from pipelines.progress import Progress
from pipelines.sources import Sample
from pipelines.storage import Location
from pipelines.store import SPLITS
from pipelines.store_writing import (
    Piece,
    aside_of,
    create_store,
    failures,
    sweep,
    write_shard,
)

PAIRS_PER_TASK = 8

PARTS = "parts-"
"""How the name of the folder of parts begins, beside the store that is being made."""

NOT_KNOWN = (np.nan,) * 6
"""Alignment of a face of which no landmarks are known."""

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class PrepareWork:
    """The work of one run.

    Attributes:
        options: Of the run.
        dataset: Path of the store.
        reference: Face that others are aligned with; None if there is none.
        pool: Who works.
        check_held: Makes sure that no other run has taken the dataset over.
        progress: Told of it.
    """

    options: PrepareOptions
    dataset: Location
    reference: ReferenceFace | None
    pool: Pool
    check_held: Callable[[], None]
    progress: Progress

    def sweep(self) -> None:
        """Bring in order what killed runs left, apart from parts that this run can use.

        Raises:
            StoreError: It cannot be.
        """
        with failures(self.dataset):
            sweep(self.dataset, keep=self._parts.name)

    def examine(self, samples: Sequence[Sample]) -> OnDisk[ReportRow]:
        """Check all pairs, and write nothing."""
        batches = (
            (start, samples[start : start + PAIRS_PER_TASK])
            for start in range(0, len(samples), PAIRS_PER_TASK)
        )
        rows: OnDisk[ReportRow] = OnDisk()
        self.progress.start("checking", len(samples))
        with closing(self._done(partial(examine, self.options.size), batches)) as done:
            for start, found in done:
                rows.put(start, found)
                self.progress.advance(len(found))
        self.progress.finish()
        return rows

    def make_parts(
        self, samples: Sequence[Sample]
    ) -> tuple[OnDisk[ReportRow], OnDisk[Framed | None]]:
        """Check all pairs, and write the frames of those that can be stored beside the store.

        Returns:
            For each pair its row, and where its frame is.
        """
        landmarks = None if self.reference is None else self.reference.landmarks
        work = partial(make_part, self._parts, self.options, landmarks)
        rows: OnDisk[ReportRow] = OnDisk()
        framed: OnDisk[Framed | None] = OnDisk()
        known = 0
        self.progress.start("checking", len(samples))
        with closing(self._done(work, part_tasks(samples))) as done:
            for part in done:
                rows.put(part.start, part.rows)
                framed.put(part.start, part.framed)
                known += len(part.rows) if part.is_known else 0
                self.progress.advance(len(part.rows))
        self.progress.finish()
        if known:
            logger.info("%d of %d pairs were done by an earlier run", known, len(samples))
        return rows, framed

    def write_store(
        self,
        rows: Sequence[ReportRow],
        framed: Sequence[Framed | None],
        count: int,
        attributes: Mapping[str, Any],
    ) -> None:
        """Put the store together out of what `make_parts` wrote.

        Args:
            rows: With duplicates and splits settled.
            framed: What `make_parts` returned.
            count: How many are stored.
            attributes: Of the store.
        """

        def stored() -> Iterator[tuple[ReportRow, Framed]]:
            for row, each in zip(rows, framed, strict=True):
                if row.status == "stored" and each is not None:
                    yield row, each

        self.progress.start("writing", count)
        self.check_held()
        with create_store(
            self.dataset,
            count=count,
            size=self.options.size,
            attributes=attributes,
            columns=_columns(stored),
            reference=None if self.reference is None else self.reference.frame,
        ) as folder:
            shards = shard_pieces(self._parts, (each for _, each in stored()))
            with closing(self._done(partial(_write_shard, folder), shards)) as done:
                for written in done:
                    self.progress.advance(written)
            self.check_held()
        self.progress.finish()

    def remove_parts(self) -> None:
        """Delete what is beside the store, as far as it can be deleted."""
        with suppress(OSError):
            forget_parts(aside_of(self.dataset))
            remove_tree(aside_of(self.dataset))

    @cached_property
    def _parts(self) -> Location:
        return aside_of(self.dataset) / f"{PARTS}{settings_key(self.options, self.reference)}"

    def _done(
        self, function: Callable[[_Task], _Result], tasks: Iterable[_Task]
    ) -> Generator[_Result]:
        """Yield the results of tasks; when a run ends early, wait for those that were handed out.

        Else they would write what the next run has made otherwise. The caller closes it, so that
        another interrupt that ends the wait reaches who called.
        """
        stopping = False

        def until_stopped() -> Iterator[_Task]:
            for task in tasks:
                if stopping:
                    return
                yield task

        results = iter(self.pool.map(function, until_stopped()))
        try:
            for result in results:
                self.check_held()
                yield result
        except BaseException:
            stopping = True
            has_waited = not self.pool.workers
            with suppress(Exception):  # what ended the run is the error to tell of
                take_in_flight(
                    results, lambda _: None, at_first=None if has_waited else tell_of_wait
                )
            raise


def _write_shard(folder: Location, shard: tuple[int, list[Piece]]) -> int:
    number, pieces = shard
    write_shard(folder, number, pieces)
    return sum(piece.stop - piece.start for piece in pieces)


def _columns(stored: Callable[[], Iterator[tuple[ReportRow, Framed]]]) -> dict[str, Iterator[Any]]:
    """Return the numbers of samples by the names of their arrays."""
    return {
        "kernel_size": (framed.facts.kernel_size for _, framed in stored()),
        "valid": (framed.facts.valid for _, framed in stored()),
        "split": (SPLITS.index(row.split) for row, _ in stored()),
        "name": (row.name for row, _ in stored()),
        "sha256": (row.sha256 for row, _ in stored()),
        "face_alignment": (
            np.reshape(framed.facts.face_alignment or NOT_KNOWN, (2, 3)) for _, framed in stored()
        ),
    }

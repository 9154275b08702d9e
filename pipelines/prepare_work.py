"""What `banet prepare` shares out among workers: looking at pairs, and writing shards."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pipelines.examine import ReportRow, examine
from pipelines.landmarks import ReferenceFace
from pipelines.parallel import Pool
from pipelines.parts import Framed, Part, make_part, part_tasks, shard_pieces
from pipelines.prepare_options import PrepareOptions
from pipelines.progress import Progress
from pipelines.sources import Sample
from pipelines.storage import Location
from pipelines.store import SPLITS
from pipelines.store_writing import Piece, aside_of, create_store, write_shard

PAIRS_PER_TASK = 8

PARTS = "parts"
"""Folder for parts, beside the store that is being made."""

NOT_KNOWN = (np.nan,) * 6
"""Alignment of a face of which no landmarks are known."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PrepareWork:
    """The work of one run.

    Attributes:
        options: Of the run.
        dataset: Path of the store.
        reference: Face that others are aligned with; None if there is none.
        pool: Who works.
        progress: Told of it.
    """

    options: PrepareOptions
    dataset: Location
    reference: ReferenceFace | None
    pool: Pool
    progress: Progress

    def examine(self, samples: Sequence[Sample]) -> list[ReportRow]:
        """Check all pairs, and write nothing."""
        numbered = list(enumerate(samples))
        batches = (
            numbered[start : start + PAIRS_PER_TASK]
            for start in range(0, len(samples), PAIRS_PER_TASK)
        )
        rows: dict[int, ReportRow] = {}
        self.progress.start("checking", len(samples))
        for batch in self.pool.map(partial(examine, self.options.size), batches):
            rows.update(batch)
            self.progress.advance(len(batch))
        self.progress.finish()
        return [rows[position] for position in range(len(samples))]

    def make_parts(self, samples: Sequence[Sample]) -> tuple[list[ReportRow], list[Framed | None]]:
        """Check all pairs, and write the frames of those that can be stored beside the store.

        Returns:
            For each pair its row, and where its frame is.
        """
        landmarks = None if self.reference is None else self.reference.landmarks
        work = partial(make_part, self._parts, self.options, landmarks)
        parts: list[Part] = []
        self.progress.start("checking", len(samples))
        for part in self.pool.map(work, part_tasks(samples)):
            parts.append(part)
            self.progress.advance(len(part.rows))
        self.progress.finish()
        known = sum(len(part.rows) for part in parts if part.is_known)
        if known:
            logger.info("%d of %d pairs were done by an earlier run", known, len(samples))
        parts.sort(key=lambda part: part.start)
        return (
            [row for part in parts for row in part.rows],
            [framed for part in parts for framed in part.framed],
        )

    def write_store(
        self,
        rows: Sequence[ReportRow],
        framed: Sequence[Framed | None],
        attributes: Mapping[str, Any],
    ) -> None:
        """Put the store together out of what `make_parts` wrote.

        Args:
            rows: With duplicates and splits settled.
            framed: What `make_parts` returned.
            attributes: Of the store.
        """
        stored = [
            (row, each)
            for row, each in zip(rows, framed, strict=True)
            if row.status == "stored" and each is not None
        ]
        self.progress.start("writing", len(stored))
        with create_store(
            self.dataset,
            count=len(stored),
            size=self.options.size,
            attributes=attributes,
            columns=_columns(stored),
            reference=None if self.reference is None else self.reference.frame,
        ) as folder:
            shards = shard_pieces(self._parts, [each for _, each in stored])
            for written in self.pool.map(partial(_write_shard, folder), shards):
                self.progress.advance(written)
        self.progress.finish()

    @property
    def _parts(self) -> Location:
        return aside_of(self.dataset) / PARTS


def _write_shard(folder: Location, shard: tuple[int, list[Piece]]) -> int:
    number, pieces = shard
    write_shard(folder, number, pieces)
    return sum(piece.stop - piece.start for piece in pieces)


def _columns(stored: Sequence[tuple[ReportRow, Framed]]) -> dict[str, list[Any]]:
    """Return the numbers of samples by the names of their arrays."""
    alignments = [framed.face_alignment or NOT_KNOWN for _, framed in stored]
    return {
        "kernel_size": [framed.kernel_size for _, framed in stored],
        "valid": [framed.valid for _, framed in stored],
        "split": [SPLITS.index(row.split) for row, _ in stored],
        "name": [row.name for row, _ in stored],
        "sha256": [row.sha256 for row, _ in stored],
        "face_alignment": [np.reshape(alignment, (2, 3)) for alignment in alignments],
    }

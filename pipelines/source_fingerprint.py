"""What tells whether a store was made of just these files with just these options."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from pipelines.examine import ReportRow
from pipelines.landmarks import ReferenceFace
from pipelines.prepare_options import PrepareOptions


def fingerprint_of(
    options: PrepareOptions, rows: Sequence[ReportRow], reference: ReferenceFace | None
) -> str:
    """Hash all that determines the content of a store.

    Args:
        options: Of the run.
        rows: Of all samples; gone through twice.
        reference: Face that others are aligned with; None if the store has no faces.
    """
    digest = hashlib.sha256()
    for part in _json(options, rows, reference):
        digest.update(part.encode())
    return digest.hexdigest()


def _json(
    options: PrepareOptions, rows: Sequence[ReportRow], reference: ReferenceFace | None
) -> Iterator[str]:
    """Yield the facts as one JSON text, which would be too long for memory."""
    yield f"[{json.dumps(options.stored_parameters(), sort_keys=True)}, "
    stored = (row for row in rows if row.status == "stored")
    yield from _json_list(
        (row.name, row.sha256, row.mask_sha256, row.crop, row.split) for row in stored
    )
    if reference is not None:  # else as it was before there were landmarks
        yield f", [{json.dumps(reference.sha256)}, "
        yield from _json_list(row.landmarks_sha256 for row in rows if row.status == "stored")
        yield "]"
    yield "]"


def _json_list(items: Iterable[object]) -> Iterator[str]:
    separator = "["
    for item in items:
        yield separator + json.dumps(item)
        separator = ", "
    yield "]" if separator == ", " else "[]"

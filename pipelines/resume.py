"""Which photos a run of `banet segment` has to do, after what earlier runs have done."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict

from pipelines.ledger import LedgerRow
from pipelines.listings import file_finder
from pipelines.photo_files import COMPOSITES, MASKS, assign_stems
from pipelines.photo_tasks import PhotoTask, TaskSettings
from pipelines.photo_tree import PhotoTree


def fingerprint(settings: TaskSettings) -> str:
    """Identify what decides about the pixels of the results: weights, their use, options."""
    picture = settings.background[1] if settings.background else None
    decisive: list[object] = [
        settings.weights_sha256,
        settings.precision if settings.description is None else "fp32",  # all there is in ONNX
        settings.size,
        settings.mask,
        settings.refine,
        settings.threshold,
        settings.composite,
        settings.composite_format if settings.composite != "none" else None,
        settings.colour,
        picture,
    ]
    if settings.description is not None:
        decisive.append(asdict(settings.description))
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]


def pending_work(
    tree: PhotoTree,
    settings: TaskSettings,
    earlier: Mapping[str, LedgerRow],
    *,
    force: bool,
    concerned: Callable[[str], bool] = lambda _source: True,
) -> list[PhotoTask]:
    """List the photos that are to be done: not those that earlier runs did and nothing changed.

    Args:
        tree: All photos; they share the names for results.
        settings: Of this run.
        earlier: Rows of earlier runs.
        force: Take what earlier runs did as well.
        concerned: Tells of a photo, named relative to the root, whether it is to be looked at.
    """
    kept_stems = {
        source: row.mask.removeprefix(f"{MASKS}/").removesuffix(".png")
        for source, row in earlier.items()
        if row.mask is not None
    }
    is_there = file_finder(settings.out, (MASKS, COMPOSITES))
    listed = tree.statuses or {}
    work = []
    for source, stem in assign_stems(tree.sources, kept_stems).items():
        if not concerned(source):
            continue
        row = None if force else earlier.get(source)
        if row is None or not _still_holds(row, settings, is_there):
            work.append(PhotoTask(source=source, stem=stem, status=listed.get(source)))
        elif not _is_untouched(row, tree):
            task = PhotoTask(source=source, stem=stem, status=listed.get(source), known=row)
            work.append(task)
    return work


def released(work: list[PhotoTask]) -> Iterator[PhotoTask]:
    """Yield what is in a list and empty it: photos that are done take no memory any more."""
    work.reverse()
    while work:
        yield work.pop()


def _still_holds(row: LedgerRow, settings: TaskSettings, is_there: Callable[[str], bool]) -> bool:
    """Tell whether a row holds for this run, if only its photo has not changed."""
    outputs = [path for path in (row.mask, row.composite) if path is not None]
    return (
        row.status != "failed"
        and row.fingerprint == settings.fingerprint
        and all(map(is_there, outputs))
    )


def _is_untouched(row: LedgerRow, tree: PhotoTree) -> bool:
    try:
        status = tree.status_of(row.source)
    except OSError:
        return False
    return status.tells_changes and status == (row.size, row.mtime_ns, row.etag)

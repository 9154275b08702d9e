"""`banet prepare`: photos with masks in, a zarr store of training samples out.

Two passes over the source. The first reads, checks and hashes every pair, so that the number of
samples, the duplicates and the splits are known; the second writes whole shards in parallel.
"""

import hashlib
import json
import logging
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter

from pipelines.doctor.dataset_findings import diagnose, near_duplicates
from pipelines.doctor.findings import KINDS, count_by_kind
from pipelines.errors import BanetError, StoreError
from pipelines.examine import ReportRow, examine, settle
from pipelines.landmarks import ReferenceFace
from pipelines.locks import exclusive
from pipelines.parallel import Pool, open_pool
from pipelines.prepare_options import PrepareOptions, PrepareSummary
from pipelines.preview import open_preview, write_preview
from pipelines.progress import Progress, SilentProgress
from pipelines.schema import REFERENCE_ATTRIBUTE
from pipelines.shards import make_shard
from pipelines.sources import Sample, discover_samples, reference_face
from pipelines.sources.crops import add_crops
from pipelines.sources.files import root_of
from pipelines.store import (
    SAMPLES_PER_SHARD,
    SPLITS,
    create_store,
    is_store,
    open_store,
    shard_starts,
)
from pipelines.whole_files import write_atomically

__all__ = ["PrepareOptions", "PrepareSummary", "prepare", "report_path"]

PAIRS_PER_TASK = 8

logger = logging.getLogger(__name__)


def prepare(options: PrepareOptions, *, progress: Progress | None = None) -> PrepareSummary:
    """Make a store of training samples out of a source dataset.

    Beside the store, `DATASET.report.jsonl` says what became of every listed sample. A store that
    is there already and was made from the same files with the same options is left as it is.

    Raises:
        ConfigError: An option makes no sense.
        InputError: The source is missing, of an unknown layout, or its reference face is damaged.
        StoreError: Something else is at the dataset's path, or no sample could be stored.
        LockedError: Another run is making the same dataset.
        BanetError: More than `max_failures` pairs failed, or the preview cannot be written.
    """
    started = perf_counter()
    progress = progress or SilentProgress()
    if options.dataset.exists() and not is_store(options.dataset):
        raise StoreError(
            f"{options.dataset}: exists and is no dataset of banet's; name another path or "
            "remove it"
        )
    open_preview(options)
    # Absolute, because workers may run elsewhere.
    source_format, samples = discover_samples(
        options.source.resolve(), options.format, options.classes
    )
    reference = reference_face(options.source.resolve(), source_format)
    if options.crops is not None:
        samples = add_crops(samples, options.crops)
    logger.info("%s: %d samples listed, layout %s", options.source, len(samples), source_format)
    with (
        nullcontext() if options.check else _exclusive(options.dataset),
        open_pool(workers=options.workers, scheduler=options.scheduler) as pool,
    ):
        rows = _judged(samples, _examine_all(samples, pool, progress), options)
        summary = _summarise(rows, source_format, reference, started)
        _tell_of_landmarks(rows, reference)
        if options.preview is not None:
            write_preview(list(zip(samples, rows, strict=True)), options, progress)
        if options.check:
            return summary
        _refuse_failures(summary, options)
        if reference is not None and _is_without_faces(options, rows):
            reference = None
            summary = replace(summary, faces=0)
        fingerprint = _fingerprint(options, rows, reference)
        if not _is_current(options, fingerprint):
            chosen = [
                (sample, row)
                for sample, row in zip(samples, rows, strict=True)
                if row.status == "stored"
            ]
            licence = _licence_text(options.source, [sample for sample, _ in chosen])
            attributes = _attributes(options, summary, fingerprint, licence)
            _write_store(chosen, options, attributes, reference, pool=pool, progress=progress)
        report = "".join(json.dumps(row.as_json()) + "\n" for row in rows)
        write_atomically(report_path(options.dataset), report.encode())
    return replace(summary, seconds=_seconds_since(started))


def report_path(dataset: Path) -> Path:
    """Return the path of the report beside a store: `photos.zarr` to `photos.report.jsonl`."""
    return dataset.with_name(f"{dataset.name.removesuffix('.zarr')}.report.jsonl")


def _exclusive(dataset: Path) -> AbstractContextManager[object]:
    return exclusive(dataset.with_name(f".{dataset.name}.lock"), place=dataset)


def _judged(
    samples: list[Sample], examined: list[ReportRow], options: PrepareOptions
) -> list[ReportRow]:
    """Choose splits, and let the doctor say what is wrong with each pair, and with all of them."""
    alike = near_duplicates(examined)
    rows = settle(samples, examined, options.split, alike.firsts)
    rows = diagnose(rows, [sample.split for sample in samples], alike.twins, frame=options.size)
    for row in rows:
        for finding in row.findings:
            logger.debug("%s: %s: %s", row.name, finding.kind, finding.message)
    counts = count_by_kind(finding for row in rows for finding in row.findings)
    grave = [f"{count} {kind}" for kind, count in counts.items() if KINDS[kind].severity != "note"]
    if grave:
        logger.warning("the doctor found: %s", ", ".join(grave))
    return rows


def _tell_of_landmarks(rows: list[ReportRow], reference: ReferenceFace | None) -> None:
    if reference is None:
        return
    stored = [row for row in rows if row.status == "stored"]
    found = sum(bool(row.faces) for row in stored)
    level = logging.INFO if found or not stored else logging.WARNING
    logger.log(level, "%d of %d have landmarks", found, len(stored))
    damaged = [row.reason for row in stored if row.reason]
    if damaged:
        logger.warning("%d of %d are %s", len(damaged), len(stored), damaged[0])


def _examine_all(samples: list[Sample], pool: Pool, progress: Progress) -> list[ReportRow]:
    numbered = list(enumerate(samples))
    batches = [numbered[i : i + PAIRS_PER_TASK] for i in range(0, len(samples), PAIRS_PER_TASK)]
    rows: dict[int, ReportRow] = {}
    progress.start("checking", len(samples))
    for batch in pool.map(examine, batches):
        rows.update(batch)
        progress.advance(len(batch))
    progress.finish()
    return [rows[position] for position in range(len(samples))]


def _seconds_since(started: float) -> float:
    return round(perf_counter() - started, 3)


def _summarise(
    rows: list[ReportRow], source_format: str, reference: ReferenceFace | None, started: float
) -> PrepareSummary:
    statuses = Counter(row.status for row in rows)
    stored = [row for row in rows if row.status == "stored"]
    splits = Counter(row.split for row in stored)
    return PrepareSummary(
        discovered=len(rows),
        stored=statuses["stored"],
        duplicates=statuses["duplicate"],
        missing=statuses["missing"],
        failed=statuses["failed"],
        splits={name: splits[name] for name in SPLITS},
        faces=0 if reference is None else sum(bool(row.faces) for row in stored),
        seconds=_seconds_since(started),
        format=source_format,
        findings=count_by_kind(finding for row in rows for finding in row.findings),
        problems=tuple(row for row in rows if row.status != "stored"),
        found=tuple((row.name, finding) for row in rows for finding in row.findings),
    )


def _refuse_failures(summary: PrepareSummary, options: PrepareOptions) -> None:
    if options.max_failures is not None and summary.failed > options.max_failures:
        first = next(row for row in summary.problems if row.status == "failed")
        raise BanetError(
            f"{options.source}: {summary.failed} pairs failed, --max-failures allows "
            f"{options.max_failures}; nothing was written. The first: {first.reason}"
        )
    if summary.stored == 0:
        reasons = {row.reason for row in summary.problems}
        raise StoreError(
            f"{options.source}: none of {summary.discovered} pairs can be stored, nothing was "
            f"written. For example: {min(reasons)}"
        )


def _fingerprint(
    options: PrepareOptions, rows: list[ReportRow], reference: ReferenceFace | None
) -> str:
    """Hash all that determines the content of a store."""
    stored = [row for row in rows if row.status == "stored"]
    facts: list[object] = [
        options.stored_parameters(),
        [(row.name, row.sha256, row.mask_sha256, row.crop, row.split) for row in stored],
    ]
    if reference is not None:  # else as it was before there were landmarks
        facts.append([reference.sha256, [row.landmarks_sha256 for row in stored]])
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _is_without_faces(options: PrepareOptions, rows: list[ReportRow]) -> bool:
    """Tell whether a store is there that lacks nothing but the faces of its photos.

    It was made by a banet that kept none, or before the reference face lay in the source.
    """
    if not options.dataset.exists() or options.force:
        return False
    attributes = open_store(options.dataset).attributes
    without_faces = _fingerprint(options, rows, None)
    if REFERENCE_ATTRIBUTE in attributes or attributes.get("fingerprint") != without_faces:
        return False
    logger.info("%s: has no faces; --force adds them", options.dataset)
    return True


def _is_current(options: PrepareOptions, fingerprint: str) -> bool:
    """Tell whether the store is there already; refuse to replace another one without --force."""
    if not options.dataset.exists() or options.force:
        return False
    if open_store(options.dataset).attributes.get("fingerprint") == fingerprint:
        logger.info("%s: up to date", options.dataset)
        return True
    raise StoreError(
        f"{options.dataset}: exists, made from other files or with other options; add --force to "
        "replace it or name another path"
    )


def _attributes(
    options: PrepareOptions, summary: PrepareSummary, fingerprint: str, licence: str
) -> dict[str, object]:
    return {
        **options.stored_parameters(),
        "source": options.source.name,
        "format": summary.format,
        "counts": {"stored": summary.stored, **summary.splits, "faces": summary.faces},
        "licence": licence,
        "fingerprint": fingerprint,
    }


def _write_store(
    chosen: list[tuple[Sample, ReportRow]],
    options: PrepareOptions,
    attributes: dict[str, object],
    reference: ReferenceFace | None,
    *,
    pool: Pool,
    progress: Progress,
) -> None:
    progress.start("writing", len(chosen))
    landmarks = None if reference is None else reference.landmarks
    with create_store(
        options.dataset.resolve(),
        count=len(chosen),
        size=options.size,
        attributes=attributes,
        reference=None if reference is None else reference.frame,
    ) as folder:
        tasks = (
            (start, chosen[start : start + SAMPLES_PER_SHARD])
            for start in shard_starts(len(chosen))
        )
        for written in pool.map(partial(make_shard, folder, options, landmarks), tasks):
            progress.advance(written)
    progress.finish()


def _licence_text(source: Path, stored: list[Sample]) -> str:
    """Return the licence that lies in the source folder, and those that its samples state."""
    folder = source if source.is_dir() else root_of(source.resolve())
    names = ("LICENSE", "LICENSE.txt", "LICENCE", "LICENCE.txt", "LICENSE.md")
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    text = "" if path is None else path.read_text(encoding="utf-8", errors="replace")
    return "\n\n".join(dict.fromkeys(filter(None, [text, *(each.licence for each in stored)])))

"""`banet prepare`: photos with masks in, a zarr store of training samples out.

Every pair is read once, checked, and written aside, in parts. Then the number of samples, the
duplicates and the splits are known, and the store is put together out of the parts.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from time import perf_counter

from pipelines.doctor.dataset_findings import diagnose, equal_photos, near_duplicates
from pipelines.doctor.findings import KINDS
from pipelines.errors import BanetError, ConfigError, MissingFileError, PhotoError, StoreError
from pipelines.examine import ReportRow, settle
from pipelines.landmarks import ReferenceFace
from pipelines.locks import exclusive
from pipelines.on_disk import OnDisk
from pipelines.parallel import REMOTE_WORKERS_PER_CORE, available_cores, open_pool
from pipelines.prepare_options import PrepareOptions, PrepareSummary
from pipelines.prepare_work import PrepareWork
from pipelines.preview import open_preview, write_preview
from pipelines.progress import Progress, SilentProgress
from pipelines.schema import REFERENCE_ATTRIBUTE
from pipelines.source_fingerprint import fingerprint_of
from pipelines.sources import Sample, discover_samples, reference_face
from pipelines.sources.crops import cropped_samples
from pipelines.sources.files import kind_of, root_of
from pipelines.storage import Location, RemotePath, is_remote, locate
from pipelines.store import SPLITS, is_store, open_store
from pipelines.store_writing import is_begun
from pipelines.whole_files import read_bytes, write_atomically

__all__ = ["PrepareOptions", "PrepareSummary", "prepare", "report_path"]

LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENCE", "LICENCE.txt", "LICENSE.md")
"""Of a source; the first that is there counts."""

PAIRS_FOR_PROCESSES = 400
"""From so many pairs on, processes are worth the half second in which they start; for fewer, and
where workers wait for what is behind URLs most of the time, threads do."""

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
    # Absolute, because workers may run elsewhere, and where links lead.
    source, dataset = locate(options.source).resolve(), locate(options.dataset).resolve()
    _refuse_unfit_place(dataset)
    _refuse_foreign_folder(dataset)
    open_preview(options)
    source_format, samples = discover_samples(source, options.format, options.classes)
    reference = reference_face(source, source_format)
    if options.crops is not None:
        samples.put(len(samples), cropped_samples(samples, options.crops))
    logger.info("%s: %d samples listed, layout %s", source, len(samples), source_format)
    is_far = is_remote(source) or is_remote(dataset)
    with (
        nullcontext(_do_nothing) if options.check else _exclusive(dataset) as check_held,
        open_pool(
            workers=_workers(options, is_far=is_far),
            scheduler=options.scheduler,
            apart=len(samples) >= PAIRS_FOR_PROCESSES and not is_far,
        ) as pool,
    ):
        work = PrepareWork(
            options=options,
            dataset=dataset,
            reference=reference,
            pool=pool,
            check_held=check_held,
            progress=progress,
        )
        if not options.check:
            work.sweep()
        is_there = is_store(dataset) and not options.force
        writes = not options.check and not is_there
        examined, framed = work.make_parts(samples) if writes else (work.examine(samples), None)
        rows = _judged(samples, examined, options)
        summary = _summarise(rows, source_format, reference, started)
        _tell_of_findings(summary)
        _tell_of_landmarks(summary, reference)
        if options.preview is not None:
            write_preview(samples, rows, options, progress)
        if options.check:
            return summary
        _refuse_failures(summary, options)
        if framed is not None:
            _refuse_foreign_folder(dataset)  # that came there meanwhile
            licence = _licence_text(source, samples, rows)
            fingerprint = fingerprint_of(options, rows, reference)
            attributes = _attributes(options, summary, fingerprint, licence)
            work.write_store(rows, framed, summary.stored, attributes)
        elif not _require_current(dataset, options, rows, reference):
            summary = replace(summary, faces=0)
        check_held()
        lines = (json.dumps(row.as_json()).encode() + b"\n" for row in rows)
        write_atomically(report_path(dataset), lines)
        work.remove_parts()
    return replace(summary, seconds=_seconds_since(started))


def report_path(dataset: Location) -> Location:
    """Return the path of the report beside a store: `photos.zarr` to `photos.report.jsonl`."""
    return dataset.with_name(f"{dataset.name.removesuffix('.zarr')}.report.jsonl")


def _exclusive(dataset: Location) -> AbstractContextManager[Callable[[], None]]:
    return exclusive(dataset.with_name(f".{dataset.name}.lock"), place=dataset)


def _do_nothing() -> None:
    """Check nothing: where nothing is written, nobody takes anything over."""


def _workers(options: PrepareOptions, *, is_far: bool) -> int | None:
    """Return how many workers a local run takes, None for one per core."""
    if options.workers is not None or not is_far:
        return options.workers
    return REMOTE_WORKERS_PER_CORE * available_cores()


def _refuse_unfit_place(dataset: Location) -> None:
    """Make sure that a store can be made at a place.

    Raises:
        ConfigError: It has no name, or lies behind a URL of files that are not written whole.
    """
    if not dataset.name:
        raise ConfigError(f"{dataset}: name the dataset too, such as {dataset}/people.zarr")
    if isinstance(dataset, RemotePath) and not dataset.is_object:
        raise ConfigError(
            f"{dataset}: datasets are made on disks and in object stores (s3://, gs://, az://); "
            "make it on a disk, and copy it there"
        )


def _refuse_foreign_folder(dataset: Location) -> None:
    """Make sure that nothing of anybody else's is where the store is to be.

    Raises:
        StoreError: Something is.
    """
    try:
        is_free = not dataset.exists() or is_store(dataset)
    except OSError as error:
        raise StoreError(f"{dataset}: cannot be looked at ({error.strerror or error})") from error
    if is_free:
        return
    if is_begun(dataset):
        return
    raise StoreError(
        f"{dataset}: exists and is no dataset of banet's; name another path or remove it"
    )


def _judged(
    samples: Sequence[Sample], examined: Sequence[ReportRow], options: PrepareOptions
) -> OnDisk[ReportRow]:
    """Choose splits, and let the doctor say what is wrong with each pair, and with all of them."""
    photos = equal_photos(examined)
    alike = near_duplicates(examined, photos)
    rows = OnDisk(settle(examined, options.split, alike.firsts))
    return OnDisk(diagnose(rows, samples, photos, alike.twins))


def _tell_of_findings(summary: PrepareSummary) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        for name, finding in summary.found():
            logger.debug("%s: %s: %s", name, finding.kind, finding.message)
    counts = summary.findings.items()
    grave = [f"{count} {kind}" for kind, count in counts if KINDS[kind].severity != "note"]
    if grave:
        logger.warning("the doctor found: %s", ", ".join(grave))


def _tell_of_landmarks(summary: PrepareSummary, reference: ReferenceFace | None) -> None:
    if reference is None:
        return
    level = logging.INFO if summary.faces or not summary.stored else logging.WARNING
    logger.log(level, "%d of %d have landmarks", summary.faces, summary.stored)
    damaged = Counter(bool(row.reason) for row in _stored(summary.rows))[True]
    if damaged:
        reason = next(row.reason for row in _stored(summary.rows) if row.reason)
        logger.warning("%d of %d are %s", damaged, summary.stored, reason)


def _seconds_since(started: float) -> float:
    return round(perf_counter() - started, 3)


def _stored(rows: Iterable[ReportRow]) -> Iterator[ReportRow]:
    return (row for row in rows if row.status == "stored")


def _summarise(
    rows: Sequence[ReportRow], source_format: str, reference: ReferenceFace | None, started: float
) -> PrepareSummary:
    statuses: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    faces = 0
    for row in rows:
        statuses[row.status] += 1
        findings.update(finding.kind for finding in row.findings)
        if row.status == "stored":
            splits[row.split] += 1
            faces += bool(row.faces)
    return PrepareSummary(
        discovered=len(rows),
        stored=statuses["stored"],
        duplicates=statuses["duplicate"],
        missing=statuses["missing"],
        failed=statuses["failed"],
        splits={name: splits[name] for name in SPLITS},
        faces=0 if reference is None else faces,
        seconds=_seconds_since(started),
        format=source_format,
        findings={kind: findings[kind] for kind in KINDS if kind in findings},
        rows=rows,
    )


def _refuse_failures(summary: PrepareSummary, options: PrepareOptions) -> None:
    if options.max_failures is not None and summary.failed > options.max_failures:
        first = next(row for row in summary.problems() if row.status == "failed")
        raise BanetError(
            f"{options.source}: {summary.failed} pairs failed, --max-failures allows "
            f"{options.max_failures}; no dataset was written. The first: {first.reason}"
        )
    if summary.stored == 0:
        reasons = {row.reason for row in summary.problems()}
        raise StoreError(
            f"{options.source}: none of {summary.discovered} pairs can be stored, no dataset "
            f"was written. For example: {min(reasons)}"
        )


def _require_current(
    dataset: Location,
    options: PrepareOptions,
    rows: Sequence[ReportRow],
    reference: ReferenceFace | None,
) -> bool:
    """Make sure that the store that is there is the one that would be made.

    Returns:
        Whether it has faces. One that was made by a banet that kept none, or before the reference
        face lay in the source, lacks nothing else.

    Raises:
        StoreError: It was made of something else.
    """
    attributes = open_store(dataset).attributes
    found = attributes.get("fingerprint")
    if found == fingerprint_of(options, rows, reference):
        logger.info("%s: up to date", dataset)
        return reference is not None
    if REFERENCE_ATTRIBUTE not in attributes and found == fingerprint_of(options, rows, None):
        logger.info("%s: has no faces; --force adds them", dataset)
        return False
    raise StoreError(
        f"{dataset}: exists, made from other files or with other options; add --force to "
        "replace it or name another path"
    )


def _attributes(
    options: PrepareOptions, summary: PrepareSummary, fingerprint: str, licence: str
) -> dict[str, object]:
    return {
        **options.stored_parameters(),
        "source": locate(options.source).name,
        "format": summary.format,
        "counts": {"stored": summary.stored, **summary.splits, "faces": summary.faces},
        "licence": licence,
        "fingerprint": fingerprint,
    }


def _licence_text(source: Location, samples: Iterable[Sample], rows: Iterable[ReportRow]) -> str:
    """Return the licence that lies in the source folder, and those that its samples state."""
    folder = root_of(source) if kind_of(source) == "file" else source
    found: dict[str, None] = {}
    for name in LICENCE_FILES:
        with suppress(MissingFileError, PhotoError):
            found[read_bytes(folder / name).decode(errors="replace")] = None
            break
    for sample, row in zip(samples, rows, strict=True):
        if row.status == "stored" and sample.licence:
            found[sample.licence] = None
    return "\n\n".join(found)

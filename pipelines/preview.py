"""Contact sheets of a dataset: a sample of what is stored, and what the doctor found.

Photo, mask over the photo and boundary target stand side by side.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import cv2
import numpy as np

from pipelines.doctor.findings import KINDS, Finding
from pipelines.encoding import encode
from pipelines.errors import BanetError, ConfigError, PhotoError, StoreError
from pipelines.examine import ReportRow, load_pair
from pipelines.images import PERSON_FROM, Pixels, decode_photo
from pipelines.parts import frame_of
from pipelines.prepare_options import PrepareOptions
from pipelines.progress import Progress
from pipelines.sheets import Entry, contact_sheet, thumbnail
from pipelines.sources import Sample
from pipelines.sources.files import root_of
from pipelines.sources.mask_origin import MaskFile
from pipelines.storage import FilePath, lies_in, locate
from pipelines.whole_files import read_bytes, write_atomically

SAMPLED = 18
SHOWN_PER_KIND = 18
SEED = 0
"""Of the choice of samples: the same dataset gives the same sheets."""

STAIN = (230, 30, 30)
STAIN_SHARE = 0.4
"""Share of the colour over the person."""

NOTHING = np.full((200, 150, 3), 225, np.uint8)
"""Shown instead of a file that cannot be read."""


def open_preview(options: PrepareOptions) -> None:
    """Create the folder of the sheets before anything is read.

    Raises:
        ConfigError: It lies in the source, where its pictures might be taken for photos.
        BanetError: It cannot be created.
    """
    folder = options.preview
    if folder is None:
        return
    source = locate(options.source).resolve()
    root = root_of(source) if isinstance(source, Path) and source.is_file() else source
    if lies_in(folder.resolve(), root):
        raise ConfigError(f"--preview {folder}: lies inside of the source; choose a folder beside")
    if lies_in(folder.resolve(), locate(options.dataset).resolve()):
        raise ConfigError(f"--preview {folder}: lies inside of DATASET; choose a folder beside")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _failure(folder, error) from error


def write_preview(
    samples: Sequence[Sample],
    rows: Sequence[ReportRow],
    options: PrepareOptions,
    progress: Progress,
) -> None:
    """Write `samples.jpg`, and `KIND.jpg` for every kind of finding, into the preview folder.

    Sheets of kinds that are not found any more are removed.

    Raises:
        BanetError: The folder cannot be written to.
    """
    folder = options.preview
    assert folder is not None
    stored = np.flatnonzero([row.status == "stored" for row in rows])
    counts, found = _counted_findings(rows)
    others = {finding.other for each in found.values() for _, finding in each}
    by_name = {sample.name: sample for sample in samples if sample.name in others}
    progress.start("contact sheets", 1 + len(KINDS))
    try:
        if len(stored):
            chosen = Random(SEED).sample(range(len(stored)), min(SAMPLED, len(stored)))  # noqa: S311
            entries = [
                _stored_entry(samples[place], rows[place], options) for place in stored[chosen]
            ]
            _write(folder / "samples.jpg", entries, f"{len(entries)} of {len(stored)} samples")
        progress.advance()
        for kind in KINDS:
            path = folder / f"{kind}.jpg"
            if kind in found:
                shown = [
                    _found_entry(samples[place], finding, by_name) for place, finding in found[kind]
                ]
                title = f"{kind}, {len(shown)} of {counts[kind]}: {KINDS[kind].meaning}"
                _write(path, shown, title)
            else:
                path.unlink(missing_ok=True)
            progress.advance()
    except OSError as error:
        raise _failure(folder, error) from error
    progress.finish()


def stained(photo: Pixels, mask: Pixels) -> Pixels:
    """Stain what a mask calls a person, (H, W, 3) uint8, and draw its outline."""
    person = (mask >= PERSON_FROM).astype(np.uint8)
    colour = np.full_like(photo, STAIN)
    mixed = np.asarray(cv2.addWeighted(photo, 1 - STAIN_SHARE, colour, STAIN_SHARE, 0), np.uint8)
    shown = np.where(person[..., None] > 0, mixed, photo)
    side = 1 + max(mask.shape) // 200
    shown[cv2.morphologyEx(person, cv2.MORPH_GRADIENT, np.ones((side, side))) > 0] = STAIN
    return shown


def _counted_findings(
    rows: Iterable[ReportRow],
) -> tuple[Counter[str], dict[str, list[tuple[int, Finding]]]]:
    """Return by kind how many findings there are, and those to show with their positions."""
    counts: Counter[str] = Counter()
    shown: defaultdict[str, list[tuple[int, Finding]]] = defaultdict(list)
    for place, row in enumerate(rows):
        for finding in row.findings:
            counts[finding.kind] += 1
            if counts[finding.kind] <= SHOWN_PER_KIND:
                shown[finding.kind].append((place, finding))
    return counts, shown


def _stored_entry(sample: Sample, row: ReportRow, options: PrepareOptions) -> Entry:
    try:
        pair = load_pair(sample)
    except PhotoError as error:
        raise StoreError(
            f"changed while the dataset was being made: {error}; run the same command again"
        ) from error
    stored = frame_of(pair, sample, options, None)
    y, x, height, width = stored.facts.valid
    inside = slice(y, y + height), slice(x, x + width)
    image, mask, boundary = (
        thumbnail(each[inside]) for each in (stored.image, stored.mask, stored.boundary * 255)
    )
    return Entry(
        pictures=[image, stained(image, mask), boundary],
        caption=f"{row.name}, {row.split}, {row.portrait_share:.0%} person",
    )


def _found_entry(sample: Sample, finding: Finding, by_name: dict[str, Sample]) -> Entry:
    pictures = _pictures(sample)
    if finding.other in by_name:
        pictures += _pictures(by_name[finding.other])
    return Entry(pictures=pictures, caption=f"{sample.name}: {finding.message}")


def _pictures(sample: Sample) -> list[Pixels]:
    """Return the photo and what its mask says of it, small, as far as they can be read."""
    try:
        pair = load_pair(sample)
    except PhotoError:
        mask = sample.mask
        drawn = _readable(mask.path) if isinstance(mask, MaskFile) else NOTHING
        return [_readable(sample.photo), drawn]
    photo = thumbnail(pair.photo)
    return [photo, stained(photo, thumbnail(pair.mask))]


def _readable(path: FilePath) -> Pixels:
    try:
        return thumbnail(decode_photo(read_bytes(path)).pixels)
    except PhotoError:
        return NOTHING


def _write(path: Path, entries: Sequence[Entry], title: str) -> None:
    write_atomically(path, encode(contact_sheet(entries, title), "jpg"))


def _failure(folder: Path, error: OSError) -> BanetError:
    return BanetError(
        f"--preview {folder}: cannot be written ({error.strerror or error}); mend its permissions "
        "or choose another folder"
    )

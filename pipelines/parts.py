"""Parts of a dataset that is being made: samples are examined and framed, a shard's number at once.

Each photo is read once. What a part holds stays until the dataset is complete, so that a run that
was killed goes on from there: the name of a part says of what it was made, down to size and time of
every file.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from pipelines.affine import apply, compose, fit, shift
from pipelines.boundary import CANONICAL_SIZE, boundary_target
from pipelines.examine import Pair, ReportRow, examine_pair
from pipelines.frames import fit_frame, frame_map
from pipelines.images import Pixels
from pipelines.landmarks import Landmarks, ReferenceFace
from pipelines.part_rows import Framed, FrameFacts, read_rows, write_rows
from pipelines.prepare_options import PrepareOptions
from pipelines.schema import FRAME_ARRAYS
from pipelines.sources import Sample
from pipelines.storage import FilePath, Location, Status, status_of
from pipelines.store_writing import SAMPLES_PER_SHARD, Piece, is_whole_part, write_part

PARTS_OF_FEW = 8
"""In so many parts small datasets are divided, so that several workers have something to do."""

FEWEST_SAMPLES = 8
"""Of a part."""

PACKAGES = (
    *("banet", "numpy", "opencv-python-headless", "pillow", "pillow-heif", "pycocotools", "scipy"),
    *("simplejpeg", "zarr", "numcodecs"),
)
"""Other versions may make other pixels or bytes."""

UNKNOWN = Status(0, None)
"""Of a file that cannot be looked at now."""

Task = tuple[int, Sequence[Sample]]
"""Position of the first sample of a part, and all samples of it."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A sample as the store holds it.

    Attributes:
        image: RGB, (S, S, 3) uint8.
        mask: (S, S) uint8, 0-255.
        boundary: (S, S) uint8 in {0, 1}.
        facts: About it.
    """

    image: Pixels
    mask: Pixels
    boundary: Pixels
    facts: FrameFacts


class Part(NamedTuple):
    """What became of the samples of a part.

    Attributes:
        start: Position of the first.
        rows: One for each.
        framed: One for each; None for those that cannot be stored.
        is_known: An earlier run had done it.
    """

    start: int
    rows: list[ReportRow]
    framed: list[Framed | None]
    is_known: bool


def part_tasks(samples: Sequence[Sample]) -> Iterator[Task]:
    """Yield the samples of every part: as many as a shard holds, but for small datasets."""
    count = min(SAMPLES_PER_SHARD, max(FEWEST_SAMPLES, -(-len(samples) // PARTS_OF_FEW)))
    for start in range(0, len(samples), count):
        yield start, samples[start : start + count]


def settings_key(options: PrepareOptions, reference: ReferenceFace | None) -> str:
    """Hash all that determines what is made of any pair, beside the pair."""
    facts = (
        [(name, _version(name)) for name in PACKAGES],
        (options.size, options.fit, options.canonical_width, options.canny),
        None if reference is None else reference.landmarks.tolist(),
    )
    return _digest(facts)


def make_part(
    folder: Location, options: PrepareOptions, reference: Landmarks | None, task: Task
) -> Part:
    """Examine some samples and write the frames of those that can be stored.

    Args:
        folder: Of all parts made with these options.
        options: How.
        reference: Landmarks of the reference face, None if there is none.
        task: One of `part_tasks`.

    Raises:
        StoreError: They cannot be written.
    """
    start, samples = task
    states = [_states(sample) for sample in samples]
    place = folder / _digest([*zip(samples, states, strict=True)])
    known = _known(place, samples, options)
    if known is not None:
        return Part(start, *known, is_known=True)
    # A name of its own: a worker that is believed dead may be at work on the same part.
    frames_folder = place / uuid4().hex
    rows: list[ReportRow] = []
    framed: list[Framed | None] = []
    frames = _Frames(len(samples), options.size)
    for sample in samples:
        row, pair = examine_pair(sample, options.size)
        rows.append(row)
        framed.append(
            None
            if pair is None
            else frames.add(
                frame_of(pair, sample, options, reference),
                part=f"{place.name}/{frames_folder.name}",
            )
        )
    if frames.count:
        write_part(frames_folder, frames.arrays())
    if all(state is None or state.tells_changes for each in states for state in each):
        write_rows(place, rows, framed)
    return Part(start, rows, framed, is_known=False)


def frame_of(
    pair: Pair, sample: Sample, options: PrepareOptions, reference: Landmarks | None
) -> Frame:
    """Bring a pair into its frame, and make its boundary target."""
    image, mask, valid = fit_frame(pair.photo, pair.mask, size=options.size, fit=options.fit)
    y, x, height, width = valid
    inside = slice(y, y + height), slice(x, x + width)
    boundary = np.zeros_like(mask)
    boundary[inside], kernel_size = boundary_target(
        mask[inside],
        canonical_width=options.canonical_width * options.size / CANONICAL_SIZE,
        canny=options.canny,
    )
    face_alignment = _face_alignment(pair, sample, options, reference)
    facts = FrameFacts(kernel_size=kernel_size, valid=valid, face_alignment=face_alignment)
    return Frame(image=image, mask=mask, boundary=boundary, facts=facts)


def shard_pieces(folder: Location, framed: Iterable[Framed]) -> Iterator[tuple[int, list[Piece]]]:
    """Yield the number of every shard, and the pieces of parts that it is made of.

    Args:
        folder: Of all parts.
        framed: Of the samples of the store, in their order.
    """
    shards = groupby(enumerate(framed), key=lambda each: each[0] // SAMPLES_PER_SHARD)
    for number, placed in shards:
        # Neighbours of one part differ from their place in the store by the same number.
        runs = groupby(placed, key=lambda each: (each[1].part, each[1].index - each[0]))
        pieces = []
        for (part, offset), run in runs:
            places = [place for place, _ in run]
            pieces.append(Piece(folder / part, offset + places[0], offset + places[-1] + 1))
        yield number, pieces


class _Frames:
    """The frames of a part, laid out as they are written."""

    def __init__(self, most: int, size: int) -> None:
        self.count = 0
        self._arrays = {
            name: np.empty((most, size, size, *spec.trailing), spec.dtype)
            for name, spec in FRAME_ARRAYS.items()
        }

    def add(self, frame: Frame, *, part: str) -> Framed:
        for name, array in self._arrays.items():
            array[self.count] = getattr(frame, name)
        self.count += 1
        return Framed(part=part, index=self.count - 1, facts=frame.facts)

    def arrays(self) -> dict[str, Pixels]:
        return {name: array[: self.count] for name, array in self._arrays.items()}


def _digest(facts: object) -> str:
    return hashlib.sha256(repr(facts).encode(errors="backslashreplace")).hexdigest()[:32]


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _states(sample: Sample) -> list[Status | None]:
    """Return size and time of the files of a sample, None of those that are not there."""
    landmarks = () if sample.landmarks is None else (sample.landmarks,)
    return [_state(path) for path in (sample.photo, *sample.mask.files, *landmarks)]


def _state(path: FilePath) -> Status | None:
    try:
        return status_of(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no file can have such a name
        return None
    except OSError:
        return UNKNOWN


def _known(
    place: Location, samples: Sequence[Sample], options: PrepareOptions
) -> tuple[list[ReportRow], list[Framed | None]] | None:
    """Return what an earlier run made of a part; None if it is not to be had any more.

    What could not be used is looked at again: a missing package, or permissions, may be the reason.
    """
    found = read_rows(place)
    if found is None:
        return None
    rows, framed = found
    for sample, row in zip(samples, rows, strict=True):
        is_doubtful = row.status != "stored" or bool(row.reason)
        if is_doubtful and examine_pair(sample, options.size)[0] != row:
            return None
    folders = {each.part for each in framed if each is not None}
    return found if all(is_whole_part(place.parent / each) for each in folders) else None


def _face_alignment(
    pair: Pair, sample: Sample, options: PrepareOptions, reference: Landmarks | None
) -> tuple[float, ...] | None:
    """Return the map from the frame of a sample to that of the reference face, row by row."""
    if reference is None or pair.landmarks.points is None:
        return None
    left, top = sample.crop[:2] if sample.crop else (0, 0)
    height, width = pair.photo.shape[:2]
    to_frame = frame_map(height=height, width=width, size=options.size, fit=options.fit)
    alignment = fit(apply(compose(to_frame, shift(-left, -top)), pair.landmarks.points), reference)
    return tuple(alignment.ravel().tolist())

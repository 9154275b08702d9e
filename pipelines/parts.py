"""Parts of a dataset that is being made: samples are examined and framed, a shard's number at once.

Each photo is read once. What a part holds stays until the dataset is complete, so that a run that
was killed goes on from there: the name of a part says of what it was made, down to size and time of
every file.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from pipelines import __version__
from pipelines.affine import apply, compose, fit, shift
from pipelines.boundary import CANONICAL_SIZE, boundary_target
from pipelines.doctor.facts import PairTraits
from pipelines.doctor.findings import Finding
from pipelines.examine import Pair, ReportRow, examine_pair
from pipelines.frames import fit_frame, frame_map
from pipelines.images import Pixels
from pipelines.landmarks import Landmarks
from pipelines.prepare_options import PrepareOptions
from pipelines.schema import FRAME_ARRAYS
from pipelines.sources import Sample
from pipelines.storage import FilePath, Location, status_of
from pipelines.store_writing import SAMPLES_PER_SHARD, Piece, write_part
from pipelines.whole_files import write_atomically

ROWS_FILE = "rows.json"
"""Of a part; it is written last."""

Task = tuple[int, Sequence[Sample]]
"""Position of the first sample of a part, and all samples of it."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A sample as the store holds it.

    Attributes:
        image: RGB, (S, S, 3) uint8.
        mask: (S, S) uint8, 0-255.
        boundary: (S, S) uint8 in {0, 1}.
        kernel_size: K of Eq. 1.
        valid: y, x, height and width of the photo inside the frame.
        face_alignment: Rows of the map to the frame of the reference face; None if not known.
    """

    image: Pixels
    mask: Pixels
    boundary: Pixels
    kernel_size: int
    valid: tuple[int, int, int, int]
    face_alignment: tuple[float, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Framed:
    """Where the frame of a sample is until there is a store, and what goes with it.

    Attributes:
        part: Name of the part.
        index: Position in it.
        kernel_size: See `Frame`, likewise the others.
    """

    part: str
    index: int
    kernel_size: int
    valid: tuple[int, int, int, int]
    face_alignment: tuple[float, ...] | None


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
    """Yield the samples of every part."""
    for start in range(0, len(samples), SAMPLES_PER_SHARD):
        yield start, samples[start : start + SAMPLES_PER_SHARD]


def make_part(
    folder: Location, options: PrepareOptions, reference: Landmarks | None, task: Task
) -> Part:
    """Examine some samples and write the frames of those that can be stored.

    Args:
        folder: Of all parts of the dataset.
        options: How.
        reference: Landmarks of the reference face, None if there is none.
        task: One of `part_tasks`.
    """
    start, samples = task
    name = _name(samples, options, reference)
    known = _read_rows(folder / name)
    if known is not None:
        return Part(start, *known, is_known=True)
    rows: list[ReportRow] = []
    framed: list[Framed | None] = []
    frames = _Frames(len(samples), options.size)
    for sample in samples:
        row, pair = examine_pair(sample, options.size)
        rows.append(row)
        framed.append(
            None
            if pair is None
            else frames.add(frame_of(pair, sample, options, reference), part=name)
        )
    if frames.count:
        write_part(folder / name, frames.arrays())
    # What was out of reach may be there the next time, though the files are the same.
    if not any(finding.kind == "out-of-reach" for row in rows for finding in row.findings):
        _write_rows(folder / name, rows, framed)
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
    return Frame(
        image=image,
        mask=mask,
        boundary=boundary,
        kernel_size=kernel_size,
        valid=valid,
        face_alignment=_face_alignment(pair, sample, options, reference),
    )


def shard_pieces(folder: Location, framed: Sequence[Framed]) -> Iterator[tuple[int, list[Piece]]]:
    """Yield the number of every shard, and the pieces of parts that it is made of.

    Args:
        folder: Of all parts.
        framed: Of the samples of the store, in their order.
    """
    for number, start in enumerate(range(0, len(framed), SAMPLES_PER_SHARD)):
        placed = enumerate(framed[start : start + SAMPLES_PER_SHARD])
        # Neighbours of one part differ from their place in the shard by the same number.
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
        return Framed(
            part=part,
            index=self.count - 1,
            kernel_size=frame.kernel_size,
            valid=frame.valid,
            face_alignment=frame.face_alignment,
        )

    def arrays(self) -> dict[str, Pixels]:
        return {name: array[: self.count] for name, array in self._arrays.items()}


def _name(samples: Sequence[Sample], options: PrepareOptions, reference: Landmarks | None) -> str:
    """Hash all that determines the content of a part."""
    facts = (
        __version__,
        (options.size, options.fit, options.canonical_width, options.canny),
        None if reference is None else reference.tolist(),
        [(sample, [_state(path) for path in _files(sample)]) for sample in samples],
    )
    return hashlib.sha256(repr(facts).encode(errors="backslashreplace")).hexdigest()[:32]


def _files(sample: Sample) -> tuple[FilePath, ...]:
    landmarks = () if sample.landmarks is None else (sample.landmarks,)
    return (sample.photo, *sample.mask.files, *landmarks)


def _state(path: FilePath) -> object:
    try:
        return tuple(status_of(path))
    except (OSError, ValueError):  # it is missing, or has a name that no file can have
        return None


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


def _write_rows(part: Location, rows: list[ReportRow], framed: list[Framed | None]) -> None:
    content = {
        "rows": list(map(asdict, rows)),
        "framed": [None if each is None else asdict(each) for each in framed],
    }
    part.mkdir(parents=True, exist_ok=True)
    write_atomically(part / ROWS_FILE, json.dumps(content, default=bytes.hex).encode())


def _read_rows(part: Location) -> tuple[list[ReportRow], list[Framed | None]] | None:
    """Return what `_write_rows` wrote; None if a part is not there, or not complete."""
    path = part / ROWS_FILE
    try:
        content = json.loads(path.read_bytes())
        rows = list(map(_row, content["rows"]))
        framed = [None if each is None else _framed(each) for each in content["framed"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rows, framed


def _row(line: dict[str, Any]) -> ReportRow:
    traits, crop = line["traits"], line["crop"]
    if traits is not None:
        traits = PairTraits(**{**traits, "fingerprint": bytes.fromhex(traits["fingerprint"])})
    findings = tuple(Finding(**finding) for finding in line["findings"])
    known = {"traits": traits, "findings": findings, "crop": None if crop is None else tuple(crop)}
    return ReportRow(**{**line, **known})


def _framed(line: dict[str, Any]) -> Framed:
    alignment = line["face_alignment"]
    return Framed(
        **{
            **line,
            "valid": tuple(line["valid"]),
            "face_alignment": None if alignment is None else tuple(alignment),
        }
    )

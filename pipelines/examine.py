"""Checking the pairs of a source dataset before anything is written.

Every listed pair is read, checked and hashed; then duplicates are marked and splits chosen.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.allocator import keep_freed_memory
from pipelines.doctor.facts import PairTraits, pair_facts
from pipelines.doctor.findings import Finding
from pipelines.doctor.misfits import PairError, misfit_kind
from pipelines.doctor.pair_findings import pair_findings
from pipelines.errors import MissingFileError, OutOfReachError, PhotoError, UnclearMaskError
from pipelines.first_equals import first_equals
from pipelines.images import Pixels, decode_photo
from pipelines.landmarks import LandmarkFile, read_landmarks
from pipelines.sources import Sample
from pipelines.sources.mask_origin import MaskFile
from pipelines.split_groups import leaders, tell_of_lopsided_splits
from pipelines.store import SPLITS
from pipelines.whole_files import read_bytes

Status = Literal["stored", "duplicate", "missing", "failed"]
Shares = tuple[float, float, float]

_STRICTNESS = ("", "train", "val", "test")
"""Listed splits, the strictest last: of equal photos the one that is listed so decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """What became of one listed sample; a line of `DATASET.report.jsonl`.

    Attributes:
        reason: Why it is missing or failed, which sample it duplicates, or why it is stored
            without its landmarks.
        split: Where the source lists it, if it does, until `settle` has chosen one.
        mask: Where its mask comes from.
        convention: How the mask writes "person", see `sources.Mask`.
        mask_sha256: Of what the mask is made of, so that a changed mask is noticed.
        landmarks_sha256: Of the file with its landmarks, empty if there is none.
        faces: How many faces that file holds; None if there is none or it cannot be used.
        portrait_share: Share of the photo that the mask calls a person, in [0, 1].
        findings: Of the doctor.
        traits: For comparing pairs; they are no part of the report.
    """

    name: str
    status: Status
    photo: str
    mask: str
    crop: tuple[int, int, int, int] | None = None
    reason: str = ""
    split: str = ""
    sha256: str = ""
    mask_sha256: str = ""
    landmarks_sha256: str = ""
    faces: int | None = None
    convention: str = ""
    portrait_share: float | None = None
    findings: tuple[Finding, ...] = ()
    traits: PairTraits | None = None

    def as_json(self) -> dict[str, object]:
        """Return the line of the report."""
        line = {each.name: getattr(self, each.name) for each in fields(self)}
        del line["traits"]
        return {**line, "findings": list(map(asdict, self.findings))}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The content of a sample, cut to its box.

    Attributes:
        photo: RGB, (H, W, 3) uint8.
        mask: (H, W) uint8, 0-255.
        convention: How the file of the mask writes "person".
        landmarks: Of its face, in pixels of the photo before it was cut.
        flaw: What is wrong with the file of the photo; None if nothing.
    """

    photo: Pixels
    mask: Pixels
    sha256: str
    mask_sha256: str
    convention: str
    landmarks: LandmarkFile
    flaw: str | None = None


def load_pair(sample: Sample) -> Pair:
    """Read photo and mask of a sample.

    Raises:
        PairError: One does not exist or cannot be used, or they do not fit each other; the message
            names the file.
    """
    with _named("photo", sample.photo):
        content = read_bytes(sample.photo)
        decoded = decode_photo(content)
    photo = decoded.pixels
    with _named("mask", sample.mask):
        try:
            mask, convention, mask_sha256 = sample.mask.read(content)
        except UnclearMaskError as error:
            is_photo = isinstance(sample.mask, MaskFile) and read_bytes(sample.mask.path) == content
            raise PairError(str(error), "mask-is-photo" if is_photo else "unclear-mask") from error
        photo, mask = _cut(photo, mask, sample)
    return Pair(
        photo=photo,
        mask=mask,
        sha256=hashlib.sha256(content).hexdigest(),
        mask_sha256=mask_sha256,
        convention=convention,
        landmarks=read_landmarks(sample.landmarks),
        flaw=decoded.flaw,
    )


def examine(frame_size: int, batch: tuple[int, Sequence[Sample]]) -> tuple[int, list[ReportRow]]:
    """Check some samples; a good one gets the status `stored`, as duplicates are not yet known.

    Args:
        frame_size: Side of the stored frames in pixels.
        batch: Position of the first sample, which comes back with the rows, and all samples.
    """
    start, samples = batch
    return start, [examine_pair(sample, frame_size)[0] for sample in samples]


def examine_pair(sample: Sample, frame_size: int) -> tuple[ReportRow, Pair | None]:
    """Check a sample, as `examine` does.

    Args:
        sample: Of the source.
        frame_size: Side of the stored frames in pixels.

    Returns:
        Its row, and its content unless it cannot be used.
    """
    # Both of the whole process, whose tasks share the cores already.
    cv2.setNumThreads(1)
    keep_freed_memory()
    row = ReportRow(
        name=sample.name,
        status="missing",
        photo=str(sample.photo),
        mask=str(sample.mask),
        crop=sample.crop,
        split=sample.split or "",
    )
    try:
        _require_storable_name(sample)
        pair = load_pair(sample)
    except PairError as error:
        return _unusable(row, str(error), error.kind), None
    except OSError as error:
        reason = f"{error.filename} cannot be read: {error.strerror}"
        return _unusable(row, reason, "out-of-reach"), None
    return _usable(row, pair, sample, frame_size), pair


def settle(
    examined: Sequence[ReportRow], shares: Shares, firsts: NDArray[np.intp]
) -> Iterator[ReportRow]:
    """Mark duplicates and choose splits.

    Equal photos share a split, whatever they are called and however they are cropped, and so do
    near duplicates, as the one of the smallest hash would: if one of them is listed for the test,
    that is it, else if one is for validation. What is listed for training stays there if the source
    lists photos for validation too.

    Args:
        examined: What `examine` found of all samples of the source.
        shares: Of train, val and test.
        firsts: For each the position of the first photo that it is a near duplicate of.
    """
    count = len(examined)
    hashes = np.fromiter((row.sha256 for row in examined), "S64", count)
    leader_of = leaders(hashes, firsts)
    strictness = np.fromiter((_STRICTNESS.index(row.split) for row in examined), np.int8, count)
    has_own_val = _STRICTNESS.index("val") in strictness
    final = {"val", "test", "train"} if has_own_val else {"test"}
    listed = np.zeros_like(strictness)
    np.maximum.at(listed, leader_of, strictness)
    originals = first_equals((row.status == "stored", row.sha256, row.crop) for row in examined)
    splits = np.full(count, -1, np.int8)
    for place, row in enumerate(examined):
        if row.status != "stored":
            yield row
            continue
        leader = leader_of[place]
        split = _STRICTNESS[listed[leader]]
        if split not in final:
            split = split_of(hashes[leader].decode(), shares, split)
        if originals[place] == place:
            splits[place] = SPLITS.index(split)
            yield replace(row, split=split)
        else:
            reason = f"same photo as {examined[originals[place]].name}"
            yield replace(row, split=split, status="duplicate", reason=reason)
    tell_of_lopsided_splits(leader_of, splits, shares, lambda place: examined[place].name)


def split_of(sha256: str, shares: Shares, listed: str | None) -> str:
    """Choose the split of a photo by its content, so that equal photos never part.

    Args:
        sha256: Hexadecimal hash of the photo's file.
        shares: Of train, val and test, adding up to 1.
        listed: Split by the dataset's own list. `test` stays; what is listed for training is
            divided between train and val, in their proportion.
    """
    if listed == "test":
        return "test"
    train, val, test = shares
    if listed == "train" and train + val > 0:
        train, val, test = train / (train + val), val / (train + val), 0.0
    position = int(sha256[:12], 16) / 16**12
    if position < train:
        return "train"
    return "val" if position < train + val or test == 0 else "test"


def _usable(row: ReportRow, pair: Pair, sample: Sample, frame_size: int) -> ReportRow:
    problem = pair.landmarks.problem
    points = pair.landmarks.points
    if points is not None and sample.crop is not None:
        points = points - sample.crop[:2]
    facts = pair_facts(pair.photo, pair.mask, points)
    share = round(facts.shape.share, 6)
    damage = [Finding("landmarks-unreadable", problem)] if problem else []
    if pair.flaw is not None:
        damage.append(Finding("flawed-photo", pair.flaw))
    return replace(
        row,
        status="stored",
        reason=f"stored without landmarks: {problem}" if problem else "",
        sha256=pair.sha256,
        mask_sha256=pair.mask_sha256,
        landmarks_sha256=pair.landmarks.sha256,
        faces=pair.landmarks.faces,
        convention=pair.convention,
        portrait_share=share,
        findings=(*damage, *pair_findings(facts, share, frame=frame_size)),
        traits=facts.traits,
    )


def _unusable(row: ReportRow, reason: str, kind: str) -> ReportRow:
    status: Status = "missing" if kind.endswith("-missing") else "failed"
    return replace(row, status=status, reason=reason, findings=(Finding(kind, reason),))


@contextmanager
def _named(what: str, place: object) -> Iterator[None]:
    """Let errors say which file they are about, and of which kind the doctor's finding is."""
    try:
        yield
    except MissingFileError as error:
        raise PairError(f"{what} {place} does not exist", f"{what}-missing") from error
    except OutOfReachError as error:
        raise PairError(f"{what} {place}: {error}", "out-of-reach") from error
    except PairError as error:
        raise PairError(f"{what} {place}: {error}", error.kind) from error
    except PhotoError as error:
        raise PairError(f"{what} {place}: {error}", f"{what}-unreadable") from error


def _require_storable_name(sample: Sample) -> None:
    if sample.problem:
        raise PairError(sample.problem, "unusable-name")
    try:
        sample.name.encode()
    except UnicodeEncodeError as error:
        raise PairError("its name is not valid UTF-8; rename the file", "unusable-name") from error


def _cut(photo: Pixels, mask: Pixels, sample: Sample) -> tuple[Pixels, Pixels]:
    """Cut the box of a sample out of photo and mask, which must be of one size."""
    height, width = photo.shape[:2]
    if mask.shape != (height, width):
        raise PairError(
            f"{mask.shape[1]} x {mask.shape[0]} pixels, but its photo has {width} x {height}",
            misfit_kind((height, width), mask.shape),
        )
    if sample.crop is None:
        return photo, mask
    x0, y0, x1, y1 = sample.crop
    if x1 > width or y1 > height:
        raise PairError(
            f"the crop {x0},{y0},{x1},{y1} leaves the photo of {width} x {height}", "crop-outside"
        )
    return photo[y0:y1, x0:x1], mask[y0:y1, x0:x1]

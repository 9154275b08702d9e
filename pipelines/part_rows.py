"""What is remembered of the samples of a part beside their frames, see `parts`."""

import json
from dataclasses import dataclass, fields
from typing import Any

from pipelines.doctor.facts import PairTraits
from pipelines.doctor.findings import Finding
from pipelines.examine import ReportRow
from pipelines.storage import Location
from pipelines.store_writing import failures
from pipelines.whole_files import write_atomically

ROWS_FILE = "rows.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFacts:
    """What goes with a frame.

    Attributes:
        kernel_size: K of Eq. 1.
        valid: y, x, height and width of the photo inside the frame.
        face_alignment: Rows of the map to the frame of the reference face; None if not known.
    """

    kernel_size: int
    valid: tuple[int, int, int, int]
    face_alignment: tuple[float, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Framed:
    """Where the frame of a sample is until there is a store, and what goes with it.

    Attributes:
        part: Folder of the frames of the part, relative to that of all parts.
        index: Position in it.
        facts: About the frame.
    """

    part: str
    index: int
    facts: FrameFacts


def write_rows(part: Location, rows: list[ReportRow], framed: list[Framed | None]) -> None:
    """Write what became of the samples of a part, by which it is known to be complete.

    Args:
        part: Folder.
        rows: One for each sample.
        framed: Likewise.

    Raises:
        StoreError: It cannot be written.
    """
    content = {"rows": rows, "framed": framed}
    with failures(part):
        part.mkdir(parents=True, exist_ok=True)
        write_atomically(part / ROWS_FILE, json.dumps(content, default=_plain).encode())


def _plain(value: Any) -> object:
    """Return what stands for bytes, or for a dataclass; `asdict` would copy all fields."""
    if isinstance(value, bytes):
        return value.hex()
    return {field.name: getattr(value, field.name) for field in fields(value)}


def read_rows(part: Location) -> tuple[list[ReportRow], list[Framed | None]] | None:
    """Return what `write_rows` wrote; None if the part is not there, or not complete."""
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
    facts = line["facts"]
    alignment = facts["face_alignment"]
    known = {
        "valid": tuple(facts["valid"]),
        "face_alignment": None if alignment is None else tuple(alignment),
    }
    return Framed(**{**line, "facts": FrameFacts(**{**facts, **known})})


def forget_parts(folder: Location) -> None:
    """Let no part below a folder be known any more, before their frames are deleted.

    Raises:
        OSError: One stays.
    """
    found: list[Location] = [*folder.rglob(ROWS_FILE)]
    for path in found:
        path.unlink(missing_ok=True)

"""The options and the summary of `banet prepare`."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from math import inf, isclose
from pathlib import Path

from pipelines.boundary import CANNY_THRESHOLDS
from pipelines.doctor.findings import Finding
from pipelines.errors import ConfigError
from pipelines.examine import ReportRow
from pipelines.frames import FITS, Fit
from pipelines.sources import FORMATS

MINIMUM_SIZE = 32
"""Smallest side of a stored frame in pixels."""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """What to prepare and how; the options of the command of the same name.

    Attributes:
        source: Path or URL of the folder of the source dataset, or of a CSV or JSON file in it.
        dataset: Path or URL of the store to write.
        format: Layout of the source, or `auto`.
        classes: Which classes are people, see `sources.discover_samples`.
        size: Side S of the stored frames in pixels.
        fit: How a photo is fitted into the frame.
        canonical_width: W of Eq. 1 in pixels at a frame of 512.
        canny: Thresholds of the edge detector.
        split: Shares of train, val and test; a list of the dataset's own wins.
        crops: CSV file of boxes that become samples of their own, see `sources.crops`.
        check: Examine the source and write nothing.
        preview: Folder for contact sheets; None for none.
        force: Replace a store that was made from other inputs or with other options.
        max_failures: Stop if more pairs than this fail; None for no limit.
        workers: Local workers; None for one per core, 0 for none.
        scheduler: Address of an existing Dask scheduler.

    Raises:
        ConfigError: Some values make no sense; all of them are named.
    """

    source: Path | str
    dataset: Path | str
    format: str = "auto"
    classes: tuple[str, ...] | None = None
    size: int = 512
    fit: Fit = "letterbox"
    canonical_width: float = 50.0
    canny: tuple[float, float] = CANNY_THRESHOLDS
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    crops: Path | None = None
    check: bool = False
    preview: Path | None = None
    force: bool = False
    max_failures: int | None = None
    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        shares = ",".join(f"{share:g}" for share in self.split)
        low, high = self.canny
        checks = {
            f"--format {self.format}: use auto, {', '.join(FORMATS)}": (
                self.format in {"auto", *FORMATS}
            ),
            "--classes: a name is empty": all(name.strip("- ") for name in self.classes or ()),
            f"--size {self.size}: at least {MINIMUM_SIZE}": self.size >= MINIMUM_SIZE,
            f"--fit {self.fit}: use {', '.join(FITS)}": self.fit in FITS,
            f"--canonical-width {self.canonical_width:g}: must be positive": (
                0 < self.canonical_width < inf
            ),
            f"--canny {low:g},{high:g}: need 0 <= LOW <= HIGH": 0 <= low <= high,
            f"--split {shares}: shares of train, val and test that add up to 1": (
                min(self.split) >= 0 and isclose(sum(self.split), 1)
            ),
            f"--max-failures {self.max_failures}: must not be negative": (
                self.max_failures is None or self.max_failures >= 0
            ),
        }
        mistakes = [message for message, is_right in checks.items() if not is_right]
        if mistakes:
            raise ConfigError("; ".join(mistakes))

    def stored_parameters(self) -> dict[str, object]:
        """Return the options that shape the store's content, JSON-serialisable."""
        return {
            "size": self.size,
            "fit": self.fit,
            "canonical_width": self.canonical_width,
            "canny": list(self.canny),
            "split_shares": list(self.split),
            # Left out where it is not given, as in datasets from before there was such an option.
            **({} if self.classes is None else {"classes": list(self.classes)}),
        }


@dataclass(frozen=True, kw_only=True)
class PrepareSummary:
    """The accounting of one run; `discovered` is the sum of the four statuses.

    Attributes:
        faces: How many of the stored samples have landmarks in the dataset.
        findings: Of the doctor, by kind.
        rows: What became of each sample.
    """

    discovered: int
    stored: int
    duplicates: int
    missing: int
    failed: int
    splits: dict[str, int]
    faces: int
    seconds: float
    format: str
    findings: dict[str, int]
    rows: Sequence[ReportRow]

    def problems(self) -> Iterator[ReportRow]:
        """Yield the samples that are not stored."""
        return (row for row in self.rows if row.status != "stored")

    def found(self) -> Iterator[tuple[str, Finding]]:
        """Yield every finding, with the name of its sample."""
        return ((row.name, finding) for row in self.rows for finding in row.findings)

    @property
    def exit_code(self) -> int:
        """0, or 3 if some pairs failed."""
        return 3 if self.failed else 0

    def as_json(self) -> dict[str, object]:
        """Return the JSON summary of the command."""
        found = [
            {"name": name, "severity": finding.severity, **asdict(finding)}
            for name, finding in self.found()
        ]
        return {**self.accounting(), "found": found}

    def accounting(self) -> dict[str, object]:
        """Return the summary without the findings one by one, which may be as many as samples."""
        plain = {
            each.name: getattr(self, each.name) for each in fields(self) if each.name != "rows"
        }
        problems = [
            {"name": row.name, "status": row.status, "reason": row.reason}
            for row in self.problems()
        ]
        return {**plain, "problems": problems}

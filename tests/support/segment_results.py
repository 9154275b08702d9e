"""Reading what a run of `banet segment` left behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from s3_server import Bucket

from pipelines.segment import SegmentSummary


def ledger(out: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len({row["source"] for row in rows}) == len(rows)
    return {row["source"]: row for row in rows}


def pixels(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


def outputs(out: Path) -> dict[str, bytes]:
    """All result pictures by their relative path; there must be no other file."""
    files = {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()
    }
    del files["results.jsonl"], files["run.json"], files[".lock"]
    assert all(name.startswith(("masks/", "composites/")) for name in files)
    assert not any("/." in name for name in files)
    return files


def counts(summary: SegmentSummary) -> tuple[int, int, int, int]:
    done = (summary.ok, summary.empty, summary.failed, summary.skipped)
    assert summary.discovered == sum(done) + summary.pending
    return done


def errors(summary: SegmentSummary) -> dict[str, str]:
    return {failure.source: failure.error for failure in summary.failures}


def rows_in(content: bytes) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for row in map(json.loads, content.splitlines())}


def comparable(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows of a ledger without what differs from run to run and from place to place."""
    dropped = {"seconds", "mtime_ns", "etag"}
    return {
        name: {key: value for key, value in row.items() if key not in dropped}
        for name, row in rows.items()
    }


def outputs_in(bucket: Bucket, prefix: str) -> dict[str, bytes]:
    """The same as `outputs` below a prefix of a bucket; nor may there be a lease."""
    files = bucket.files(prefix)
    del files["results.jsonl"], files["run.json"]
    assert all(name.startswith(("masks/", "composites/")) for name in files)
    return files

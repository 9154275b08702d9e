"""Reading what a run of `banet segment` left behind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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

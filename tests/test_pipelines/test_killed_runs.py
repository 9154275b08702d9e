"""Runs that die where it hurts most, and what the same call makes of it."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed_runs import SPOTS, killed_run
from segment_results import counts, ledger, outputs

from pipelines.segment import SegmentOptions, SegmentSummary

Run = Callable[..., SegmentSummary]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")


def without_seconds(out: Path) -> dict[str, dict[str, Any]]:
    return {
        source: {key: value for key, value in row.items() if key != "seconds"}
        for source, row in ledger(out).items()
    }


def rows_so_far(out: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a ledger whose last line may be torn."""
    rows = {}
    path = out / "results.jsonl"
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows[row["source"]] = row
    return rows


@pytest.fixture
def broken_photo(photos: Path) -> Path:
    path = photos / "2b.jpg"
    path.write_bytes(b"no photo")
    return path


@pytest.mark.usefixtures("broken_photo")
@pytest.mark.parametrize("spot", [spot for spot in SPOTS if "shards" not in spot])
def test_wherever_a_run_dies_the_next_ends_as_if_it_had_not(
    run: Run, photos: Path, weights_file: str, tmp_path: Path, spot: str
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    run(photos, out=whole)
    options = SegmentOptions(
        inputs=(photos,), out=out, weights=weights_file, workers=0, precision="fp32"
    )

    code = killed_run(spot, options)
    assert code == (0 if spot == "nowhere" else -signal.SIGKILL)
    known = rows_so_far(out)
    summary = run(photos, out=out)

    assert summary.skipped == sum(row["status"] == "ok" for row in known.values())
    assert counts(summary)[2] == 1
    assert outputs(out) == outputs(whole)
    assert without_seconds(out) == without_seconds(whole)


@pytest.mark.usefixtures("broken_photo")
@pytest.mark.parametrize("spot", [spot for spot in SPOTS if "shards" in spot])
def test_a_run_that_dies_while_it_takes_up_shards_loses_none_of_their_rows(
    run: Run, photos: Path, weights_file: str, tmp_path: Path, spot: str
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    run(photos, out=whole)
    for shard in ("1/2", "2/2"):
        run(photos, out=out, shard=shard)
    options = SegmentOptions(
        inputs=(photos,), out=out, weights=weights_file, workers=0, precision="fp32"
    )

    assert killed_run(spot, options) == -signal.SIGKILL
    summary = run(photos, out=out)

    assert counts(summary) == (0, 0, 1, 5)
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        *(".lock", ".lock.shards"),
        *("results.jsonl", "run.json"),
    }
    assert without_seconds(out) == without_seconds(whole)


@pytest.mark.parametrize("spot", ["half of the fourth row", "mask without row"])
def test_other_options_after_a_death_mix_nothing(
    run: Run, photos: Path, weights_file: str, tmp_path: Path, spot: str
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    run(photos, out=whole)
    run(photos, out=out)
    options = SegmentOptions(
        inputs=(photos,),
        out=out,
        weights=weights_file,
        workers=0,
        precision="fp32",
        mask="binary",
    )

    assert killed_run(spot, options) == -signal.SIGKILL
    run(photos, out=out)

    assert outputs(out) == outputs(whole)

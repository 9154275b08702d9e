"""Ledger and lease on a real server of S3: what is left of runs that die, wait or meet there."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from acting_progress import Acting
from s3_server import Bucket
from segment_results import comparable, counts, ledger, outputs, outputs_in, rows_in

from pipelines import leases, object_log
from pipelines.errors import LockedError
from pipelines.locks import exclusive
from pipelines.segment import SegmentSummary
from pipelines.storage import locate

Run = Callable[..., SegmentSummary]

WritePhoto = Callable[..., Path]

OTHERS_LEASE = {
    "id": "1",
    "name": "ann@elsewhere, process 7",
    "machine": "another one",
    "process": 7,
    "started": 0.0,
}


def test_a_killed_run_goes_on_at_once_and_loses_seconds_only(
    run: Run, bucket: Bucket, tmp_path: Path, write_photo: WritePhoto, weights_file: str
) -> None:
    for index in range(16):
        write_photo(tmp_path / "many" / f"{index:03}.png", seed=index)
    url = bucket.upload(tmp_path / "many", "many")
    script = f"""
        from pipelines import object_log
        from pipelines.segment import SegmentOptions, segment
        object_log.SECONDS_BETWEEN_PARTS = 0
        segment(SegmentOptions(inputs=({url!r},), weights={weights_file!r}, workers=0,
                               precision="fp32", composite="none"))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=Path(__file__).parents[2]
    )
    try:
        wait_until(lambda: len(parts(bucket)) >= 3 or process.poll() is not None)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    kept = {name for part in parts(bucket) for name in rows_in(bucket.get(part))}
    assert 3 <= len(kept) < 16
    before = bucket.changed("many-segmented/masks")

    summary = run(url, composite="none")
    run(tmp_path / "many", composite="none")

    assert summary.skipped == len(kept)
    after = bucket.changed("many-segmented/masks")
    assert all(after[key] == before[key] for key in map(mask_of, kept))
    assert parts(bucket) == set()
    assert outputs_in(bucket, "many-segmented") == outputs(tmp_path / "many-segmented")
    rows = rows_in(bucket.get("many-segmented/results.jsonl"))
    assert comparable(rows) == comparable(ledger(tmp_path / "many-segmented"))


def parts(bucket: Bucket) -> set[str]:
    return bucket.keys("many-segmented/results.jsonl.")


def mask_of(source: str) -> str:
    return f"many-segmented/masks/{source}"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_with_other_options_that_dies_leaves_no_row_that_lies(
    run: Run, bucket: Bucket, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(url, composite="none")
    soft = outputs_in(bucket, "photos-segmented")

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.segment_run.SegmentRun._record", die)
        patch.setattr("pipelines.ledger.Ledger.__exit__", lambda *_: None)
        with pytest.raises(SystemExit):
            run(url, composite="none", mask="binary")
    assert results_but_parts(bucket) != soft

    assert counts(run(url, composite="none")) == (5, 0, 0, 0)
    assert outputs_in(bucket, "photos-segmented") == soft


def results_but_parts(bucket: Bucket) -> dict[str, bytes]:
    return {
        name: content
        for name, content in bucket.files("photos-segmented").items()
        if name.startswith("masks/")
    }


def test_an_interrupted_run_takes_back_no_more_than_it_replaced(run: Run, url: str) -> None:
    run(url, composite="none")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(url, composite="none", mask="binary", progress=Acting(step=interrupt))

    assert counts(run(url, composite="none", dry_run=True)) == (0, 0, 0, 4)
    assert counts(run(url, composite="none", mask="binary")) == (4, 0, 0, 1)


def test_rows_reach_the_store_while_the_run_lasts(
    run: Run, bucket: Bucket, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_log, "SECONDS_BETWEEN_PARTS", 0)
    seen = []

    run(url, progress=Acting(step=lambda: seen.append(len(bucket.keys("photos-segmented/res")))))

    # After each task, of which the first and the last are of one photo.
    assert seen[0] == 2
    assert all(before < after for before, after in pairwise(seen))
    assert len(seen) > 2


def test_a_folder_that_another_run_writes_to_is_refused_with_exit_code_5(
    bucket: Bucket, url: str
) -> None:
    place = locate(f"{url}-segmented")
    with exclusive(place / ".lock", place=place):
        outcome = banet("segment", url)

    assert outcome.returncode == 5
    assert re.search(
        rf"{place}: another run of banet is writing there \(\S+@.*, process {os.getpid()}\).* "
        r"its lease ends at \d\d:\d\d:\d\d",
        outcome.stderr,
    )
    assert bucket.keys("photos-segmented/") == set()


def banet(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "banet_cli", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_lease_holds_until_it_runs_out(
    run: Run, bucket: Bucket, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("photos-segmented/.lock", json.dumps(OTHERS_LEASE).encode())

    with pytest.raises(LockedError, match="ann@elsewhere, process 7"):
        run(url)
    with monkeypatch.context() as patch:
        patch.setattr(leases, "LEASE_SECONDS", 0.0)
        summary = run(url)

    assert summary.ok == 5
    assert bucket.keys("photos-segmented/.lock") == set()


def test_a_run_that_lost_its_lease_stops_and_leaves_everything_to_the_other(
    run: Run, bucket: Bucket, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.05)
    mine = b""

    def take_over() -> None:
        nonlocal mine
        bucket.put("photos-segmented/.lock", json.dumps(OTHERS_LEASE).encode())
        bucket.put("photos-segmented/run.json", b"theirs")
        bucket.put("photos-segmented/results.jsonl", b"theirs")
        time.sleep(0.5)

    with pytest.raises(LockedError, match="another run of banet took it over"):
        run(url, progress=Acting(first=take_over))

    assert json.loads(bucket.get("photos-segmented/.lock")) == OTHERS_LEASE
    assert bucket.get("photos-segmented/run.json") == b"theirs"
    assert bucket.get("photos-segmented/results.jsonl") == b"theirs"


def test_a_watch_writes_its_rows_while_it_waits(
    run: Run, bucket: Bucket, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_log, "SECONDS_BETWEEN_PARTS", 0.2)

    def interrupt_once_all_are_written(_seconds: float) -> None:
        written = [bucket.get(key) for key in bucket.keys("out/results.jsonl.")]
        if sum(len(rows_in(content)) for content in written) == 5:
            raise KeyboardInterrupt
        assert time.monotonic() < deadline
        pause(0.05)

    deadline, pause = time.monotonic() + 60, time.sleep
    monkeypatch.setattr("pipelines.watch_run.sleep", interrupt_once_all_are_written)
    with pytest.raises(KeyboardInterrupt):
        run(photos, out=bucket.url("out"), watch=True, stable_seconds=0.1)

    assert len(rows_in(bucket.get("out/results.jsonl"))) == 5
    assert bucket.keys("out/results.jsonl.") == set()

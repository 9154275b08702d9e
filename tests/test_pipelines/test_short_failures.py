"""A store that does not answer for a while, in the middle of `banet segment`."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from s3_server import Bucket
from segment_results import counts

from pipelines import object_log
from pipelines.errors import BanetError, LockedError
from pipelines.ledger import Ledger, LedgerRow, read_ledger
from pipelines.progress import SilentProgress
from pipelines.segment import SegmentSummary
from pipelines.storage import locate

ROW = LedgerRow(source="a.png", status="ok", seconds=0.1, fingerprint="f")
PARTS = "out/results.jsonl.*"


@pytest.fixture(autouse=True)
def _often_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_log, "SECONDS_BETWEEN_TRIES", 0.1)


def refuse(bucket: Bucket, *, seconds: float) -> None:
    """Let nobody write the ledger's parts for some seconds."""
    bucket.deny("s3:PutObject", PARTS)
    threading.Timer(seconds, bucket.deny, ("s3:PutObject", "elsewhere/*")).start()


def test_a_run_waits_until_it_can_take_back_what_it_is_about_to_replace(
    run: Callable[..., SegmentSummary],
    bucket: Bucket,
    photos: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = bucket.url("out")
    run(photos, out=out, composite="none")

    class Refusing(SilentProgress):
        def start(self, *_stage: object) -> None:
            refuse(bucket, seconds=1)

    summary = run(photos, out=out, composite="none", mask="binary", progress=Refusing())

    assert "access denied" in caplog.text
    assert counts(summary) == (5, 0, 0, 0)
    assert counts(run(photos, out=out, composite="none", mask="binary")) == (0, 0, 0, 5)


def test_what_is_taken_back_is_in_the_store_before_the_work_goes_on(bucket: Bucket) -> None:
    path = locate(bucket.url("out/results.jsonl"))

    with Ledger(path, {ROW.source: ROW}) as ledger:
        refuse(bucket, seconds=0.5)
        ledger.begin([ROW.source])
        assert read_ledger(path)[ROW.source].status == "failed"


def test_the_patience_has_an_end(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_log, "PATIENCE_SECONDS", 0.3)

    def begin() -> None:
        with Ledger(locate(bucket.url("out/results.jsonl")), {ROW.source: ROW}) as ledger:
            bucket.deny("s3:PutObject", PARTS)
            ledger.begin([ROW.source])

    with pytest.raises(BanetError, match=r"results\.jsonl: cannot be written \(access denied"):
        begin()


def test_nobody_waits_in_a_folder_that_another_run_has_taken_over(bucket: Bucket) -> None:
    tries = 0

    def check() -> None:
        nonlocal tries
        tries += 1
        if tries == 4:
            raise LockedError("taken over")

    def begin() -> None:
        path = locate(bucket.url("out/results.jsonl"))
        with Ledger(path, {ROW.source: ROW}, check=check) as ledger:
            bucket.deny("s3:PutObject", PARTS)
            ledger.begin([ROW.source])

    with pytest.raises(LockedError, match="taken over"):
        begin()

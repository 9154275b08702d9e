"""What it costs to begin a shard behind a URL, in requests that a real server of S3 is sent."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from s3_server import Bucket

from pipelines import leases
from pipelines.errors import InputError, LockedError
from pipelines.leases import leased
from pipelines.output_folder import OutputFolder
from pipelines.photo_shards import Shard
from pipelines.storage import RemotePath, locate

GONE = {"id": "1", "name": "ann", "machine": leases._machine(), "process": 2**22 + 1, "started": 0}
"""Who holds a lease and is no process of this machine any more."""


@pytest.fixture
def requests(bucket: Bucket) -> Iterator[Counter[str]]:
    """How many requests of each kind are sent, counted where botocore sends them."""
    place = locate(bucket.url(""))
    assert isinstance(place, RemotePath)
    place.exists()  # connects
    events = place.file_system.s3.meta.events
    sent: Counter[str] = Counter()

    def count(event_name: str, **_: Any) -> None:
        sent[event_name] += 1

    events.register("before-send.s3", count)
    yield sent
    events.unregister("before-send.s3", count)


def begin(bucket: Bucket, shard: str | None, root: str = "photos") -> None:
    """Do what a run does at its beginning, without a network or any photo."""
    part = None if shard is None else Shard.parse(shard)
    folder = OutputFolder(path=locate(bucket.url("out")), shard=part)
    place = locate(bucket.url(root))
    folder.refuse_other_root(place)
    run_file = {"root": str(place), "exit_code": 0}
    with folder.held(root=place, announce=lambda: folder.write_run_file(run_file)):
        folder.earlier_rows()


def one_second_later() -> None:
    """Wait until what is written has another time, for objects have theirs in seconds."""
    time.sleep(1.1)


def test_the_last_of_many_shards_asks_no_more_than_the_second(
    bucket: Bucket, requests: Counter[str]
) -> None:
    bucket.put("photos/a.png", b"")
    costs = []
    for index in range(1, 11):
        if index in {2, 9, 10}:
            one_second_later()
        requests.clear()
        begin(bucket, f"{index}/10")
        costs.append(requests.total())

    assert len(bucket.keys("out/run.")) == 10
    assert costs[-1] == costs[1] < 40


def test_only_the_first_shard_of_another_count_asks_after_the_dead_ones(
    bucket: Bucket, requests: Counter[str]
) -> None:
    bucket.put("photos/a.png", b"")
    for index in range(1, 9):
        bucket.put(f"out/.lock.{index}-of-8", json.dumps(GONE).encode())
    costs = []
    for index in (1, 2):
        requests.clear()
        begin(bucket, f"{index}/3")
        costs.append(requests.total())

    assert costs[0] > costs[1]
    assert bucket.keys("out/.lock") == set()


def test_a_shard_of_another_count_that_is_running_is_not_disturbed(bucket: Bucket) -> None:
    bucket.put("photos/a.png", b"")
    bucket.put("out/.lock.2-of-8", json.dumps(GONE | {"machine": "another one"}).encode())

    with pytest.raises(LockedError, match="shard 2/8 is being written"):
        begin(bucket, "1/3")

    assert bucket.keys("out/.lock") == {"out/.lock.2-of-8"}


def test_the_newest_run_file_tells_whose_results_a_folder_holds(bucket: Bucket) -> None:
    for root in ("photos", "moved", "other"):
        bucket.put(f"{root}/a.png", b"")
    for index in (1, 2, 3):
        begin(bucket, f"{index}/3")
    with pytest.raises(InputError, match=r"holds the results for s3://\S+/photos, which those for"):
        begin(bucket, "1/3", root="other")
    bucket.delete("photos/a.png")
    one_second_later()
    begin(bucket, "2/3", root="moved")

    for shard in ("1/3", None):
        with pytest.raises(InputError, match=r"holds the results for s3://\S+/moved"):
            begin(bucket, shard, root="other")
        begin(bucket, shard, root="moved")


def test_who_waits_for_others_asks_the_less_often_the_longer_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = locate(f"memory://{tmp_path.name}")
    assert isinstance(place, RemotePath)
    (place / ".lock").write_bytes(json.dumps(GONE | {"machine": "another one"}).encode())
    pauses: list[float] = []
    monkeypatch.setattr(leases, "monotonic", lambda: sum(pauses))
    monkeypatch.setattr(leases, "sleep", pauses.append)

    with (
        pytest.raises(LockedError, match="another run"),
        leased(place / ".lock", place="here", wait=3600),
    ):
        pass

    assert sum(pauses) == pytest.approx(3600)
    assert len(pauses) < 100
    assert max(pauses[:5]) < 5

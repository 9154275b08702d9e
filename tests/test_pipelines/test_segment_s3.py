"""`banet segment` with photos and results on a real server of S3."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from s3_server import Bucket
from segment_results import counts, ledger, outputs

from pipelines import leases, object_log, storage
from pipelines.errors import BanetError, ConfigError, InputError, LockedError
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


class Acting:
    """Progress that does something when the work begins, or at every step of it."""

    def __init__(
        self, *, first: Callable[[], object] = list, step: Callable[[], object] = list
    ) -> None:
        self._first = first
        self._step = step

    def start(self, *_stage: object) -> None:
        self._first()

    def advance(self, _steps: int = 1, _status: str = "") -> None:
        self._step()

    def finish(self) -> None:
        """End."""


@pytest.fixture
def url(bucket: Bucket, photos: Path) -> str:
    """The folder of five photos in a bucket."""
    return bucket.upload(photos, "photos")


def comparable(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows of a ledger without what differs from run to run and from place to place."""
    dropped = {"seconds", "mtime_ns", "etag"}
    return {
        name: {key: value for key, value in row.items() if key not in dropped}
        for name, row in rows.items()
    }


def rows_in(content: bytes) -> dict[str, dict[str, Any]]:
    return {row["source"]: row for row in map(json.loads, content.splitlines())}


def results(bucket: Bucket, prefix: str) -> dict[str, bytes]:
    """All result pictures below a prefix; beside them there must be ledger and run file alone."""
    files = bucket.files(prefix)
    del files["results.jsonl"], files["run.json"]
    assert all(name.startswith(("masks/", "composites/")) for name in files)
    return files


def test_results_are_those_of_the_same_photos_on_a_disk(
    run: Run, bucket: Bucket, url: str, photos: Path
) -> None:
    run(photos)
    summary = run(url)

    local = photos.with_name("photos-segmented")
    assert counts(summary) == (5, 0, 0, 0)
    assert str(summary.out) == f"{url}-segmented"
    assert results(bucket, "photos-segmented") == outputs(local)
    remote = bucket.get("photos-segmented/results.jsonl")
    assert comparable(rows_in(remote)) == comparable(ledger(local))
    assert [*rows_in(remote)] == sorted(rows_in(remote))
    content = json.loads(bucket.get("photos-segmented/run.json"))
    assert (content["root"], content["ok"], content["exit_code"]) == (url, 5, 0)
    assert counts(run(url)) == (0, 0, 0, 5)


def test_photos_and_results_may_lie_in_different_places(
    run: Run, bucket: Bucket, url: str, photos: Path, tmp_path: Path
) -> None:
    run(photos)
    expected = outputs(photos.with_name("photos-segmented"))

    run(url, out=tmp_path / "down")
    run(photos, out=bucket.url("up"))

    assert outputs(tmp_path / "down") == expected
    assert results(bucket, "up") == expected
    assert counts(run(url, out=tmp_path / "down")) == (0, 0, 0, 5)
    assert counts(run(photos, out=bucket.url("up"))) == (0, 0, 0, 5)


def test_only_what_has_changed_is_done_again(
    run: Run, bucket: Bucket, url: str, photos: Path, write_photo: WritePhoto
) -> None:
    run(url)
    before = bucket.changed("photos-segmented/masks")
    time.sleep(1.1)  # the time of objects is told in seconds
    other = write_photo(photos / "other.png", seed=9).read_bytes()
    bucket.put("photos/0.png", other)
    bucket.put("photos/1.png", bucket.get("photos/1.png"))
    bucket.delete("photos-segmented/composites/2.png")

    summary = run(url)

    assert counts(summary) == (2, 0, 0, 3)
    after = bucket.changed("photos-segmented/masks")
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {"photos-segmented/masks/0.png", "photos-segmented/masks/2.png"}
    assert counts(run(url)) == (0, 0, 0, 5)


def test_other_bytes_of_the_same_size_and_time_are_noticed(
    run: Run, bucket: Bucket, write_photo: WritePhoto, tmp_path: Path
) -> None:
    names = [write_photo(tmp_path / f"{seed}.bmp", seed=seed) for seed in (1, 2)]
    one, other = (path.read_bytes() for path in names)
    assert len(one) == len(other)

    bucket.put("photos/a.bmp", one)
    run(bucket.url("photos"))
    row = rows_in(bucket.get("photos-segmented/results.jsonl"))["a.bmp"]
    bucket.put("photos/a.bmp", other)
    status = locate(bucket.url("photos/a.bmp")).status()
    lie = {**row, "mtime_ns": status.mtime_ns}
    bucket.put("photos-segmented/results.jsonl", json.dumps(lie).encode())

    assert counts(run(bucket.url("photos"))) == (1, 0, 0, 0)


def test_inputs_may_be_objects_and_patterns(
    run: Run, bucket: Bucket, url: str, tmp_path: Path
) -> None:
    bucket.put("photos/.hidden/5.png", bucket.get("photos/0.png"))
    bucket.put("photos/empty.png/", b"")
    bucket.put("photos/notes.txt", b"notes")

    def sources(*inputs: str) -> list[str]:
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        run(*inputs, out=out, composite="none")
        return sorted(ledger(out))

    everything = ["0.png", "1.png", "2.png", "3.png", "below/portrait.jpg"]
    assert sources(url) == sources(f"{url}/") == sources(f"{url}/**") == everything
    assert sources(f"{url}/0.png") == ["0.png"]
    assert sources(f"{url}/0.png", f"{url}/below") == ["0.png", "below/portrait.jpg"]
    assert sources(f"{url}/[01].*") == sources(f"{url}/**/[01].png") == ["0.png", "1.png"]
    assert sources(f"{url}/b*") == ["below/portrait.jpg"]
    assert sources(f"{url}/.hid*/*") == [".hidden/5.png"]


def test_no_name_of_an_object_leads_out_of_the_output_folder(
    run: Run, bucket: Bucket, url: str, tmp_path: Path
) -> None:
    for key in ("../../up.png", "/rooted.png", "below//portrait.jpg", "a::b?.png"):
        bucket.put(f"photos/{key}", bucket.get("photos/0.png"))

    summary = run(url, out=tmp_path / "deep" / "out", composite="none")

    assert counts(summary) == (9, 0, 0, 0)
    masks = {name.removeprefix("masks/") for name in outputs(tmp_path / "deep" / "out")}
    assert masks > {"%2E%2E/%2E%2E/up.png", "rooted.png", "a::b?.png"}
    assert len(masks) == 9
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert counts(run(url, out=tmp_path / "deep" / "out", composite="none")) == (0, 0, 0, 9)


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
    assert results(bucket, "many-segmented") == outputs(tmp_path / "many-segmented")
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
    soft = results(bucket, "photos-segmented")

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.segment_run.SegmentRun._record", die)
        patch.setattr("pipelines.ledger.Ledger.__exit__", lambda *_: None)
        with pytest.raises(SystemExit):
            run(url, composite="none", mask="binary")
    assert results_but_parts(bucket) != soft

    assert counts(run(url, composite="none")) == (5, 0, 0, 0)
    assert results(bucket, "photos-segmented") == soft


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

    assert seen == [2, 6]  # the first task is of one photo, the second of the rest


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


def test_shards_share_a_folder(run: Run, bucket: Bucket, url: str) -> None:
    first = run(url, shard="1/2")
    second = run(url, shard="2/2")
    names = {key.removeprefix("photos-segmented/") for key in bucket.keys("photos-segmented/")}

    assert first.ok + second.ok == 5
    assert names > {"results.1-of-2.jsonl", "results.2-of-2.jsonl", "run.1-of-2.json"}
    assert counts(run(url)) == (0, 0, 0, 5)
    assert len(results(bucket, "photos-segmented")) == 10


@pytest.fixture(scope="module")
def cluster() -> Iterator[Callable[[], LocalCluster]]:
    """Start a Dask cluster in processes of its own, which inherit the environment."""
    started: list[LocalCluster] = []

    def start() -> LocalCluster:
        started.append(
            LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0")
        )
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.mark.heavy
def test_workers_of_a_cluster_go_to_the_store_themselves(
    run: Run, bucket: Bucket, url: str, photos: Path, cluster: Callable[[], LocalCluster]
) -> None:
    run(photos)

    summary = run(url, scheduler=cluster().scheduler_address)

    assert counts(summary) == (5, 0, 0, 0)
    assert results(bucket, "photos-segmented") == outputs(photos.with_name("photos-segmented"))


def test_the_background_and_the_review_may_lie_there_too(
    run: Run, bucket: Bucket, url: str, photos: Path
) -> None:
    bucket.put("beach.png", (photos / "0.png").read_bytes())

    run(url, composite="image", background=bucket.url("beach.png"), review_dir=bucket.url("look"))

    assert len(bucket.keys("photos-segmented/composites/")) == 5
    review = json.loads(bucket.get("look/review.json"))
    assert bucket.keys("look/") == {
        "look/review.json",
        *(f"look/{entry['picture']}" for entry in review),
    }
    assert len(review) == 5


def test_one_object_that_cannot_be_read_is_one_failed_photo(
    run: Run, bucket: Bucket, url: str
) -> None:
    bucket.deny("s3:GetObject", "photos/1.png")
    summary = run(url, progress=Acting(first=lambda: bucket.delete("photos/0.png")))

    reasons = {failure.source: failure.error for failure in summary.failures}
    assert counts(summary) == (3, 0, 2, 0)
    assert reasons["0.png"] == "no such file"
    assert re.match("cannot be read: access denied", reasons["1.png"])


def test_results_that_may_not_be_written_fail_their_photos(
    run: Run, bucket: Bucket, url: str
) -> None:
    run(url)
    bucket.deny("s3:PutObject", "photos-segmented/masks/below/*")

    summary = run(url, mask="binary")

    assert counts(summary) == (4, 0, 1, 0)
    assert re.match("cannot be written: access denied", summary.failures[0].error)


@pytest.fixture
def other_access() -> Iterator[None]:
    """Let a test have other credentials or another endpoint than those before and after it."""
    import s3fs

    def forget() -> None:
        storage._open.cache_clear()
        s3fs.S3FileSystem.clear_instance_cache()

    forget()
    yield
    forget()


@pytest.mark.usefixtures("other_access")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials"),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"},
            "no answer from the server",
        ),
    ],
)
def test_a_store_that_cannot_be_reached_is_an_error_that_says_so(
    run: Run,
    bucket: Bucket,
    photos: Path,
    *,
    changes: dict[str, str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(InputError, match=rf"{bucket.url('photos')}: cannot be read \({reason}"):
        run(bucket.url("photos"))
    with pytest.raises(BanetError, match=rf"--out {bucket.url('out')}: cannot be .*{reason}"):
        run(photos, out=bucket.url("out"))


def test_what_is_not_there_is_named(run: Run, bucket: Bucket, url: str, photos: Path) -> None:
    bucket.put("texts/notes.txt", b"notes")
    for missing in (f"{url}/9.png", f"{url}-typo", "s3://no-such-bucket/photos"):
        with pytest.raises(InputError, match=f"{missing}: no such file or folder"):
            run(missing)
    with pytest.raises(InputError, match="no photo matches"):
        run(f"{url}/*.gif")
    with pytest.raises(InputError, match="no photo there"):
        run(bucket.url("texts"))
    with pytest.raises(BanetError, match=r"--out s3://no-such-bucket/o.*there is no such bucket"):
        run(photos, out="s3://no-such-bucket/o")


def test_results_never_become_inputs(run: Run, bucket: Bucket, url: str, photos: Path) -> None:
    for out in (url, f"{url}/out", f"s3://{bucket.name}"):
        with pytest.raises(InputError, match="--out"):
            run(url, out=out)
    with pytest.raises(InputError, match="the pattern"):
        run(bucket.url("**/0.png"), out=bucket.url("other"))
    run(f"{url}/0.png", out=bucket.url("one"))
    with pytest.raises(InputError, match="holds the results for"):
        run(photos, out=bucket.url("one"))
    with pytest.raises(ConfigError, match="--out: name the folder"):
        run(f"s3://{bucket.name}")


def test_inputs_of_different_places_are_refused(
    run: Run, bucket: Bucket, url: str, photos: Path
) -> None:
    with pytest.raises(InputError, match="some inputs are on this machine"):
        run(photos, url, out=bucket.url("out"))
    with pytest.raises(ConfigError, match="--watch: looks at folders of this machine only"):
        run(url, watch=True)


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

"""`banet segment` with photos and results on a real server of S3."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import LocalCluster
from s3_server import Bucket
from segment_results import comparable, counts, ledger, outputs, outputs_in, rows_in

from pipelines.segment import SegmentSummary
from pipelines.storage import locate

Run = Callable[..., SegmentSummary]
WritePhoto = Callable[..., Path]


def test_results_are_those_of_the_same_photos_on_a_disk(
    run: Run, bucket: Bucket, url: str, photos: Path
) -> None:
    run(photos)
    summary = run(url)

    local = photos.with_name("photos-segmented")
    assert counts(summary) == (5, 0, 0, 0)
    assert str(summary.out) == f"{url}-segmented"
    assert outputs_in(bucket, "photos-segmented") == outputs(local)
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
    assert outputs_in(bucket, "up") == expected
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


def test_shards_share_a_folder(run: Run, bucket: Bucket, url: str) -> None:
    first = run(url, shard="1/2")
    second = run(url, shard="2/2")
    names = {key.removeprefix("photos-segmented/") for key in bucket.keys("photos-segmented/")}

    assert first.ok + second.ok == 5
    assert names > {"results.1-of-2.jsonl", "results.2-of-2.jsonl", "run.1-of-2.json"}
    assert counts(run(url)) == (0, 0, 0, 5)
    assert len(outputs_in(bucket, "photos-segmented")) == 10


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
    assert outputs_in(bucket, "photos-segmented") == outputs(photos.with_name("photos-segmented"))


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

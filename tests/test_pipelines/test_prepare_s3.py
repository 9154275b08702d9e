"""Datasets that are made behind URLs, on a real server."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from figures import write_pairs
from file_contents import file_contents
from killed_prepare import killed_prepare
from s3_server import Bucket

from pipelines.errors import BanetError, ConfigError, LockedError, StoreError
from pipelines.leases import leased
from pipelines.prepare import PrepareOptions, prepare
from pipelines.storage import RemotePath, locate
from pipelines.store import open_store

SPOTS_OF_STORES = (
    "in the midst of the shards",
    "store without its group",
    "parts forgotten, not deleted",
)

COUNT = 70
"""Pairs: a whole part and some more."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("few") / "pairs"
    write_pairs(root, COUNT)
    (root / "images" / "05.png").write_bytes(b"no photo")
    (root / "LICENSE").write_text("Made by code.")
    return root


@pytest.fixture(scope="module")
def whole(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store that a disk gets."""
    dataset = tmp_path_factory.mktemp("whole") / "out.zarr"
    prepare(options(pairs, dataset))
    return file_contents(dataset)


def options(source: Path | str, dataset: Path | str, **changes: Any) -> PrepareOptions:
    return PrepareOptions(source=source, dataset=dataset, **{"size": 32, "workers": 0, **changes})


def test_a_store_behind_a_url_has_the_files_of_one_on_a_disk(
    bucket: Bucket, pairs: Path, whole: dict[str, bytes]
) -> None:
    source = bucket.upload(pairs, "data/pairs")
    summary = prepare(options(source, bucket.url("sets/out.zarr"), workers=2))
    assert (summary.stored, summary.failed) == (COUNT - 1, 1)
    assert bucket.files("sets/out.zarr") == whole
    others = {key for key in bucket.keys("sets/") if not key.startswith("sets/out.zarr/")}
    assert others == {"sets/out.report.jsonl"}
    store = open_store(locate(bucket.url("sets/out.zarr")))
    assert store.attributes["licence"] == "Made by code."


def test_a_store_that_is_there_is_left_or_replaced(
    bucket: Bucket, pairs: Path, whole: dict[str, bytes]
) -> None:
    url = bucket.url("out.zarr")
    prepare(options(pairs, url, fit="crop"))
    first = bucket.changed("out.zarr/image")
    prepare(options(pairs, url, fit="crop"))
    assert bucket.changed("out.zarr/image") == first
    with pytest.raises(StoreError, match=f"{url}: exists, made from other files.*--force"):
        prepare(options(pairs, url))
    prepare(options(pairs, url, force=True))
    assert bucket.files("out.zarr") == whole


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
@pytest.mark.parametrize("spot", [*SPOTS_OF_STORES])
def test_a_run_that_was_killed_goes_on(
    bucket: Bucket, pairs: Path, whole: dict[str, bytes], spot: str
) -> None:
    again = options(pairs, bucket.url("out.zarr"))
    assert killed_prepare(spot, again) == -signal.SIGKILL
    prepare(again)
    assert bucket.files("out.zarr") == whole


def test_names_that_look_like_patterns_delete_nothing_else(
    bucket: Bucket, pairs: Path, whole: dict[str, bytes]
) -> None:
    bucket.put("sets1/out.zarr/zarr.json", b"mine")
    bucket.put("sets[12]/out.zarr.txt", b"mine")
    for _ in range(2):
        prepare(options(pairs, bucket.url("sets[12]/out.zarr"), force=True))
    assert bucket.files("sets[12]/out.zarr") == whole
    assert bucket.keys("sets1/") == {"sets1/out.zarr/zarr.json"}
    names = {key.split("/")[1] for key in bucket.keys("sets[12]/")}
    assert names == {"out.zarr", "out.zarr.txt", "out.report.jsonl"}


@pytest.mark.parametrize("place", [".out.zarr.partial", "out.zarr"])
def test_what_may_not_be_written_is_named(bucket: Bucket, pairs: Path, place: str) -> None:
    bucket.deny("s3:PutObject", f"{place}/*")
    said = rf"{bucket.url(place)}.*: cannot be written \(access denied.*run the same command again"
    with pytest.raises(StoreError, match=said):
        prepare(options(pairs, bucket.url("out.zarr")))


@pytest.mark.usefixtures("other_access")
def test_a_store_out_of_reach_is_named(
    bucket: Bucket, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
    with pytest.raises(BanetError, match=r"out\.zarr.*no credentials"):
        prepare(options(pairs, bucket.url("out.zarr")))


def test_a_bucket_is_no_dataset(bucket: Bucket, pairs: Path) -> None:
    with pytest.raises(ConfigError, match=r"name the dataset too, such as .*people\.zarr"):
        prepare(options(pairs, f"s3://{bucket.name}"))


def test_what_others_keep_there_is_not_touched(bucket: Bucket, pairs: Path) -> None:
    bucket.put("out.zarr/precious", b"mine")
    with pytest.raises(StoreError, match="exists and is no dataset of banet's"):
        prepare(options(pairs, bucket.url("out.zarr"), force=True))
    assert bucket.get("out.zarr/precious") == b"mine"


def test_two_runs_do_not_make_one_store(bucket: Bucket, pairs: Path) -> None:
    lock = locate(bucket.url(".out.zarr.lock"))
    assert isinstance(lock, RemotePath)
    with leased(lock, place="there"), pytest.raises(LockedError, match=r"out\.zarr"):
        prepare(options(pairs, bucket.url("out.zarr")))

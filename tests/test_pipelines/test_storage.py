"""Places behind URLs, whatever lies behind them."""

import errno
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import _registry as opened
from s3_server import Bucket
from segment_results import counts, outputs

from pipelines import object_log
from pipelines.errors import ConfigError
from pipelines.locks import exclusive, is_held
from pipelines.object_log import ObjectLog, read_log, remove_parts
from pipelines.segment import SegmentSummary
from pipelines.storage import RemotePath, locate, path_within, status_of
from pipelines.whole_files import read_bytes, write_atomically


class DiskFileSystem(LocalFileSystem):
    """Files that are no objects, as behind sftp:// or smb://, and here on this machine's disk."""

    protocol = "disk"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("disk://"))


@pytest.fixture(params=["memory", "disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RemotePath]:
    """An empty folder in a store that is no other test's."""
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        place = locate(bucket.url("folder"))
    elif request.param == "disk":
        fsspec.register_implementation("disk", DiskFileSystem, clobber=True)
        place = locate(f"disk://{tmp_path}/folder")
    else:
        place = locate(f"memory://{tmp_path.name}/folder")
    assert isinstance(place, RemotePath)
    yield place
    assert not list(place.rglob(".*.part"))


def test_files_are_written_found_read_and_deleted(folder: RemotePath) -> None:
    assert not folder.exists()
    assert list(folder.glob("*")) == []

    write_atomically(folder / "a.txt", b"old")
    write_atomically(folder / "a.txt", b"new")
    write_atomically(folder / "below/b.txt", b"four")

    assert read_bytes(folder / "a.txt") == b"new"
    assert {name: status.size for name, status in folder.files()} == {"a.txt": 3, "below/b.txt": 4}
    assert dict(folder.files())["a.txt"] == status_of(folder / "a.txt")
    assert status_of(folder / "a.txt").tells_changes
    assert [path.name for path in folder.glob("*.txt")] == ["a.txt"]
    assert [path.name for path in folder.rglob("*.txt")] == ["a.txt", "b.txt"]
    assert ((folder / "a.txt").kind(), folder.kind()) == ("file", "directory")
    (folder / "a.txt").unlink()
    (folder / "a.txt").unlink(missing_ok=True)
    assert not (folder / "a.txt").exists()


def test_what_is_missing_is_told_as_on_a_disk(folder: RemotePath) -> None:
    for act in (lambda path: path.read_bytes(), lambda path: path.status()):
        with pytest.raises(FileNotFoundError) as caught:
            act(folder / "a.txt")
        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, f"{folder}/a.txt")


def test_only_one_of_two_creates_a_file(folder: RemotePath) -> None:
    assert (folder / "a").create(b"1")
    assert not (folder / "a").create(b"2")
    assert (folder / "a").read_bytes() == b"1"


def test_locks_exclude_each_other_and_leave_nothing_behind(folder: RemotePath) -> None:
    lock = folder / ".lock"
    with exclusive(lock, place=folder) as check:
        assert is_held(lock)
        check()

    assert not is_held(lock)
    assert list(folder.files()) == []


def test_a_log_is_its_file_and_the_parts_behind_it(folder: RemotePath) -> None:
    path = folder / "log.jsonl"
    with pytest.raises(FileNotFoundError):
        read_log(path)
    path.write_bytes(b"0\n")
    log = ObjectLog(path)
    for number in range(1, 12):
        log.write(b"%d\n" % number)
        log.sync()
    (folder / "log.jsonl.backup").write_bytes(b"not ours\n")

    assert read_log(path) == b"".join(b"%d\n" % number for number in range(12))
    remove_parts(path)
    assert {name for name, _ in folder.files()} == {"log.jsonl", "log.jsonl.backup"}
    assert read_log(path) == b"0\n"


def test_a_log_waits_for_a_store_that_refuses_and_not_for_ever(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(object_log, "monotonic", lambda: now)
    path = locate(bucket.url("out/log"))
    assert isinstance(path, RemotePath)
    bucket.put("out/log.000001", b"")
    log = ObjectLog(path)
    bucket.deny("s3:PutObject", "out/*")

    log.write(b"1\n")
    now = 31
    log.write(b"2\n")
    assert "access denied" in caplog.text
    now = 700
    with pytest.raises(PermissionError):
        log.write(b"3\n")
    bucket.deny("s3:PutObject", "elsewhere/*")
    now = 800
    log.write(b"4\n")

    assert bucket.get("out/log.000001") == b"1\n2\n3\n4\n"


def test_paths_of_this_machine_stay_paths() -> None:
    assert locate("a/b") == Path("a/b")
    assert locate(Path("s3:/a")) == Path("s3:/a")
    assert locate("file:///a/b") == Path("/a/b")


def test_places_are_compared_within_one_store_only() -> None:
    place = locate("memory://a/b")

    assert path_within(locate("memory://a/b/c/d"), place) == "c/d"
    assert path_within(place, place) == ""
    assert path_within(locate("memory://a/bc"), place) is None
    assert path_within(Path("/a/b/c"), place) is None
    assert path_within(place, Path("/a")) is None


@pytest.mark.parametrize(
    ("url", "module", "advice"),
    [
        ("s3://bucket/a", "s3fs", "-m pip install s3fs"),
        ("gs://bucket/a", "gcsfs", "-m pip install gcsfs"),
        ("nonsense://bucket/a", "s3fs", "no URL that can be used .*nonsense"),
    ],
)
def test_a_url_that_cannot_be_opened_says_what_is_missing(
    url: str, module: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(opened, url.partition(":")[0], raising=False)

    with pytest.raises(ConfigError, match=advice):
        locate(f"{url}/{module}")


def test_results_on_a_file_system_that_holds_no_objects_are_the_same(
    run: Callable[..., SegmentSummary], photos: Path, tmp_path: Path
) -> None:
    fsspec.register_implementation("disk", DiskFileSystem, clobber=True)
    run(photos)

    summary = run(f"disk://{photos}", out=f"disk://{tmp_path}/out")

    assert counts(summary) == (5, 0, 0, 0)
    assert counts(run(f"disk://{photos}", out=f"disk://{tmp_path}/out")) == (0, 0, 0, 5)
    (tmp_path / "out/.lock").touch()  # which `outputs` expects; the lease leaves nothing
    assert outputs(tmp_path / "out") == outputs(photos.with_name("photos-segmented"))

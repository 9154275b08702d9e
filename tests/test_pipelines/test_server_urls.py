"""URLs that name a server beside the path, as ftp:// and sftp:// do."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import fsspec
import pytest
from fsspec.implementations.ftp import FTPFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import infer_storage_options
from segment_results import counts

from pipelines.errors import InputError
from pipelines.segment import SegmentSummary
from pipelines.storage import locate, path_within

Run = Callable[..., SegmentSummary]


class ServedFileSystem(LocalFileSystem):
    """What is reached as files behind ftp:// are, and here on this machine's disk."""

    protocol = "served"

    def __init__(self, *, host: str, username: str = "", password: str = "", **_: Any) -> None:
        if (username, password) not in {("", ""), ("ann", "secret")}:
            raise PermissionError(f"{host}: wrong password")
        super().__init__()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(infer_storage_options(path)["path"])

    _get_kwargs_from_urls = staticmethod(FTPFileSystem._get_kwargs_from_urls)


@pytest.fixture
def served() -> None:
    fsspec.register_implementation("served", ServedFileSystem, clobber=True)


class _Greeting(StreamRequestHandler):
    """The beginning of a conversation in FTP, which lets everybody in."""

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            self.wfile.write(b"331 go on\r\n" if line.startswith(b"USER") else b"230 come in\r\n")


@pytest.fixture
def ftp_server() -> Iterator[str]:
    with ThreadingTCPServer(("127.0.0.1", 0), _Greeting) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_places_on_a_server_are_called_by_its_name_and_no_password_is_told(ftp_server: str) -> None:
    place = locate(f"ftp://ann:secret@{ftp_server}/a/b/")

    assert str(place) == f"ftp://ann@{ftp_server}/a/b"
    assert str(place / "c.jpg") == f"ftp://ann@{ftp_server}/a/b/c.jpg"
    assert str(place.parent) == f"ftp://ann@{ftp_server}/a"
    assert str(locate(f"ftp://{ftp_server}/a")) == f"ftp://{ftp_server}/a"
    assert str(locate("webhdfs://node:9870/a")) == "webhdfs://node:9870/a"


def test_places_that_name_no_server_are_called_what_they_were() -> None:
    for url in ("s3://bucket/a/b.jpg", "memory://a/b.jpg"):
        assert str(locate(url)).replace("///", "//") == url


@pytest.mark.usefixtures("served")
def test_the_same_path_on_another_server_is_another_place() -> None:
    place = locate("served://one/a")

    assert path_within(locate("served://one/a/b"), place) == "b"
    assert path_within(locate("served://ann:secret@one/a/b"), place) is None
    assert path_within(locate("served://two/a/b"), place) is None


@pytest.mark.usefixtures("served")
def test_results_of_one_server_are_not_replaced_by_those_of_another(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(f"served://one{photos}", out=out).ok == 5

    with pytest.raises(InputError, match=f"holds the results for served://one{photos}, which"):
        run(f"served://two{photos}", out=out)

    assert counts(run(f"served://one{photos}", out=out)) == (0, 0, 0, 5)


@pytest.mark.usefixtures("served")
def test_a_password_is_used_and_not_written_down(
    run: Run, photos: Path, tmp_path: Path, write_photo: Callable[..., Path]
) -> None:
    out, server = tmp_path / "out", "served://ann:secret@one"
    run(f"{server}{photos}", out=out)
    other = write_photo(tmp_path / "other" / "0.png").parent

    assert counts(run(f"{server}{photos}", out=out)) == (0, 0, 0, 5)
    assert not [path for path in out.rglob("*.json*") if b"secret" in path.read_bytes()]
    with pytest.raises(InputError, match=f"the results for served://ann@one{photos}, which those"):
        run(f"{server}{other}", out=out)
    with pytest.raises(InputError, match=r"cannot be reached \(served://ann@one\S+: no URL .*gone"):
        run(photos, out=out)


@pytest.mark.usefixtures("served")
def test_a_place_that_is_gone_keeps_nobody_out(run: Run, photos: Path, tmp_path: Path) -> None:
    run(f"served://one{photos}", out=tmp_path / "out")
    moved = photos.rename(photos.with_name("moved"))

    assert counts(run(f"served://one{moved}", out=tmp_path / "out")) == (0, 0, 0, 5)

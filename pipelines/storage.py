"""Files behind URLs, such as `s3://bucket/photos`.

Paths of this machine stay what they are, `pathlib.Path`. A URL becomes a `RemotePath`, which has
the methods of the same names as far as runs need them, and raises the same errors. Credentials and
endpoints are where fsspec and its packages look for them, such as `AWS_ENDPOINT_URL`.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from pipelines.file_systems import CONNECTIONS, open_url, protocols_of
from pipelines.storage_errors import explain
from pipelines.storage_info import changed_ns, etag_of
from pipelines.urls import is_url, without_password

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_OF_THIS_MACHINE = ("file://", "local://")

_OBJECT_STORES = frozenset({"s3", "gs", "abfs", "adl", "oci", "oss", "obs", "tos", "memory"})
"""Protocols whose objects appear whole or not at all, and need no folders."""


class Status(NamedTuple):
    """What tells a file that has changed without reading it.

    Attributes:
        size: In bytes.
        mtime_ns: Time of the last change in nanoseconds since 1970; None if it is not known.
        etag: What an object store calls this content; None elsewhere.
    """

    size: int
    mtime_ns: int | None
    etag: str | None = None

    @property
    def tells_changes(self) -> bool:
        """Return whether a file that has changed would have another status."""
        return self.mtime_ns is not None or self.etag is not None


@dataclass(frozen=True)
class RemotePath:
    """A file or folder behind a URL; what it is called is said by `str`.

    What fails raises OSError with a reason in `strerror` that says how to mend it.

    Attributes:
        url: With which its file system is opened.
        key: Path in that file system.
    """

    url: str
    key: str

    def __str__(self) -> str:
        _, link, inner = self.url.partition("::")
        files, _, server = open_url(self.url)
        name = files.unstrip_protocol(self.key)
        if server:
            name = f"{protocols_of(files)[0]}://{server}{self.key}"
        return f"{name}{link}{without_password(inner)}"

    def __truediv__(self, name: str) -> "RemotePath":
        return RemotePath(self.url, f"{self.key.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """Return the last part, empty if nothing can lie beside it, as beside a bucket."""
        return self.key.rpartition("/")[2] if "/" in self.key else ""

    @property
    def stem(self) -> str:
        """Return the last part without its extension; of a bucket, its name."""
        return PurePosixPath(self.key).stem

    @property
    def parent(self) -> "RemotePath":
        """Return the folder that it lies in."""
        return RemotePath(self.url, self.key.rpartition("/")[0])

    def with_name(self, name: str) -> "RemotePath":
        """Return what lies beside it under another name."""
        return self.parent / name

    def absolute(self) -> "RemotePath":
        """Return itself, since URLs are absolute."""
        return self

    def resolve(self) -> "RemotePath":
        """Return itself, since there are no links."""
        return self

    def within(self, folder: "RemotePath") -> str | None:
        """Return its path relative to a folder, empty for the folder itself; None if outside."""
        if not self._is_beside(folder):
            return None
        if self.key == folder.key:
            return ""
        prefix = f"{folder.key.rstrip('/')}/" if folder.key else ""
        return self.key.removeprefix(prefix) if self.key.startswith(prefix) else None

    def exists(self) -> bool:
        """Tell whether there is a file, or a folder that holds some."""
        return self.kind() is not None

    def kind(self) -> str | None:
        """Return `file` or `directory`; None if there is neither."""
        try:
            with self._failures():
                return str(self.file_system.info(self.key)["type"])
        except FileNotFoundError:
            return None

    def status(self) -> Status:
        """Return size and time of a file."""
        with self._failures():
            return _status(self.file_system.info(self.key))

    def read_bytes(self) -> bytes:
        """Return the content of a file."""
        with self._failures():
            # In one piece: several requests could meet several versions of an object.
            options = {"max_concurrency": 1} if self._is_s3 else {}
            return bytes(self.file_system.cat_file(self.key, **options))

    def write_bytes(self, content: bytes) -> None:
        """Write a file so that it is there, at any moment, as it was or whole."""
        with self._failures():
            self._make_parent()
            if self.is_object:
                self.file_system.pipe_file(self.key, content)
                return
            temporary = self.with_name(f".{uuid4().hex}.part").key
            try:
                self.file_system.pipe_file(temporary, content)
                self.file_system.mv(temporary, self.key)
            except BaseException:
                if self.file_system.exists(temporary):
                    self.file_system.rm_file(temporary)
                raise

    def create(self, content: bytes) -> bool:
        """Write a file unless it exists; return whether it was written.

        Two that try it at once can both succeed where a server knows no conditions.
        """
        try:
            with self._failures():
                self._make_parent()
                self.file_system.pipe_file(self.key, content, mode="create")
        except FileExistsError:
            return False
        return True

    def replace_content(self, content: bytes, *, etag: str | None) -> bool:
        """Write a file if it still has an etag; return whether it was written.

        The condition holds on S3 only.
        """
        condition = {"IfMatch": etag} if etag is not None and self._is_s3 else {}
        try:
            with self._failures():
                self.file_system.pipe_file(self.key, content, **condition)
        except (FileExistsError, FileNotFoundError):
            return False
        return True

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete a file."""
        try:
            with self._failures():
                self.file_system.rm_file(self.key)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def copy_to(self, target: "RemotePath") -> None:
        """Copy a file within its store, which moves no content here."""
        with self._failures():
            self.file_system.cp_file(self.key, target.key)

    def remove_all(self) -> None:
        """Delete a folder with all that is in it, if it is there."""
        # One by one: fsspec takes the path of a folder for a pattern, and deletes all that match.
        with ThreadPoolExecutor(CONNECTIONS // 4) as threads:
            for _ in threads.map(lambda each: (self / each[0]).unlink(), self.files_if_any()):
                """Raise what was raised."""

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: folders come with the files in them."""

    def files(self) -> Iterator[tuple[str, Status]]:
        """Yield all files below a folder, however deep, by relative path.

        Raises:
            OSError: It cannot be listed. A folder without files is no error.
        """
        with self._failures():
            found = self.file_system.find(self.key, detail=True)
        prefix = f"{self.key.rstrip('/')}/"
        for key, info in found.items():
            # Objects whose names end in a slash stand for empty folders.
            if key.startswith(prefix) and not key.endswith("/"):
                yield key.removeprefix(prefix), _status(info)

    def files_if_any(self) -> Iterator[tuple[str, Status]]:
        """Yield what `files` does, and nothing where there is no such folder."""
        try:
            yield from self.files()
        except FileNotFoundError:
            return

    def glob(self, pattern: str) -> "Iterator[RemotePath]":
        """Yield the files that lie directly in the folder and whose names match."""
        for path, _ in self.glob_with_status(pattern):
            yield path

    def glob_with_status(self, pattern: str) -> "Iterator[tuple[RemotePath, Status]]":
        """Yield what `glob` does, with size and time as one listing tells of all."""
        try:
            with self._failures():
                found = self.file_system.ls(self.key, detail=True)
        except FileNotFoundError:
            return
        for info in found:
            name = info["name"].rpartition("/")[2]
            if info["type"] == "file" and fnmatchcase(name, pattern):
                yield self / name, _status(info)

    def rglob(self, pattern: str) -> "Iterator[RemotePath]":
        """Yield the files below the folder, however deep, whose names match."""
        for name, _ in self.files_if_any():
            if fnmatchcase(name.rpartition("/")[2], pattern):
                yield self / name

    @property
    def file_system(self) -> "AbstractFileSystem":
        """Return what fsspec has for such URLs."""
        return open_url(self.url).files

    def same_server(self, place: str) -> "RemotePath | None":
        """Return a place that `str` names on the same server; None if it is elsewhere.

        It is reached with the password of this one, which `str` leaves out.
        """
        files, _, server = open_url(self.url)
        prefix = f"{protocols_of(files)[0]}://{server}/"
        if not server or not place.startswith(prefix):
            return None
        return RemotePath(self.url, f"/{place.removeprefix(prefix)}")

    def _is_beside(self, other: "RemotePath") -> bool:
        """Tell whether both are in the same store, whatever password they are reached with."""
        own, others = open_url(self.url), open_url(other.url)
        if own.server:
            return type(own.files) is type(others.files) and own.server == others.server
        return own.files == others.files

    def _make_parent(self) -> None:
        if not self.is_object:
            self.file_system.makedirs(self.parent.key, exist_ok=True)

    @property
    def is_object(self) -> bool:
        """Whether files appear whole or not at all, and need no folders."""
        return not _OBJECT_STORES.isdisjoint(protocols_of(self.file_system))

    @property
    def _is_s3(self) -> bool:
        return "s3" in protocols_of(self.file_system)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Let everything that fails raise OSError, which says what to do."""
        try:
            yield
        except Exception as error:  # every package behind fsspec has errors of its own
            number, reason = explain(error)
            raise OSError(number, reason, str(self)) from error


Location = Path | RemotePath

FilePath = str | RemotePath
"""Path of one among very many files.

On this machine it is text, for `pathlib` keeps the name of every file that it has seen: Python 3.12
for good, others in a table of some megabytes, which they copy whenever so many names were in it.
"""


def locate(place: Path | str) -> Location:
    """Return the path that a user names, or the one behind a URL.

    Raises:
        ConfigError: Nobody knows such URLs, or the package for them is missing.
    """
    if isinstance(place, Path) or not is_url(place):
        return Path(place)
    if place.startswith(_OF_THIS_MACHINE):
        return Path(open_url(place).key)
    return RemotePath(place, open_url(place).key)


def is_remote(place: Location) -> bool:
    """Tell whether a place is behind a URL."""
    return isinstance(place, RemotePath)


def path_within(path: Location, folder: Location) -> str | None:
    """Return the path relative to a folder, with forward slashes; None if it lies elsewhere."""
    if isinstance(path, Path) and isinstance(folder, Path):
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else None
    if isinstance(path, RemotePath) and isinstance(folder, RemotePath):
        return path.within(folder)
    return None


def lies_in(path: Location, folder: Location) -> bool:
    """Tell whether a path is a folder or lies somewhere below it."""
    return path_within(path, folder) is not None


def path_in(folder: Location, name: str) -> FilePath:
    """Return the path of a file in a folder, named relative to it with forward slashes."""
    if isinstance(folder, RemotePath):
        return folder / name
    return os.path.join(folder, name)  # noqa: PTH118 # see FilePath


def status_of(path: Location | FilePath) -> Status:
    """Return size and time of a file.

    Raises:
        OSError: They are not to be had.
    """
    if isinstance(path, RemotePath):
        return path.status()
    status = os.stat(path)  # noqa: PTH116 # see FilePath
    return Status(status.st_size, status.st_mtime_ns)


def _status(info: dict[str, Any]) -> Status:
    return Status(int(info.get("size") or 0), changed_ns(info), etag_of(info))

"""The files of a source dataset, listed once, and what their names say."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import splitext
from typing import overload

from pipelines.errors import InputError
from pipelines.folder_walk import walk
from pipelines.images import is_photo_name
from pipelines.storage import FilePath, Location, RemotePath, path_in

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}

_TABLES = (".csv", ".json")
"""Files that may be named instead of the folder that they lie in."""

ANNOTATIONS = "annotations"
"""Where COCO has its lists: in a folder of their own, beside the photos."""


@dataclass(frozen=True)
class SourceFiles:
    """The files below the folder of a dataset; hidden ones are left out.

    Attributes:
        root: The folder.
        names: Relative paths with forward slashes, sorted.
        chosen: The one file that was named instead of the folder; else empty.
    """

    root: Location
    names: tuple[str, ...]
    chosen: str = ""

    def path(self, name: str) -> Location:
        """Return where a file is, or would be."""
        return self.root / name

    def file(self, name: str) -> FilePath:
        """Return the same for one of the many files of samples."""
        return path_in(self.root, name)

    def pictures(self, folder: str = "") -> list[str]:
        """Return the names of files below a folder that look like those of photos."""
        prefix = f"{folder}/" if folder else ""
        below = (name for name in self.names if name.startswith(prefix))
        return [name for name in below if is_photo_name(name)]

    def folders(self, base: str = "") -> list[str]:
        """Return the relative paths of the folders that lie directly in a folder and hold files."""
        prefix = f"{base}/" if base else ""
        below = (name.removeprefix(prefix) for name in self.names if name.startswith(prefix))
        return sorted({f"{prefix}{name.partition('/')[0]}" for name in below if "/" in name})


def list_files(source: Location) -> SourceFiles:
    """List a dataset: the folder that a user names, or the one of a table of its files.

    Raises:
        InputError: There is none, it is another kind of file, or it cannot be read.
    """
    try:
        kind = kind_of(source)
        if kind is None:
            raise InputError(f"{source}: no such folder; name the folder that holds the dataset")
        if kind == "directory":
            return SourceFiles(source, _names(source))
        if PurePosixPath(source.name).suffix.lower() not in _TABLES:
            raise InputError(
                f"{source}: a file; name the folder that holds the dataset, or a .csv or .json file"
            )
        root = root_of(source)
        below = "" if root == source.parent else f"{ANNOTATIONS}/"
        return SourceFiles(root, _names(root), chosen=f"{below}{source.name}")
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from error


@overload
def root_of(table: Path) -> Path: ...
@overload
def root_of(table: RemotePath) -> RemotePath: ...
def root_of(table: Location) -> Location:
    """Return the folder of the dataset that a table or list is of, given as an absolute path."""
    folder = table.parent
    return folder.parent if folder.name == ANNOTATIONS else folder


def kind_of(place: Location) -> str | None:
    """Return `directory` or `file`; None if there is neither.

    Raises:
        OSError: It cannot be looked at.
    """
    if isinstance(place, RemotePath):
        return place.kind()
    if place.is_dir():
        return "directory"
    return "file" if place.exists() else None


def without_suffix(name: str) -> str:
    """Return a relative path, with forward slashes, without its extension."""
    stem, suffix = splitext(name)
    return name if suffix == "." else stem


def split_named(name: str) -> str | None:
    """Return the split that a folder or a list is named after, `val` for `valid` or `val2017`."""
    return _SPLITS.get(re.sub(r"\d+$", "", name.lower()))


def _names(root: Location) -> tuple[str, ...]:
    found = (name for name, _ in root.files()) if isinstance(root, RemotePath) else _walked(root)
    return tuple(sorted(name for name in found if not _is_hidden(name)))


def _walked(root: Path) -> Iterable[str]:
    for parent, names in walk(root):
        folder = parent.relative_to(root).as_posix()
        prefix = "" if folder == "." else f"{folder}/"
        yield from (f"{prefix}{name}" for name in names)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))

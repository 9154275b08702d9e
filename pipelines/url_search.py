"""Which photos a run takes when its inputs are URLs."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path

from pipelines.errors import InputError
from pipelines.images import is_picture_path
from pipelines.photo_tree import ANY_DEPTH, Pattern, PhotoTree
from pipelines.storage import RemotePath, Status


class UrlSearch:
    """Photos and folders as they are found, input by input, in one file system."""

    def __init__(self) -> None:
        self._bases: list[RemotePath] = []
        self._photos: dict[RemotePath, Status] = {}
        self._folders: list[RemotePath] = []
        self._patterns: list[Pattern] = []

    def add(self, place: RemotePath) -> None:
        """Search what one input names: a file, a folder, or a pattern of these.

        Raises:
            InputError: There is nothing, or it cannot be listed.
        """
        try:
            kind = place.kind()
            if kind == "file":
                self._bases.append(place.parent)
                self._photos[place] = place.status()
            elif kind is not None:
                self._bases.append(place)
                self._folders.append(place)
                self._take(place, (ANY_DEPTH,))
            else:
                self._add_pattern(place)
        except OSError as error:
            raise InputError(f"{place}: cannot be read ({error.strerror})") from error

    def tree(self) -> PhotoTree:
        """Return what was found.

        Raises:
            InputError: The inputs have no folder in common.
        """
        root = _common_folder(self._bases)
        statuses = {
            name: status
            for photo, status in self._photos.items()
            if (name := photo.within(root)) is not None
        }
        return PhotoTree(
            root=root,
            sources=tuple(sorted(statuses)),
            folders=tuple(self._folders),
            patterns=tuple(self._patterns),
            single_folder=len(set(self._bases)) == 1,
            statuses=statuses,
        )

    def _add_pattern(self, place: RemotePath) -> None:
        base = place
        parts: tuple[str, ...] = ()
        while has_magic(base.key):
            parts = (base.key.rpartition("/")[2], *parts)
            base = base.parent
        if not parts:
            raise InputError(f"{place}: no such file or folder; check the URL and the endpoint")
        before = len(self._photos)
        self._take(base, parts)
        if len(self._photos) == before:
            raise InputError(f"{place}: no photo matches this pattern; check it")
        self._bases.append(base)
        self._patterns.append(Pattern(base=base, parts=parts))

    def _take(self, base: RemotePath, parts: tuple[str, ...]) -> None:
        """Take the photos below a folder whose relative path a pattern names."""
        for name, status in base.files():
            if is_picture_path(Path(name)) and _names(parts, name.split("/")):
                self._photos[base / name] = status


def _names(parts: Sequence[str], names: Sequence[str]) -> bool:
    """Tell whether a pattern names a file or a folder that it lies in.

    As on disks, hidden files and folders are named only by a pattern that spells out their dot.
    """
    if not parts:
        return not any(map(_is_hidden, names))
    if not names:
        return False
    part, name = parts[0], names[0]
    if part == ANY_DEPTH:
        below = len(names) > 1 and not _is_hidden(name) and _names(parts, names[1:])
        return below or _names(parts[1:], names)
    fits = fnmatchcase(name, part) and (part.startswith(".") or not _is_hidden(name))
    return fits and _names(parts[1:], names[1:])


def _is_hidden(name: str) -> bool:
    return name.startswith(".") and name not in {".", ".."}  # which are names like others here


def _common_folder(bases: Sequence[RemotePath]) -> RemotePath:
    first = bases[0]
    if any(base.within(RemotePath(first.url, "")) is None for base in bases):
        raise InputError(
            "the inputs lie in different stores; segment those of each in a run of its own"
        )
    parts = []
    for names in zip(*(base.key.split("/") for base in bases), strict=False):
        if len(set(names)) > 1:
            break
        parts.append(names[0])
    if not any(parts):
        raise InputError(
            "the inputs lie in different buckets; segment those of each in a run of its own"
        )
    return RemotePath(first.url, "/".join(parts))

"""Which photos a run takes: the files, folders and patterns that its inputs name."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path

from pipelines.errors import InputError
from pipelines.folder_walk import walk
from pipelines.images import is_picture_path
from pipelines.photo_tree import ANY_DEPTH, Pattern, PhotoTree
from pipelines.storage import Location, RemotePath, locate
from pipelines.url_search import UrlSearch


def find_photos(inputs: Sequence[Path | str], *, may_come_later: bool = False) -> PhotoTree:
    """Find the photos that files, folders, globs, and URLs of any of these name.

    Folders are searched to the bottom for files with the extension of a picture; hidden files and
    folders are left out, links to folders are followed once. A file that is named itself counts
    as a photo whatever its name. What exists is taken as it is, even with glob characters.

    Args:
        inputs: At least one; all on this machine, or all in one store.
        may_come_later: That there is no photo yet, or that nothing matches a pattern, is fine.

    Raises:
        InputError: An input does not exist, a folder cannot be read, or there is no photo at all.
        ConfigError: A URL cannot be used.
    """
    tree = _search_all(list(map(locate, inputs)), may_come_later=may_come_later)
    if not tree.sources and not may_come_later:
        raise InputError(
            f"{', '.join(map(str, inputs))}: no photo there; banet looks in folders for files "
            "such as .jpg, .png or .webp that are not hidden, so check the path"
        )
    return tree


def _search_all(places: Sequence[Location], *, may_come_later: bool) -> PhotoTree:
    paths = [place for place in places if isinstance(place, Path)]
    urls = [place for place in places if isinstance(place, RemotePath)]
    if paths and urls:
        raise InputError(
            f"{paths[0]} and {urls[0]}: some inputs are on this machine and some are not; segment "
            "these and those in runs of their own"
        )
    if urls:
        url_search = UrlSearch()
        for url in urls:
            url_search.add(url)
        return url_search.tree()
    search = _Search(may_come_later=may_come_later)
    for path in paths:
        search.add(path)
    return search.tree(_common_folder(search.bases))


def find_photos_again(inputs: Sequence[Path | str], root: Path) -> tuple[PhotoTree, list[str]]:
    """Find the photos that the inputs of a run, which are no URLs, name by now.

    Inputs that are gone and folders that cannot be read are left out: who watches a network share
    waits until it is back.

    Args:
        inputs: As for `find_photos` earlier.
        root: What it found to be the root.

    Returns:
        The photos, and what was left out, one sentence each.
    """
    search = _Search(may_come_later=True)
    left_out = []
    for path in map(Path, inputs):
        try:
            search.add(path)
        except InputError as error:
            left_out.append(str(error))
        except OSError as error:  # a folder went while it was being searched
            left_out.append(f"{error.filename or path}: {error.strerror or error}")
    return search.tree(root), left_out


@dataclass(kw_only=True)
class _Search:
    """Photos and folders as they are found, input by input."""

    may_come_later: bool
    bases: list[Path] = field(default_factory=list)
    photos: set[Path] = field(default_factory=set)
    folders: list[Path] = field(default_factory=list)
    patterns: list[Pattern] = field(default_factory=list)

    def tree(self, root: Path) -> PhotoTree:
        """Return what was found."""
        return PhotoTree(
            root=root,
            sources=tuple(sorted(photo.relative_to(root).as_posix() for photo in self.photos)),
            folders=tuple(self.folders),
            patterns=tuple(self.patterns),
            single_folder=len(set(self.bases)) == 1,
        )

    def add(self, path: Path) -> None:
        """Search what one input names."""
        # Path.resolve would replace links, by whose names the user knows the photos.
        absolute = Path(os.path.abspath(path))  # noqa: PTH100
        if os.path.lexists(absolute):
            is_folder = absolute.is_dir()
            self.bases.append(absolute if is_folder else absolute.parent)
            self._take_folder(absolute) if is_folder else self.photos.add(absolute)
            return
        pattern = _parse_pattern(absolute)
        if pattern is None:
            raise InputError(f"{path}: no such file or folder; check the path")
        base, parts = pattern
        matches = list(self._matches(base, parts))
        if not matches and not self.may_come_later:
            raise InputError(f"{path}: no file or folder matches this pattern; check it")
        self.bases.append(base)
        self.patterns.append(Pattern(base=base, parts=parts))
        for match in matches:
            if match.is_dir():
                self._take_folder(match)
            elif is_picture_path(match):
                self.photos.add(match)

    def _take_folder(self, folder: Path) -> None:
        self.folders.append(folder)
        for parent, names in self._walk(folder):
            self.photos.update(parent / name for name in names if is_picture_path(Path(name)))

    def _matches(self, folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
        """Yield what a pattern names in a folder; hidden names only if it spells out their dot."""
        if not parts:
            yield folder
            return
        name, rest = parts[0], parts[1:]
        if name == ANY_DEPTH:  # not left to glob, which follows links in circles
            for parent, _ in self._walk(folder):
                yield from self._matches(parent, rest)
            return
        matches = sorted(glob(name, root_dir=folder)) if has_magic(name) else [name]  # noqa: PTH207
        for path in (folder / match for match in matches):
            if path.is_dir() if rest else os.path.lexists(path):
                yield from self._matches(path, rest)

    def _walk(self, folder: Path) -> Iterator[tuple[Path, list[str]]]:
        for parent, names in walk(folder):
            if parent.is_symlink():
                self.folders.append(parent)
            yield parent, names


def _parse_pattern(path: Path) -> tuple[Path, tuple[str, ...]] | None:
    """Split an absolute path before its first wildcard; None if it has none.

    A folder that exists is no wildcard, whatever characters its name has.
    """
    base = Path(path.anchor)
    parts = path.parts[1:]
    for index, part in enumerate(parts):
        if has_magic(part) and not os.path.lexists(base / part):
            return base, parts[index:]
        base /= part
    return None


def _common_folder(bases: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath(bases))
    except ValueError as error:
        raise InputError(
            "the inputs lie on different drives; segment each drive in a run of its own"
        ) from error

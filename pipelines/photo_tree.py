"""The photos of a run: below which folder, and what was searched for them."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import PurePosixPath

from pipelines.storage import Location, Status, path_in, path_within, status_of

ANY_DEPTH = "**"


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A path with wildcards. `**` stands for any number of folders, each visited once.

    Attributes:
        base: Absolute path of the folder above the first wildcard.
        parts: The rest, name by name.
    """

    base: Location
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.base / "/".join(self.parts))

    def may_name(self, folder: Location) -> bool:
        """Tell whether the pattern names `folder`, a folder above it, or could name files in it."""
        below = path_within(folder, self.base.resolve())
        if below is None:
            return False
        for part, name in zip(self.parts, PurePosixPath(below).parts, strict=False):
            if part == ANY_DEPTH:
                return True
            if not fnmatch(name, part):
                return False
        return True


@dataclass(frozen=True, kw_only=True)
class PhotoTree:
    """The photos of a run, below one common folder.

    Attributes:
        root: Absolute path of the folder that all photos lie in: the input folder if there is
            one, else the deepest folder that holds all inputs.
        sources: Paths of the photos relative to `root`, with forward slashes, sorted.
        folders: Absolute paths of the folders that were searched: inputs, and links below them.
        patterns: Inputs with wildcards.
        single_folder: Whether all inputs name, or lie directly in, one and the same folder.
        statuses: What a listing said about each photo; None where the photos are asked themselves.
    """

    root: Location
    sources: tuple[str, ...]
    folders: tuple[Location, ...]
    patterns: tuple[Pattern, ...]
    single_folder: bool
    statuses: Mapping[str, Status] | None = None

    def __contains__(self, source: str) -> bool:
        """Tell whether there is such a photo."""
        place = bisect_left(self.sources, source)
        return self.sources[place : place + 1] == (source,)

    def status_of(self, source: str) -> Status:
        """Return size and time of a photo, named relative to the root.

        Raises:
            OSError: They are not to be had.
        """
        if self.statuses is None:
            return status_of(path_in(self.root, source))
        return self.statuses[source]

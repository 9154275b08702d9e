"""Where the results of photos go: never among the photos, and no two to the same place."""

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from pipelines.errors import ConfigError, InputError
from pipelines.file_kinds import is_unreadable_name
from pipelines.photo_tree import PhotoTree
from pipelines.storage import Location, RemotePath, lies_in, path_within

MASKS = "masks"
COMPOSITES = "composites"
RESULT_EXTENSIONS = frozenset({".png", ".jpg", ".webp"})

LONGEST_STEM = 255 - max(map(len, RESULT_EXTENSIONS))
"""Bytes that the name of a file may have without its extension, in all usual file systems."""


def default_output_folder(tree: PhotoTree) -> Location:
    """Return the folder `<folder>-segmented` beside the input folder.

    Raises:
        ConfigError: There is no single input folder, or none beside it.
    """
    if not tree.single_folder or not tree.root.name:
        raise ConfigError(
            "--out: name the folder for the results; there is a default only when all inputs "
            "come from one folder"
        )
    return tree.root.with_name(f"{tree.root.name}-segmented")


def refuse_overlap(tree: PhotoTree, out: Location) -> None:
    """Make sure that no result can become an input of this or the next run.

    Raises:
        InputError: The output folder lies in an input folder, is one, or holds one; or a pattern
            of the inputs names results, too.
    """
    target = out.resolve()
    for folder in tree.folders:
        real = folder.resolve()
        if lies_in(target, real):
            raise InputError(
                f"--out {out}: lies inside the input folder {folder}, so that its results would "
                "be segmented by the next run; choose a folder beside the input folder"
            )
        if lies_in(real, target):
            raise InputError(
                f"--out {out}: holds the input folder {folder}; choose a folder beside it"
            )
    for pattern in tree.patterns:
        if any(pattern.may_name(target / name) for name in (MASKS, COMPOSITES)):
            raise InputError(
                f"--out {out}: the pattern {pattern} would take its results for photos in the next "
                "run; choose a folder elsewhere, or a narrower pattern"
            )
    for results in (out.absolute() / MASKS, out.absolute() / COMPOSITES):
        below = path_within(results, tree.root)
        if below is None:
            continue
        prefix = f"{below}/"
        overwritten = next((name for name in tree.sources if name.startswith(prefix)), None)
        if overwritten is not None:
            raise InputError(
                f"{tree.root / overwritten}: is a result in --out {out}, and would be "
                "overwritten; choose another folder for the results"
            )


def default_stem(source: str) -> str:
    """Return the path of a photo without its extension, which its results get if they can."""
    return str(PurePosixPath(_plain(source)).with_suffix(""))


def name_key(name: str) -> str:
    """Return what is the same for names that some usual file system holds for equal."""
    return unicodedata.normalize("NFC", name).casefold()


def assign_stems(sources: Sequence[str], earlier: Mapping[str, str]) -> dict[str, str]:
    """Give every photo the path of its results, relative and without extension.

    The extension is dropped; a photo whose name is then taken keeps it. Names count as equal if
    any usual file system holds them for equal: without regard to case and Unicode composition.
    What would be too long a name with the extension of a result is cut, and told by a hash.
    A name is taken, too, if its results would have the name of a folder (`a.png/`). Pictures that
    cannot be read come last, so that a raw file takes nothing from the JPEG beside it.

    Args:
        sources: Relative paths of the photos, sorted.
        earlier: What photos were given in earlier runs; it stays theirs.
    """
    stems = {}
    taken = {name_key(stem) for stem in earlier.values()}
    taken.update(name_key(name) for name in _names_of_folders(sources))
    for source in sorted(sources, key=is_unreadable_name):
        stem = earlier.get(source)
        if stem is None:
            stem = next(name for name in _candidate_stems(source) if name_key(name) not in taken)
            taken.add(name_key(stem))
        stems[source] = stem
    return stems


def remove_leftovers(out: Location, *, everywhere: bool) -> None:
    """Delete the temporary files that a killed run left in its output folder.

    Args:
        out: The output folder.
        everywhere: Look into all folders of results, where a run that was killed while it began has
            left nothing.
    """
    for path in out.glob(".*.part"):
        path.unlink(missing_ok=True)
    if isinstance(out, RemotePath):
        if everywhere:
            _remove_parts_behind(out)
        return
    stack: list[Path] = [out / MASKS, out / COMPOSITES]
    while stack:  # rglob recurses, and folders may be deeper than Python does
        try:
            with os.scandir(stack.pop()) as entries:
                for entry in entries:
                    if fnmatch(entry.name, ".*.part"):
                        Path(entry.path).unlink(missing_ok=True)
                    elif everywhere and entry.is_dir(follow_symlinks=False):
                        stack.append(Path(entry.path))
        except FileNotFoundError:
            continue


def _remove_parts_behind(out: RemotePath) -> None:
    for name in (MASKS, COMPOSITES):
        for path in (out / name).rglob(".*.part"):
            path.unlink(missing_ok=True)


def _names_of_folders(sources: Sequence[str]) -> Iterator[str]:
    """Yield the paths of folders that end like results, without that ending."""
    parents = {PurePosixPath(source.rpartition("/")[0]) for source in sources}
    for folder in {folder for parent in parents for folder in (parent, *parent.parents)}:
        if folder.suffix.lower() in RESULT_EXTENSIONS:
            yield str(folder.with_suffix(""))


def _plain(source: str) -> str:
    """Return a path that leads nowhere else when it is put behind that of a folder.

    Objects may have any name, such as `a//../../b.jpg`, which in a folder would lead out of it.
    """
    names = (name for name in source.split("/") if name not in {"", "."})
    return "/".join("%2E%2E" if name == ".." else name for name in names)


def _candidate_stems(source: str) -> Iterator[str]:
    yield _shortened(default_stem(source))
    source = _plain(source)
    yield _shortened(source)
    number = 2
    while True:
        yield _shortened(f"{source}-{number}")
        number += 1


def _shortened(stem: str) -> str:
    """Cut a name that has no room for an extension, and add a hash of all of it."""
    folder, slash, name = stem.rpartition("/")
    encoded = os.fsencode(name)
    if len(encoded) <= LONGEST_STEM:
        return stem
    ending = f"-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:12]}"
    beginning = encoded[: LONGEST_STEM - len(ending)].decode("utf-8", "ignore")
    return f"{folder}{slash}{beginning}{ending}"

"""Which photos a run takes, and where the results of each go."""

import os
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path, PurePosixPath

from pipelines.errors import ConfigError, InputError
from pipelines.images import is_photo_path

MASKS = "masks"
COMPOSITES = "composites"
RESULT_EXTENSIONS = frozenset({".png", ".jpg", ".webp"})


@dataclass(frozen=True, kw_only=True)
class PhotoTree:
    """The photos of a run, below one common folder.

    Attributes:
        root: Absolute path of the folder that all photos lie in: the input folder if there is
            one, else the deepest folder that holds all inputs.
        sources: Paths of the photos relative to `root`, with forward slashes, sorted.
        folders: Absolute paths of the folders that were searched.
        single_folder: Whether all inputs name, or lie directly in, one and the same folder.
    """

    root: Path
    sources: tuple[str, ...]
    folders: tuple[Path, ...]
    single_folder: bool


def find_photos(inputs: Sequence[Path]) -> PhotoTree:
    """Find the photos that files, folders and globs name.

    Folders are searched to the bottom for files with the extension of a photo; hidden files and
    folders are left out, links to folders are followed once. A file that is named itself counts
    as a photo whatever its name. A path that exists is taken as it is, even with glob characters.

    Raises:
        InputError: An input does not exist, a folder cannot be read, or there is no photo at all.
    """
    bases: list[Path] = []
    folders: list[Path] = []
    photos: set[Path] = set()
    for path in inputs:
        base, matches = _expand(path)
        bases.append(base)
        for match in matches:
            if match.is_dir():
                folders.append(match)
                photos.update(_walk(match))
            elif is_photo_path(match) or not _is_pattern(path):
                photos.add(match)
    if not photos:
        raise InputError(
            f"{', '.join(map(str, inputs))}: no photo there; banet looks in folders for files "
            "such as .jpg, .png or .webp that are not hidden, so check the path"
        )
    root = _common_folder(bases)
    sources = sorted(photo.relative_to(root).as_posix() for photo in photos)
    return PhotoTree(
        root=root,
        sources=tuple(sources),
        folders=tuple(folders),
        single_folder=len(set(bases)) == 1,
    )


def default_output_folder(tree: PhotoTree) -> Path:
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


def refuse_overlap(tree: PhotoTree, out: Path) -> None:
    """Make sure that no result can become an input of this or the next run.

    Raises:
        InputError: The output folder lies in an input folder, is one, or holds one.
    """
    target = out.resolve()
    for folder in tree.folders:
        real = folder.resolve()
        if target.is_relative_to(real):
            raise InputError(
                f"--out {out}: lies inside the input folder {folder}, so that its results would "
                "be segmented by the next run; choose a folder beside the input folder"
            )
        if real.is_relative_to(target):
            raise InputError(
                f"--out {out}: holds the input folder {folder}; choose a folder beside it"
            )
    for results in (out.absolute() / MASKS, out.absolute() / COMPOSITES):
        if not results.is_relative_to(tree.root):
            continue
        prefix = f"{results.relative_to(tree.root).as_posix()}/"
        overwritten = next((name for name in tree.sources if name.startswith(prefix)), None)
        if overwritten is not None:
            raise InputError(
                f"{tree.root / overwritten}: is a result in --out {out}, and would be "
                "overwritten; choose another folder for the results"
            )


def assign_stems(sources: Sequence[str], earlier: Mapping[str, str]) -> dict[str, str]:
    """Give every photo the path of its results, relative and without extension.

    The extension is dropped; a photo whose name is then taken keeps it. Names count as equal if
    any usual file system holds them for equal: without regard to case and Unicode composition.
    A name is taken, too, if its results would have the name of a folder (`a.png/`).

    Args:
        sources: Relative paths of the photos, sorted.
        earlier: What photos were given in earlier runs; it stays theirs.
    """
    stems = {}
    taken = {_name_key(stem) for stem in earlier.values()}
    taken.update(_name_key(name) for name in _names_of_folders(sources))
    for source in sources:
        stem = earlier.get(source)
        if stem is None:
            stem = next(name for name in _candidate_stems(source) if _name_key(name) not in taken)
            taken.add(_name_key(stem))
        stems[source] = stem
    return stems


def remove_leftovers(folders: Collection[Path]) -> None:
    """Delete the temporary files that a killed run left in `folders` and below."""
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                if name.startswith(".") and name.endswith(".part"):
                    Path(parent, name).unlink(missing_ok=True)


def _names_of_folders(sources: Sequence[str]) -> Iterator[str]:
    """Yield the paths of folders that end like results, without that ending."""
    parents = {PurePosixPath(source.rpartition("/")[0]) for source in sources}
    for folder in {folder for parent in parents for folder in (parent, *parent.parents)}:
        if folder.suffix.lower() in RESULT_EXTENSIONS:
            yield str(folder.with_suffix(""))


def _candidate_stems(source: str) -> Iterator[str]:
    yield str(PurePosixPath(source).with_suffix(""))
    yield source
    number = 2
    while True:
        yield f"{source}-{number}"
        number += 1


def _name_key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _expand(path: Path) -> tuple[Path, list[Path]]:
    """Return the folder that one input is about, and the absolute paths of what it names."""
    # Path.resolve would replace links, by whose names the user knows the photos.
    absolute = Path(os.path.abspath(path))  # noqa: PTH100
    if _is_pattern(path):
        matches = sorted(glob(str(absolute), recursive=True))  # noqa: PTH207, takes "**/*.jpg"
        if not matches:
            raise InputError(f"{path}: no file or folder matches this pattern; check it")
        fixed = next(index for index, part in enumerate(absolute.parts) if has_magic(part))
        return Path(*absolute.parts[:fixed]), [Path(match) for match in matches]
    if not os.path.lexists(absolute):
        raise InputError(f"{path}: no such file or folder; check the path")
    return absolute if absolute.is_dir() else absolute.parent, [absolute]


def _is_pattern(path: Path) -> bool:
    return has_magic(str(path)) and not os.path.lexists(path)


def _common_folder(bases: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath(bases))
    except ValueError as error:
        raise InputError(
            "the inputs lie on different drives; segment each drive in a run of its own"
        ) from error


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the photos in a folder and below; each real folder once, so that links cannot loop."""
    visited: set[tuple[int, int]] = set()
    pending = [folder]
    while pending:
        links: list[Path] = []
        for start in pending:
            for name, folders, files in os.walk(start, onerror=_refuse_unreadable):
                parent = Path(name)
                status = parent.stat()
                identity = status.st_dev, status.st_ino
                if identity in visited:
                    folders.clear()
                    continue
                visited.add(identity)
                folders[:] = sorted(child for child in folders if not child.startswith("."))
                paths = [parent / child for child in folders]
                links.extend(path for path in paths if path.is_symlink())
                yield from (parent / file for file in files if is_photo_path(Path(file)))
        pending = links


def _refuse_unreadable(error: OSError) -> None:
    raise InputError(
        f"{error.filename}: this folder cannot be read ({error.strerror}); mend its permissions "
        "or leave it out"
    ) from error

"""Layouts of source datasets: one file each, all yielding the same samples."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from pipelines.errors import ConfigError, InputError
from pipelines.landmarks import ReferenceFace
from pipelines.on_disk import OnDisk
from pipelines.sources import coco, pairs, pfcn, rgba, supervisely, table
from pipelines.sources.classes import Classes
from pipelines.sources.files import SourceFiles, list_files
from pipelines.sources.mask_origin import Mask
from pipelines.sources.sample import Sample
from pipelines.storage import Location

__all__ = ["FORMATS", "Layout", "Mask", "Sample", "discover_samples", "reference_face"]


class Layout(NamedTuple):
    """How datasets of a kind are laid out.

    Attributes:
        matches: Tells whether files look like it.
        discover: Lists the samples, given the classes that are people.
        looks: What it looks like, for users.
    """

    matches: Callable[[SourceFiles], bool]
    discover: Callable[[SourceFiles, Classes], Iterable[Sample]]
    looks: str


FORMATS = {
    "pairs": Layout(
        pairs.matches, pairs.discover, "images/ and masks/ with the same file names, or N_mask.png"
    ),
    "csv": Layout(table.matches, table.discover, "a .csv file with the columns image and mask"),
    "rgba": Layout(rgba.matches, rgba.discover, "cut-outs with an alpha channel"),
    "pfcn": Layout(pfcn.matches, pfcn.discover, "images_data_crop/ and images_mask/"),
    "supervisely": Layout(
        supervisely.matches, supervisely.discover, "meta.json and folders with img/ and ann/"
    ),
    "coco": Layout(coco.matches, coco.discover, "a .json file with images and annotations"),
}
"""By the name that `--format` takes."""

_TABLES = frozenset({"csv", "coco"})
"""Layouts whose one file may be named instead of the folder."""

_WEAK = frozenset({"rgba"})
"""Layouts that a folder has only if it has no other: masks may be transparent too."""


def discover_samples(
    source: Location, source_format: str = "auto", classes: Classes = None
) -> tuple[str, OnDisk[Sample]]:
    """List the samples of a dataset, present or missing, in a stable order.

    Args:
        source: Folder of the dataset, or a CSV or JSON file in it.
        source_format: A key of `FORMATS`, or `auto` to recognise the layout.
        classes: Names, or for mask files numbers, of the classes that are people; None for
            `person`, or in mask files for the convention that is seen.

    Returns:
        The format's name and its samples.

    Raises:
        ConfigError: The format is unknown, or the classes do not suit it.
        InputError: The source is missing, of no known layout or of several, damaged, or lists no
            sample.
    """
    if source_format not in {"auto", *FORMATS}:
        raise ConfigError(f"--format {source_format}: use auto, {', '.join(FORMATS)}")
    files = list_files(source)
    if source_format == "auto":
        source_format = _recognise(files, source)
    if files.chosen and source_format not in _TABLES:
        raise ConfigError(
            f"--format {source_format}: name the folder of the dataset, not {files.chosen} in it"
        )
    samples = OnDisk(FORMATS[source_format].discover(files, classes))
    if not samples:
        raise InputError(
            f"{source}: no photos found in the layout {source_format!r} "
            f"({FORMATS[source_format].looks}); check the folder, or name another layout with "
            "--format"
        )
    return source_format, samples


def reference_face(source: Location, source_format: str) -> ReferenceFace | None:
    """Return the face that a dataset's landmarks are aligned with, None if it has no landmarks.

    Args:
        source: Folder of the dataset.
        source_format: What `discover_samples` returned.

    Raises:
        InputError: The reference is there and cannot be used.
    """
    return pfcn.reference_face(source) if source_format == "pfcn" else None


def _recognise(files: SourceFiles, source: Location) -> str:
    found = [
        name for name, each in FORMATS.items() if name not in _WEAK and each.matches(files)
    ] or [name for name in _WEAK if FORMATS[name].matches(files)]
    if not found:
        known = "; ".join(f"{each.looks} ({name})" for name, each in FORMATS.items())
        raise InputError(f"{source}: not a layout that banet knows: {known}")
    if len(found) > 1:
        seen = " and ".join(f"{name!r} ({FORMATS[name].looks})" for name in found)
        raise InputError(
            f"{source}: looks like {seen}; say which with --format, for example --format {found[0]}"
        )
    return found[0]

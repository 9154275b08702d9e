"""Layouts of source datasets: one file each, all yielding the same samples."""

from collections.abc import Callable
from pathlib import Path

from pipelines.errors import ConfigError, InputError
from pipelines.landmarks import ReferenceFace
from pipelines.sources import pairs, pfcn
from pipelines.sources.sample import Sample

__all__ = ["FORMATS", "Sample", "discover_samples", "reference_face"]

FORMATS: dict[str, tuple[Callable[[Path], bool], Callable[[Path], list[Sample]]]] = {
    "pfcn": (pfcn.matches, pfcn.discover),
    "pairs": (pairs.matches, pairs.discover),
}
"""By the name that `--format` takes: does a folder look like it, and which samples it lists."""


def discover_samples(root: Path, source_format: str = "auto") -> tuple[str, list[Sample]]:
    """List the samples of a dataset, present or missing, in a stable order.

    Args:
        root: Folder of the dataset.
        source_format: A key of `FORMATS`, or `auto` to recognise the layout.

    Returns:
        The format's name and its samples.

    Raises:
        ConfigError: The format is unknown.
        InputError: The folder is missing, is of no known layout, or lists no sample.
    """
    if source_format not in {"auto", *FORMATS}:
        raise ConfigError(f"--format {source_format}: use auto, {', '.join(FORMATS)}")
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; name the folder that holds the dataset")
    if source_format == "auto":
        source_format = _recognise(root)
    samples = FORMATS[source_format][1](root)
    if not samples:
        raise InputError(
            f"{root}: no photos found in the layout {source_format!r}; check the folder, or name "
            "another layout with --format"
        )
    return source_format, samples


def reference_face(root: Path, source_format: str) -> ReferenceFace | None:
    """Return the face that a dataset's landmarks are aligned with, None if it has no landmarks.

    Args:
        root: Folder of the dataset.
        source_format: What `discover_samples` returned.

    Raises:
        InputError: The reference is there and cannot be used.
    """
    return pfcn.reference_face(root) if source_format == "pfcn" else None


def _recognise(root: Path) -> str:
    for name, (matches, _) in FORMATS.items():
        if matches(root):
            return name
    raise InputError(
        f"{root}: not a layout that banet knows; expected images/ and masks/ with the same file "
        "names (pairs), or images_data_crop/ and images_mask/ (pfcn)"
    )

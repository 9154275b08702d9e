"""The layout `rgba`: cut-outs, pictures whose alpha channel is the mask.

As everywhere, transparent areas turn white: nobody knows whether the colours that files have there
are those of a photo.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

from pipelines.errors import PhotoError
from pipelines.mask_pictures import has_alpha
from pipelines.sources.classes import Classes, refuse_classes
from pipelines.sources.files import SourceFiles, split_named
from pipelines.sources.mask_origin import PhotoAlpha
from pipelines.sources.sample import Sample, sample_names
from pipelines.whole_files import read_bytes

EXTENSIONS = frozenset({".png", ".webp", ".tif", ".tiff", ".avif", ".gif"})
"""Of formats that know transparency."""


def matches(files: SourceFiles) -> bool:
    """Tell whether all pictures may be transparent by their names, and the first one is."""
    pictures = files.pictures()
    if files.chosen or not pictures:
        return False
    if not {PurePosixPath(name).suffix.lower() for name in pictures} <= EXTENSIONS:
        return False
    try:
        return has_alpha(read_bytes(files.path(pictures[0])))
    except PhotoError:
        return False


def discover(files: SourceFiles, classes: Classes) -> Iterator[Sample]:
    """List all pictures.

    Raises:
        ConfigError: Classes are chosen.
    """
    refuse_classes(classes, "rgba")
    pictures = files.pictures()
    return (
        Sample(
            name=name,
            photo=files.file(picture),
            mask=PhotoAlpha(files.file(picture)),
            split=split_named(picture.partition("/")[0]),
        )
        for picture, name in zip(pictures, sample_names(pictures), strict=True)
    )

"""The layout `pairs`: photos and masks of the same names.

They lie in two folders side by side, such as `images` and `masks`; in such folders of every split,
`train/images` and `train/masks`; or all in one folder, where masks end in `_mask`.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pipelines.errors import InputError
from pipelines.sources.classes import Classes, class_numbers
from pipelines.sources.files import SourceFiles, split_named, without_suffix
from pipelines.sources.mask_origin import MaskFile
from pipelines.sources.sample import Sample

PHOTO_FOLDERS = (
    *("images", "image", "imgs", "img", "photos", "photo", "pictures", "jpegimages"),
    *("originals", "original", "inputs", "input", "rgb"),
)
MASK_FOLDERS = (
    *("masks", "mask", "mattes", "matte", "alphas", "alpha", "labels", "label", "annotations"),
    *("segmentationclass", "segmentations", "segmentation", "gt", "ground_truth"),
)
"""Names of folders, in lower case; other cases count too. One without pictures does not."""

MASK_SUFFIXES = ("_mask", "-mask", "_matte", "_alpha")
"""What the names of masks may have after those of their photos."""


class _Group(NamedTuple):
    """Relative paths of photos and masks by what they have in common.

    Attributes:
        prefix: Of the names of samples.
        photo_folder: Where a photo would be, with a slash at its end.
        mask_folder: The same of a mask.
        mask_ending: What the name of a mask would have after that of its photo.
    """

    prefix: str
    photos: dict[str, list[str]]
    masks: dict[str, list[str]]
    photo_folder: str
    mask_folder: str
    mask_ending: str = ".png"


def matches(files: SourceFiles) -> bool:
    """Tell whether there are such folders, or photos with masks beside them."""
    return not files.chosen and bool(_folder_pairs(files) or _is_flat(files))


def discover(files: SourceFiles, classes: Classes) -> Iterator[Sample]:
    """List every photo and every mask, also those whose counterpart is absent or not unique.

    Raises:
        ConfigError: The classes are no numbers.
        InputError: Several folders could be that of the photos, or of the masks.
    """
    numbers = class_numbers(classes, "pairs")
    return (
        Sample(
            name=group.prefix + name,
            photo=files.file(photo),
            mask=MaskFile(files.file(masks[0]), numbers),
            split=_split(group.prefix + stem),
            problem=_ambiguity(photos, "photos") or _ambiguity(masks, "masks"),
        )
        for group in _groups(files)
        for stem in sorted(group.photos.keys() | group.masks.keys())
        for photos in [group.photos.get(stem, [f"{group.photo_folder}{stem}"])]
        for masks in [group.masks.get(stem, [f"{group.mask_folder}{stem}{group.mask_ending}"])]
        for photo in photos
        for name in [stem if photo is photos[0] else photo.removeprefix(group.photo_folder)]
    )


def _groups(files: SourceFiles) -> list[_Group]:
    folder_pairs = _folder_pairs(files)
    if not folder_pairs and _is_flat(files):
        return [_flat_group(files)]
    groups = []
    for base, (photo_folders, mask_folders) in folder_pairs.items():
        photo_folder = _only(files, photo_folders, "photos")
        mask_folder = _only(files, mask_folders, "masks")
        photos = _by_stem(files.pictures(photo_folder), photo_folder)
        masks = _by_stem(files.pictures(mask_folder), mask_folder)
        groups.append(
            _Group(
                prefix=f"{base}/" if base else "",
                photos=photos,
                masks=_renamed(masks, photos),
                photo_folder=f"{photo_folder}/",
                mask_folder=f"{mask_folder}/",
            )
        )
    return groups


def _folder_pairs(files: SourceFiles) -> dict[str, tuple[list[str], list[str]]]:
    """Return the folders of photos and of masks by the folder that they lie in."""
    top = files.folders()
    bases = ["", *(folder for folder in top if split_named(folder) is not None)]
    found = {}
    for base in bases:
        folders = files.folders(base)
        photos, masks = (
            [folder for folder in folders if _last(folder) in known and files.pictures(folder)]
            for known in (PHOTO_FOLDERS, MASK_FOLDERS)
        )
        if photos and masks:
            found[base] = (photos, masks)
    return found


def _only(files: SourceFiles, folders: list[str], kind: str) -> str:
    if len(folders) > 1:
        raise InputError(
            f"{files.root}: {' and '.join(f'{folder}/' for folder in folders)} may both hold the "
            f"{kind}; move all but one elsewhere, or list the pairs in a CSV file "
            "(docs/datasets.md)"
        )
    return folders[0]


def _is_flat(files: SourceFiles) -> bool:
    stems = {without_suffix(name) for name in files.pictures()}
    return any(_unmasked(stem) in stems for stem in stems)


def _flat_group(files: SourceFiles) -> _Group:
    by_stem = _by_stem(files.pictures(), "")
    photos = {stem: found for stem, found in by_stem.items() if _unmasked(stem) is None}
    masks = {stem: found for stem, found in by_stem.items() if stem not in photos}
    return _Group("", photos, _renamed(masks, None), "", "", f"{MASK_SUFFIXES[0]}.png")


def _unmasked(stem: str) -> str | None:
    """Return the name of the photo whose mask bears a name; None if it is not that of a mask."""
    return next(
        (
            stem.removesuffix(suffix)
            for suffix in MASK_SUFFIXES
            if stem.endswith(suffix) and not stem.endswith(f"/{suffix}") and stem != suffix
        ),
        None,
    )


def _renamed(masks: dict[str, list[str]], photos: Iterable[str] | None) -> dict[str, list[str]]:
    """Return masks by the names of their photos.

    Args:
        masks: By their own names.
        photos: Names of the photos that there are; None if all that look like masks are.
    """
    known = None if photos is None else set(photos)
    renamed: dict[str, list[str]] = {}
    for stem, found in masks.items():
        bare = _unmasked(stem)
        is_suffixed = bare is not None and (known is None or (stem not in known and bare in known))
        renamed.setdefault(bare if is_suffixed and bare is not None else stem, []).extend(found)
    return renamed


def _ambiguity(found: list[str], kind: str) -> str:
    if len(found) < 2:  # noqa: PLR2004 - one is unambiguous
        return ""
    return f"several {kind} of one name: {', '.join(name.rpartition('/')[2] for name in found)}"


def _split(name: str) -> str | None:
    """Return the split that the first folder is named after."""
    folder, slash, _ = name.partition("/")
    return split_named(folder) if slash else None


def _last(folder: str) -> str:
    return folder.rpartition("/")[2].lower()


def _by_stem(names: list[str], folder: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        relative = name.removeprefix(f"{folder}/") if folder else name
        found.setdefault(without_suffix(relative), []).append(name)
    return found

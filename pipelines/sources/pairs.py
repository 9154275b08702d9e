"""The layout `pairs`: a folder of photos and one of masks, matched by relative path and stem."""

from pathlib import Path

from pipelines.images import is_photo_path
from pipelines.sources.sample import Sample

PHOTO_FOLDERS = ("images", "image", "photos", "imgs")
MASK_FOLDERS = ("masks", "mask", "mattes", "alpha")


def matches(root: Path) -> bool:
    """Tell whether `root` has both folders."""
    return None not in _folders(root)


def discover(root: Path) -> list[Sample]:
    """List every photo and every mask, also those whose counterpart is absent or not unique."""
    photo_folder, mask_folder = _folders(root)
    if photo_folder is None or mask_folder is None:
        return []
    photos, masks = _by_stem(photo_folder), _by_stem(mask_folder)
    return [
        Sample(
            name=stem if photo is found[0] else photo.relative_to(photo_folder).as_posix(),
            photo=photo,
            mask=masks.get(stem, [mask_folder / f"{stem}.png"])[0],
            problem=_ambiguity(found, "photos") or _ambiguity(masks.get(stem, []), "masks"),
        )
        for stem in sorted(photos.keys() | masks.keys())
        for found in [photos.get(stem, [photo_folder / stem])]
        for photo in found
    ]


def _ambiguity(found: list[Path], kind: str) -> str:
    if len(found) < 2:  # noqa: PLR2004 - one is unambiguous
        return ""
    return f"several {kind} of one name: {', '.join(path.name for path in found)}"


def _folders(root: Path) -> tuple[Path | None, Path | None]:
    def first(names: tuple[str, ...]) -> Path | None:
        return next((root / name for name in names if (root / name).is_dir()), None)

    return first(PHOTO_FOLDERS), first(MASK_FOLDERS)


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if is_photo_path(path):
            found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return found

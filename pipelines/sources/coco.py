"""The layout `coco`: the JSON files of Microsoft COCO, https://cocodataset.org/#format-data.

Many other tools write them too. All instances of a class in a photo make one mask, those of crowds
included: a crowd of people is people.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from pipelines.errors import InputError, PhotoError
from pipelines.sources.classes import Classes, chosen_classes
from pipelines.sources.coco_masks import CocoMask, Shape, pack
from pipelines.sources.files import ANNOTATIONS as FOLDER
from pipelines.sources.files import SourceFiles, split_named, without_suffix
from pipelines.sources.sample import Sample, sample_names
from pipelines.storage import Location
from pipelines.whole_files import read_bytes

logger = logging.getLogger(__name__)

ROBOFLOW = "_annotations.coco.json"
"""How Roboflow calls the file that lies among the photos of a split."""

PREFERRED = "instances"
"""COCO has files of captions and key points too, of the same photos; those so named come first."""

_KEYS = ("images", "annotations", "categories")


class _Annotation(NamedTuple):
    """What is kept of an annotation while its file is read, which may hold a million."""

    image: Any
    category: Any
    shape: Shape


class _File(NamedTuple):
    """A file by its relative path, and what it says."""

    name: str
    images: list[dict[str, Any]]
    annotations: list[_Annotation]
    categories: dict[Any, str]
    licences: dict[Any, str]


def matches(files: SourceFiles) -> bool:
    """Tell whether one was named, or there is one with such content where such files lie."""
    return any(files.chosen or _has_keys(files, name) for name in _candidates(files))


def discover(files: SourceFiles, classes: Classes) -> Iterator[Sample]:
    """List all images of all files, whether they show people or not.

    Raises:
        InputError: A file is damaged, or has no such class; its photos are not to be found, or are
            listed twice.
    """
    samples: dict[str, Sample] = {}
    candidates = _candidates(files)
    for name in candidates:
        if not files.chosen and not _has_keys(files, name):
            continue
        for photo, sample in _samples(files, _read(files, name), classes):
            if photo in samples:
                raise InputError(
                    f"{photo} is listed twice: as {samples[photo].mask} and as {sample.mask}; "
                    "leave one out, or name the one file that counts instead of the folder"
                )
            samples[photo] = sample
    return (
        replace(sample, name=name)
        for sample, name in zip(samples.values(), sample_names([*samples]), strict=True)
    )


def _candidates(files: SourceFiles) -> list[str]:
    if files.chosen:
        return [files.chosen] if files.chosen.lower().endswith(".json") else []
    found = [name for name in files.names if name.endswith(".json") and _may_be_one(name)]
    return [name for name in found if _base_name(name).startswith(PREFERRED)] or found


def _may_be_one(name: str) -> bool:
    folder, _, base_name = name.rpartition("/")
    return not folder or folder.split("/")[-1] == FOLDER or base_name == ROBOFLOW


def _has_keys(files: SourceFiles, name: str) -> bool:
    content = _content(files, name)
    return all(f'"{key}"'.encode() in content for key in _KEYS)


def _content(files: SourceFiles, name: str) -> bytes:
    try:
        return read_bytes(files.path(name))
    except PhotoError as error:
        raise InputError(f"{files.path(name)}: {error}") from error


def _read(files: SourceFiles, name: str) -> _File:
    path = files.path(name)
    try:
        # Packed as they come: a million annotations as Python has them take gigabytes.
        content = json.loads(_content(files, name), object_hook=_pack_annotation)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no object with {', '.join(_KEYS)}")
    entries = {key: _entries(content, key, str(path)) for key in (*_KEYS, "licenses")}
    _refuse_damage(entries["images"], path)
    for key in ("images", "categories"):
        _refuse_repetition(entries[key], key, path)
    return _File(
        name=name,
        images=entries["images"],
        annotations=entries["annotations"],
        categories={each["id"]: each["name"] for each in entries["categories"]},
        licences={each["id"]: _licence(each) for each in entries["licenses"]},
    )


def _pack_annotation(found: dict[str, Any]) -> dict[str, Any] | _Annotation:
    if "image_id" in found and "category_id" in found:
        shape = pack(found.get("id"), found.get("segmentation"))
        return _Annotation(found["image_id"], found["category_id"], shape)
    return found


def _entries(content: dict[str, Any], key: str, path: str) -> list[Any]:
    """Return a list of the file, each entry of which has what is needed of it."""
    entries = content.get(key, [] if key == "licenses" else None)
    if not isinstance(entries, list):
        raise InputError(f"{path}: has no list {key!r}")
    for position, entry in enumerate(entries):
        if not _is_whole(key, entry):
            needed = _FIELDS.get(key, ("image_id", "category_id"))
            raise InputError(
                f"{path}: {key}[{position}] is damaged or has no {' or no '.join(needed)}"
            )
    return entries


_FIELDS = {"images": ("id", "file_name"), "categories": ("id", "name"), "licenses": ("id",)}
"""What entries must have; annotations have been packed."""


def _is_whole(key: str, entry: Any) -> bool:
    if key == "annotations":
        return isinstance(entry, _Annotation) and _are_ids(entry.image, entry.category)
    if not isinstance(entry, dict) or not _are_ids(entry.get("id")):
        return False
    return all(isinstance(entry.get(field), str) for field in _FIELDS[key][1:])


def _are_ids(*values: Any) -> bool:
    return all(isinstance(value, int | str) for value in values)


def _refuse_damage(images: list[Any], path: Location) -> None:
    for position, image in enumerate(images):
        name, licence = image["file_name"], image.get("license")
        if _base_name(name) in {"", ".", ".."}:
            raise InputError(f"{path}: images[{position}] has the file_name {name!r}, no file's")
        if not isinstance(licence, int | str | float | None):
            raise InputError(f"{path}: images[{position}] has a license that is no id: {licence!r}")


def _refuse_repetition(entries: list[Any], key: str, path: Location) -> None:
    """Refuse ids that stand for several: nobody knows which of them an annotation means."""
    field = _FIELDS[key][1]
    seen: dict[Any, str] = {}
    for entry in entries:
        if entry["id"] in seen:
            raise InputError(
                f"{path}: {key} has the id {entry['id']!r} twice, of {seen[entry['id']]!r} and of "
                f"{entry[field]!r}; give each an id of its own, in its annotations too, or leave "
                "one out"
            )
        seen[entry["id"]] = entry[field]


def _samples(files: SourceFiles, content: _File, classes: Classes) -> Iterator[tuple[str, Sample]]:
    """Yield a sample for each image, by the relative path of its photo."""
    path = files.path(content.name)
    choice = chosen_classes(classes, content.categories.values(), str(path))
    shapes: dict[tuple[Any, bool], list[Shape]] = defaultdict(list)
    for annotation in content.annotations:
        title = content.categories.get(annotation.category, "")
        if title in choice.people + choice.removed:
            shapes[annotation.image, title in choice.people].append(annotation.shape)
    _tell_of_strays(content, path)
    folder = _photo_folder(files, content)
    split = split_named(_list_name(content.name)) or split_named(content.name.partition("/")[0])
    for image in content.images:
        photo = f"{folder}/{image['file_name']}" if folder else image["file_name"]
        yield (
            photo,
            Sample(
                name=photo,
                photo=files.file(photo),
                mask=CocoMask(
                    file=path,
                    image=image["id"],
                    height=image.get("height"),
                    width=image.get("width"),
                    people=tuple(shapes.get((image["id"], True), ())),
                    removed=tuple(shapes.get((image["id"], False), ())),
                ),
                split=split,
                licence=content.licences.get(image.get("license"), ""),
            ),
        )


def _tell_of_strays(content: _File, path: Location) -> None:
    known = {image["id"] for image in content.images}
    strays = sum(annotation.image not in known for annotation in content.annotations)
    if strays:
        logger.warning("%s: %d annotations are of images that it does not list", path, strays)


def _photo_folder(files: SourceFiles, content: _File) -> str:
    """Return the folder that the photos of a file lie in: where most of them are."""
    here = content.name.rpartition("/")[0]
    base = here.removesuffix(FOLDER).rstrip("/")
    list_name = _list_name(content.name)
    folders = {
        "/".join(filter(None, (base, *parts)))
        for parts in (
            (),
            (list_name,),
            ("images",),
            ("images", list_name),
            ("data",),
            *([(FOLDER,)] if here != base else []),
        )
    }
    present = set(files.names)
    names = [image["file_name"] for image in content.images]
    found = {
        folder: sum((f"{folder}/{name}" if folder else name) in present for name in names)
        for folder in sorted(folders)
    }
    most = max(found.values())
    best = [folder for folder, count in found.items() if count == most]
    if names and most == 0:
        looked = ", ".join(f"{folder or '.'}/" for folder in found)
        raise InputError(
            f"{files.path(content.name)}: none of its {len(names)} photos is there, such as "
            f"{names[0]}; banet looked in {looked} below {files.root}"
        )
    if names and len(best) > 1:
        raise InputError(
            f"{files.path(content.name)}: its photos are both in "
            f"{' and in '.join(f'{folder or chr(46)}/' for folder in best)}; move those elsewhere "
            "that are not meant"
        )
    return best[0]


def _list_name(name: str) -> str:
    """Return what a file lists, such as `train2017` for `instances_train2017.json`."""
    return without_suffix(_base_name(name)).rpartition("_")[2]


def _base_name(name: str) -> str:
    return name.rpartition("/")[2]


def _licence(entry: dict[str, Any]) -> str:
    name, url = entry.get("name") or "", entry.get("url") or ""
    return f"{name} ({url})" if name and url else f"{name}{url}"

"""What only shows when the pairs of a dataset are looked at together.

Rows come from a disk: what is compared of all of them at once is no more than a few bytes of each.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from pipelines.doctor.findings import Finding
from pipelines.doctor.near_duplicates import NearDuplicates, Twins, find_near_duplicates
from pipelines.examine import ReportRow
from pipelines.first_equals import first_equals
from pipelines.sources import Sample

ODD_SHARE = 0.02
"""A convention of at most this share of the masks, or of a single one, is odd."""

USUAL_SHARE = 0.9
"""A convention is usual from this share of the masks on."""

FEW_MASKS = 10
"""Among fewer, nothing is usual."""

_ADDITIONS = re.compile(r"[-_. ]*(masks?|mattes?|alpha|seg|label|gt|photo|image|img)[-_. ]*")


def equal_photos(examined: Sequence[ReportRow]) -> NDArray[np.intp]:
    """Return for each sample the position of the first of the same photo, its own for most."""
    return first_equals(row.sha256 or place for place, row in enumerate(examined))


def near_duplicates(
    examined: Sequence[ReportRow], equal_photos: NDArray[np.intp]
) -> NearDuplicates:
    """Find photos that look the same; of equal photos and of crops of one, the first counts."""
    return find_near_duplicates(
        row.traits.fingerprint if row.traits and first == place else b""
        for place, (row, first) in enumerate(zip(examined, equal_photos, strict=True))
    )


def diagnose(
    rows: Sequence[ReportRow],
    samples: Sequence[Sample],
    equal_photos: NDArray[np.intp],
    twins: Sequence[Twins],
) -> Iterator[ReportRow]:
    """Add to the rows of a dataset what only shows when they are looked at together.

    Args:
        rows: With statuses and splits settled.
        samples: Of which they are.
        equal_photos: What the function of this name returned. Crops come after their photos.
        twins: What `near_duplicates` found.
    """
    misnamed, odd = _misnamed(rows), _odd_conventions(rows)
    equal_masks = first_equals(_shape(row) or place for place, row in enumerate(rows))
    twin_of = {twin.second: twin for twin in twins}
    alike = {(twin.first, twin.second) for twin in twins}
    for place, row in enumerate(rows):
        found = [*row.findings, *misnamed.get(place, ())]
        if row.convention in odd and _shape(row) is not None:
            found.append(Finding("odd-convention", odd[row.convention]))
        mask, photo, twin = equal_masks[place], equal_photos[place], twin_of.get(place)
        photos = sorted((equal_photos[mask], photo))
        if photos[0] != photos[1] and tuple(photos) not in alike:
            name = rows[mask].name
            found.append(Finding("shared-mask", f"the mask is that of {name}", name))
        same = []
        if photo != place and row.crop is None:
            found += _duplicate(row, rows[photo])
            same = [photo]
        if twin is not None:
            how = "mirrored, looks like" if twin.mirrored else "looks like"
            name = rows[twin.first].name
            message = f"{how} {name} (likeness {twin.alike:.2f} of 1)"
            found.append(Finding("near-duplicate", message, name))
            same = [twin.first, *same]
        here = samples[place].split if same else None
        for first in same:
            there = samples[first].split
            if there != here:
                found.append(_across_splits(row, rows[first], here, there))
        yield replace(row, findings=tuple(found))


def _misnamed(rows: Sequence[ReportRow]) -> dict[int, list[Finding]]:
    """Match photos without masks with masks without photos, by what is left of their names."""
    lonely: defaultdict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, row in enumerate(rows):
        for finding in row.findings:
            if finding.kind == "photo-missing":
                lonely[_bare(row.mask)][finding.kind].append(place)
            elif finding.kind == "mask-missing":
                lonely[_bare(row.photo)][finding.kind].append(place)
    misnamed = {}
    for found in lonely.values():
        match found["mask-missing"], found["photo-missing"]:
            case [place], [other]:
                mask = rows[other]
                message = f"{rows[place].photo} may belong to {mask.mask}"
                misnamed[place] = [Finding("misnamed-pair", message, mask.name)]
    return misnamed


def _bare(path: str) -> str:
    """Reduce a file's name to what the names of a photo and of its mask should share."""
    stem = PurePath(path).name.casefold().split(".")[0]
    parts = re.split(r"[^a-z0-9]+", _ADDITIONS.sub("-", stem))
    return "-".join(part.lstrip("0") or "0" for part in parts if part)


def _odd_conventions(rows: Sequence[ReportRow]) -> dict[str, str]:
    """Return what to say of masks by their convention, if it is an odd one."""
    counts = Counter(row.convention for row in rows if _shape(row) is not None)
    masks = counts.total()
    if masks < FEW_MASKS:
        return {}
    usual, count = counts.most_common(1)[0]
    if count < USUAL_SHARE * masks:
        return {}
    return {
        convention: f"this mask is {convention}, {count} of {masks} are {usual}"
        for convention, found in counts.items()
        if found <= max(1, ODD_SHARE * masks)
    }


def _shape(row: ReportRow) -> tuple[object, ...] | None:
    """Return what is the same of equal masks; None of flat ones, which are alike by nature."""
    if row.traits is None or row.portrait_share in {0.0, 1.0}:
        return None
    return row.traits.mask_digest, row.traits.height, row.traits.width


def _duplicate(row: ReportRow, first: ReportRow) -> Iterator[Finding]:
    yield Finding("duplicate-photo", f"the same photo as {first.name}", first.name)
    if row.traits != first.traits:
        shares = f"{row.portrait_share:.1%} person here, {first.portrait_share:.1%} there"
        message = f"another mask than that of the same photo {first.name}: {shares}"
        yield Finding("conflicting-masks", message, first.name)


def _across_splits(
    row: ReportRow, first: ReportRow, here: str | None, there: str | None
) -> Finding:
    message = (
        f"listed for {here or 'no split'}, but {first.name}, the same, for {there or 'no split'}: "
        f"both are in {row.split} now"
    )
    return Finding("duplicate-across-splits", message, first.name)

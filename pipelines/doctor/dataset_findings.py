"""What only shows when the pairs of a dataset are looked at together."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath

from pipelines.doctor.findings import Finding
from pipelines.doctor.near_duplicates import NearDuplicates, Twins, find_near_duplicates
from pipelines.examine import ReportRow

ODD_SHARE = 0.02
"""A convention of at most this share of the masks, or of a single one, is odd."""

USUAL_SHARE = 0.9
"""A convention is usual from this share of the masks on."""

FEW_MASKS = 10
"""Among fewer, nothing is usual."""

_ADDITIONS = re.compile(r"[-_. ]*(masks?|mattes?|alpha|seg|label|gt|photo|image|img)[-_. ]*")

Placed = tuple[int, Finding]


def near_duplicates(examined: Sequence[ReportRow]) -> NearDuplicates:
    """Find photos that look the same; of equal photos and of crops of one, the first counts."""
    seen: set[str] = set()
    fingerprints = []
    for row in examined:
        is_new = row.traits is not None and row.sha256 not in seen
        fingerprints.append(row.traits.fingerprint if row.traits and is_new else b"")
        seen.add(row.sha256)
    return find_near_duplicates(fingerprints)


def diagnose(
    rows: Sequence[ReportRow], listed: Sequence[str | None], twins: Sequence[Twins]
) -> list[ReportRow]:
    """Add to the rows of a dataset what only shows when they are looked at together.

    Args:
        rows: With statuses and splits settled.
        listed: The split that the source's own lists give to each.
        twins: What `near_duplicates` found.
    """
    found: defaultdict[int, list[Finding]] = defaultdict(list)
    for place, row in enumerate(rows):
        found[place] += row.findings
    for placed in (
        _misnamed(rows),
        _odd_conventions(rows),
        _shared_masks(rows, twins),
        _duplicates(rows),
        _twins(rows, twins),
        _across_splits(rows, listed, twins),
    ):
        for place, finding in placed:
            found[place].append(finding)
    return [replace(row, findings=tuple(found[place])) for place, row in enumerate(rows)]


def _misnamed(rows: Sequence[ReportRow]) -> Iterator[Placed]:
    """Match photos without masks with masks without photos, by what is left of their names."""
    lonely: defaultdict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, row in enumerate(rows):
        for finding in row.findings:
            if finding.kind == "photo-missing":
                lonely[_bare(row.mask)][finding.kind].append(place)
            elif finding.kind == "mask-missing":
                lonely[_bare(row.photo)][finding.kind].append(place)
    for found in lonely.values():
        if [len(found["photo-missing"]), len(found["mask-missing"])] == [1, 1]:
            mask = rows[found["photo-missing"][0]].mask
            place = found["mask-missing"][0]
            yield (
                place,
                Finding(
                    "misnamed-pair",
                    f"{rows[place].photo} may belong to {mask}",
                    rows[found["photo-missing"][0]].name,
                ),
            )


def _bare(path: str) -> str:
    """Reduce a file's name to what the names of a photo and of its mask should share."""
    stem = PurePath(path).name.casefold().split(".")[0]
    parts = re.split(r"[^a-z0-9]+", _ADDITIONS.sub("-", stem))
    return "-".join(part.lstrip("0") or "0" for part in parts if part)


def _odd_conventions(rows: Sequence[ReportRow]) -> Iterator[Placed]:
    masks = [  # flat ones are of several conventions at once
        (place, row.convention)
        for place, row in enumerate(rows)
        if row.portrait_share is not None and 0 < row.portrait_share < 1
    ]
    counts = Counter(convention for _, convention in masks)
    if len(masks) < FEW_MASKS:
        return
    usual, count = counts.most_common(1)[0]
    if count < USUAL_SHARE * len(masks):
        return
    for place, convention in masks:
        if counts[convention] <= max(1, ODD_SHARE * len(masks)):
            message = f"this mask is {convention}, {count} of {len(masks)} are {usual}"
            yield place, Finding("odd-convention", message)


def _shared_masks(rows: Sequence[ReportRow], twins: Sequence[Twins]) -> Iterator[Placed]:
    alike = {frozenset((rows[each.first].sha256, rows[each.second].sha256)) for each in twins}
    firsts: dict[tuple[str, int, int], ReportRow] = {}
    for place, row in enumerate(rows):
        if row.traits is None or row.portrait_share in {0.0, 1.0}:
            continue
        key = row.traits.mask_digest, row.traits.height, row.traits.width
        first = firsts.setdefault(key, row)
        hashes = frozenset((first.sha256, row.sha256))
        if len(hashes) > 1 and hashes not in alike:
            yield (
                place,
                Finding("shared-mask", f"the mask is that of {first.name}", first.name),
            )


def _duplicates(rows: Sequence[ReportRow]) -> Iterator[Placed]:
    firsts: dict[str, ReportRow] = {}
    for place, row in enumerate(rows):
        if row.traits is None or row.crop is not None:
            continue
        first = firsts.setdefault(row.sha256, row)
        if first is row or first.traits is None:
            continue
        yield place, Finding("duplicate-photo", f"the same photo as {first.name}", first.name)
        if row.traits.mask_digest != first.traits.mask_digest:
            shares = f"{row.portrait_share:.1%} person here, {first.portrait_share:.1%} there"
            message = f"another mask than that of the same photo {first.name}: {shares}"
            yield place, Finding("conflicting-masks", message, first.name)


def _twins(rows: Sequence[ReportRow], twins: Sequence[Twins]) -> Iterator[Placed]:
    for each in twins:
        how = "mirrored, looks like" if each.mirrored else "looks like"
        message = f"{how} {rows[each.first].name} (likeness {each.alike:.2f} of 1)"
        yield each.second, Finding("near-duplicate", message, rows[each.first].name)


def _across_splits(
    rows: Sequence[ReportRow], listed: Sequence[str | None], twins: Sequence[Twins]
) -> Iterator[Placed]:
    firsts: dict[str, int] = {}
    links = [(each.first, each.second) for each in twins]
    for place, row in enumerate(rows):
        if row.traits is not None and row.crop is None:
            first = firsts.setdefault(row.sha256, place)
            if first != place:
                links.append((first, place))
    for first, second in links:
        if listed[first] != listed[second]:
            message = (
                f"listed for {listed[second] or 'no split'}, but {rows[first].name}, the same, for "
                f"{listed[first] or 'no split'}: both are in {rows[second].split} now"
            )
            yield second, Finding("duplicate-across-splits", message, rows[first].name)

"""Which photos share a split, and what is said when that leaves the splits lopsided."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.doctor.near_duplicates import find_near_duplicates
from pipelines.examine import ReportRow, Shares, settle

EVEN = (0.5, 0.25, 0.25)


def settled(
    hashes: list[str],
    firsts: Sequence[int] | NDArray[np.intp],
    shares: Shares = EVEN,
    listed: dict[str, str] | None = None,
) -> dict[str, str]:
    """Return the splits of photos by their hashes."""
    row = ReportRow(name="", status="stored", photo="", mask="")
    rows = [
        replace(row, name=each, sha256=each, split=(listed or {}).get(each, "")) for each in hashes
    ]
    return {row.sha256: row.split for row in settle(rows, shares, np.array(firsts))}


TRAIN, VAL, TEST = "0" * 64, "9" * 64, "f" * 64
"""Hashes that alone would go to these splits."""


def test_split_of_a_group_does_not_depend_on_the_order() -> None:
    for order in permutations([TEST, VAL, TRAIN]):
        assert set(settled(list(order), [0, 0, 0]).values()) == {"train"}
    assert set(settled([TEST, VAL], [0, 0]).values()) == {"val"}


def test_list_for_the_test_still_decides_for_a_group() -> None:
    assert set(settled([VAL, TRAIN], [0, 0], listed={VAL: "test"}).values()) == {"test"}


def test_all_crops_of_a_photo_bring_their_likes_into_the_group() -> None:
    # The first crop of the last photo is like no other; its second one is like the first photo.
    assert settled([TEST, TRAIN, TRAIN], [0, 1, 0]) == {TEST: "train", TRAIN: "train"}


def hashes(count: int) -> list[str]:
    return [f"{number * 256 // count:02x}{number:062x}" for number in range(count)]


def test_giant_group_is_told(caplog: pytest.LogCaptureFixture) -> None:
    settled(hashes(400), [0] * 20 + list(range(20, 400)))
    assert not caplog.text
    settled(hashes(400), [0] * 21 + list(range(21, 400)))
    assert "21 of 400 samples are linked as near duplicates" in caplog.text
    caplog.clear()
    settled(hashes(800), [0] * 40 + list(range(40, 800)))
    assert not caplog.text


def test_empty_split_is_told_unless_there_are_few_samples(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settled(hashes(49), list(range(49)), (0.5, 0.5 - 1e-9, 1e-9))
    settled(hashes(50), list(range(50)), (0.5, 0.5, 0.0))
    assert not caplog.text
    settled(hashes(50), list(range(50)), (0.5, 0.5 - 1e-9, 1e-9))
    assert "none of 50 samples is in test" in caplog.text


def test_no_photo_is_linked_over_those_that_cannot_be_read() -> None:
    firsts = find_near_duplicates([b""] * 2).firsts
    assert settled([TRAIN, TEST], firsts) == {TRAIN: "train", TEST: "test"}

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import ConfigError, InputError
from pipelines.photo_files import (
    assign_stems,
    default_output_folder,
    refuse_overlap,
    remove_leftovers,
)
from pipelines.photo_search import find_photos

Touch = Callable[..., Path]


def test_the_default_output_lies_beside_the_only_input_folder(touch: Touch) -> None:
    folder = touch("x/a.jpg", "y/a.jpg")

    beside = default_output_folder(find_photos([folder / "x"]))

    assert beside == folder / "x-segmented"
    with pytest.raises(ConfigError, match="--out"):
        default_output_folder(find_photos([folder / "x", folder / "y"]))


@pytest.mark.parametrize("out", ["p", "p/out", ".", "link/out"])
def test_results_may_not_mingle_with_the_input(touch: Touch, out: str) -> None:
    folder = touch("p/a.jpg")
    (folder / "link").symlink_to(folder / "p")

    with pytest.raises(InputError, match="--out"):
        refuse_overlap(find_photos([folder / "p"]), folder / out)


@pytest.mark.parametrize("link", ["out", "out/masks", "."])
def test_a_link_in_the_input_may_not_lead_to_the_results(touch: Touch, link: str) -> None:
    folder = touch("p/a.jpg", "out/masks/a.png")
    (folder / "p/link").symlink_to(folder / link)

    with pytest.raises(InputError, match="--out"):
        refuse_overlap(find_photos([folder / "p"]), folder / "out")


@pytest.mark.parametrize("pattern", ["**/*.jpg", "*", "*/*", "?ut/**/*.png", "*/masks/*.png"])
def test_a_pattern_that_would_name_the_results_is_refused_before_there_are_any(
    touch: Touch, pattern: str
) -> None:
    folder = touch("p/a.jpg", "p/x/b.jpg", "p/cut/c.png", "p/x/masks/d.png")

    with pytest.raises(InputError, match=r"the pattern .* would take its results"):
        refuse_overlap(find_photos([folder / "p" / pattern]), folder / "p/out")


@pytest.mark.parametrize("pattern", ["*.jpg", "x/*", "*/*.jpg"])
def test_results_may_lie_beside_what_a_pattern_names(touch: Touch, pattern: str) -> None:
    folder = touch("p/a.jpg", "p/x/b.jpg")

    refuse_overlap(find_photos([folder / "p" / pattern]), folder / "p/out")


def test_a_named_photo_may_lie_beside_the_results_but_not_among_them(touch: Touch) -> None:
    folder = touch("a.jpg", "masks/a.png")

    refuse_overlap(find_photos([folder / "a.jpg"]), folder)
    with pytest.raises(InputError, match="overwritten"):
        refuse_overlap(find_photos([folder / "masks/a.png", folder / "a.jpg"]), folder)


def test_the_extension_is_dropped_and_a_later_namesake_keeps_it() -> None:
    sources = ["a.heic", "a.jpg", "b/a.jpg", "c"]

    stems = assign_stems(sources, {})

    assert stems == {"a.heic": "a", "a.jpg": "a.jpg", "b/a.jpg": "b/a", "c": "c"}


def test_no_two_photos_share_a_name_even_where_case_does_not_count() -> None:
    sources = sorted(["A.jpg", "a.JPG", "a.jpg", "a.png", "a.jpg.png", "a.jpg.jpg"])

    names = [stem.casefold() for stem in assign_stems(sources, {}).values()]

    assert len(set(names)) == len(sources)


def test_a_raw_file_takes_no_name_from_the_photo_beside_it() -> None:
    assert assign_stems(["a.CR2", "a.jpg"], {}) == {"a.jpg": "a", "a.CR2": "a.CR2"}


def test_names_of_earlier_runs_stay_when_photos_come_and_go() -> None:
    first = assign_stems(["a.heic", "a.jpg"], {})

    second = assign_stems(["a.gif", "a.jpg"], first)

    assert second == {"a.gif": "a.gif", "a.jpg": "a.jpg"}


def test_a_result_never_has_the_name_of_a_folder() -> None:
    assert assign_stems(["a.jpg", "a.png/b.jpg"], {})["a.jpg"] == "a.jpg"


def test_only_temporary_files_are_left_overs(touch: Touch) -> None:
    folder = touch(".7.part", "masks/x/.123.part", "masks/x/a.png", "masks/b.part", "mine/.8.part")

    remove_leftovers(folder, everywhere=True)

    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {"a.png", "b.part", ".8.part"}

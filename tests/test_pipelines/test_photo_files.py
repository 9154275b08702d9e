from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import ConfigError, InputError
from pipelines.photo_files import (
    assign_stems,
    default_output_folder,
    find_photos,
    refuse_overlap,
    remove_leftovers,
)

Touch = Callable[..., Path]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    def create(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return create


def test_a_folder_is_searched_to_the_bottom_in_sorted_order(touch: Touch) -> None:
    folder = touch("p/b.jpg", "p/a/deep/er/c.PNG", "p/a.webp", "p/ümläut 写真.jpg") / "p"

    tree = find_photos([folder])

    assert tree.root == folder
    assert tree.sources == ("a.webp", "a/deep/er/c.PNG", "b.jpg", "ümläut 写真.jpg")


def test_hidden_files_and_folders_and_other_files_are_left_out(touch: Touch) -> None:
    folder = touch("p/a.jpg", "p/._a.jpg", "p/.b.jpg", "p/.cache/c.jpg", "p/notes.txt") / "p"

    assert find_photos([folder]).sources == ("a.jpg",)


def test_a_named_file_counts_whatever_its_name(touch: Touch) -> None:
    folder = touch("notes.txt", ".hidden.jpg")

    tree = find_photos([folder / "notes.txt", folder / ".hidden.jpg"])

    assert tree.sources == (".hidden.jpg", "notes.txt")


def test_a_glob_takes_photos_and_keeps_their_folders(touch: Touch) -> None:
    folder = touch("p/x/a.jpg", "p/y/b.jpg", "p/y/c.txt", "p/d.png")

    assert find_photos([folder / "p/**/*.jpg"]).sources == ("x/a.jpg", "y/b.jpg")
    assert find_photos([folder / "p/*"]).sources == ("d.png", "x/a.jpg", "y/b.jpg")


def test_an_existing_name_with_glob_characters_is_taken_literally(touch: Touch) -> None:
    folder = touch("p[1]/a.jpg", "p1/b.jpg")

    assert find_photos([folder / "p[1]"]).sources == ("a.jpg",)


def test_several_inputs_are_told_apart_below_their_common_folder(touch: Touch) -> None:
    folder = touch("x/a.jpg", "y/a.jpg")

    tree = find_photos([folder / "x", folder / "y", folder / "x/a.jpg"])

    assert tree.root == folder
    assert tree.sources == ("x/a.jpg", "y/a.jpg")


def test_links_to_folders_are_followed_once_and_loops_end(touch: Touch) -> None:
    folder = touch("p/a.jpg", "elsewhere/b.jpg")
    (folder / "p/loop").symlink_to(folder / "p")
    (folder / "elsewhere/back").symlink_to(folder / "p")
    (folder / "p/other").symlink_to(folder / "elsewhere")

    assert find_photos([folder / "p"]).sources == ("a.jpg", "other/b.jpg")


@pytest.mark.parametrize("name", ["missing", "missing/*.jpg", "empty"])
def test_an_input_without_photos_is_refused_by_name(touch: Touch, name: str) -> None:
    folder = touch("empty/notes.txt")

    with pytest.raises(InputError, match=r"missing|empty"):
        find_photos([folder / name])


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


def test_names_of_earlier_runs_stay_when_photos_come_and_go() -> None:
    first = assign_stems(["a.heic", "a.jpg"], {})

    second = assign_stems(["a.gif", "a.jpg"], first)

    assert second == {"a.gif": "a.gif", "a.jpg": "a.jpg"}


def test_a_result_never_has_the_name_of_a_folder() -> None:
    assert assign_stems(["a.jpg", "a.png/b.jpg"], {})["a.jpg"] == "a.jpg"


def test_only_temporary_files_are_left_overs(touch: Touch) -> None:
    folder = touch("masks/x/.123.part", "masks/x/a.png", "masks/b.part")

    remove_leftovers([folder / "masks", folder / "missing"])

    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert names == {"a.png", "b.part"}

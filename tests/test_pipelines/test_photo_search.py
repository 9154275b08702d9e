import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import InputError
from pipelines.photo_search import find_photos

Touch = Callable[..., Path]


def test_a_folder_is_searched_to_the_bottom_in_sorted_order(touch: Touch) -> None:
    folder = touch("p/b.jpg", "p/a/deep/er/c.PNG", "p/a.webp", "p/ümläut 写真.jpg") / "p"

    tree = find_photos([folder])

    assert tree.root == folder
    assert tree.sources == ("a.webp", "a/deep/er/c.PNG", "b.jpg", "ümläut 写真.jpg")


def test_hidden_files_and_folders_and_other_files_are_left_out(touch: Touch) -> None:
    folder = touch("p/a.jpg", "p/._a.jpg", "p/.b.jpg", "p/.cache/c.jpg", "p/notes.txt") / "p"

    assert find_photos([folder]).sources == ("a.jpg",)


def test_raw_photos_are_not_overlooked_but_documents_are_no_photos(touch: Touch) -> None:
    folder = touch("p/a.jpg", "p/a.CR2", "p/b.nef", "p/._b.nef", "p/c.pdf", "p/d.svg") / "p"

    assert find_photos([folder]).sources == ("a.CR2", "a.jpg", "b.nef")


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


def test_a_current_folder_with_glob_characters_is_no_pattern(
    touch: Touch, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = touch("holiday [2020]/a.jpg", "holiday [2020]/x/b.jpg") / "holiday [2020]"
    monkeypatch.chdir(folder)

    for pattern in (Path("*.jpg"), folder / "*.jpg"):
        tree = find_photos([pattern])

        assert (tree.root, tree.sources) == (folder, ("a.jpg",))


def test_any_depth_visits_each_folder_once_and_loops_end(touch: Touch) -> None:
    folder = touch("p/a.jpg", "p/x/b.jpg", "p/.cache/c.jpg", "elsewhere/d.jpg")
    (folder / "p/loop").symlink_to(folder / "p")
    (folder / "p/other").symlink_to(folder / "elsewhere")

    for pattern in ("p/**/*.jpg", "p/**", "p/**/**/*.jpg"):
        assert find_photos([folder / pattern]).sources == ("a.jpg", "other/d.jpg", "x/b.jpg")


def test_a_pattern_may_name_files_below_its_wildcard(touch: Touch) -> None:
    folder = touch("p/1/in/a.jpg", "p/2/in/b.jpg", "p/3/out/c.jpg", "p/in")

    assert find_photos([folder / "p/*/in/*"]).sources == ("1/in/a.jpg", "2/in/b.jpg")


@pytest.mark.skipif(os.name == "nt", reason="Windows restricts links")
def test_folders_behind_links_are_among_the_searched(touch: Touch) -> None:
    folder = touch("p/a.jpg", "elsewhere/d.jpg")
    (folder / "p/other").symlink_to(folder / "elsewhere")

    assert find_photos([folder / "p"]).folders == (folder / "p", folder / "p/other")

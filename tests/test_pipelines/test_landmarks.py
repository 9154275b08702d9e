from pathlib import Path

import numpy as np
import pytest
from faces import symmetric_face, write_landmarks
from permissions import closed
from scipy.io import savemat

from pipelines.landmarks import MIRRORED, read_landmarks


def test_landmarks_come_back_as_they_were_written(tmp_path: Path) -> None:
    found = read_landmarks(write_landmarks(tmp_path, 1, symmetric_face(30, 40)))
    assert found.points == pytest.approx(symmetric_face(30, 40), abs=1e-5)
    assert (found.faces, len(found.sha256), found.problem) == (1, 64, "")


def test_largest_of_several_faces_counts(tmp_path: Path) -> None:
    small, large = symmetric_face(10, 10, size=5), symmetric_face(30, 40, size=25)
    found = read_landmarks(write_landmarks(tmp_path, 1, np.concatenate((small, large))))
    assert found.points == pytest.approx(large, abs=1e-5)
    assert found.faces == 2


def test_photo_without_a_found_face_has_none_and_no_problem(tmp_path: Path) -> None:
    found = read_landmarks(write_landmarks(tmp_path, 1, np.zeros((0, 0))))
    assert (found.points, found.faces, found.problem) == (None, 0, "")


@pytest.mark.parametrize("path", [None, Path("nowhere.mat")])
def test_absent_file_is_no_problem(path: Path | None) -> None:
    found = read_landmarks(path)
    assert (found.points, found.faces, found.sha256, found.problem) == (None, None, "", "")


def test_folder_that_may_not_be_searched_is_named(tmp_path: Path) -> None:
    path = write_landmarks(tmp_path, 1, symmetric_face(30, 40))
    with closed(path.parent):
        found = read_landmarks(path)
    assert found.points is None
    assert "00001.mat: cannot be read: Permission denied" in found.problem


@pytest.mark.parametrize(
    ("one", "other"), [(0, 9), (10, 10), (14, 18), (19, 28), (23, 30), (31, 37), (38, 42), (48, 46)]
)
def test_mirrored_landmarks_come_in_pairs(one: int, other: int) -> None:
    """Outer ends of the brows, ridge, nostrils, eyes, corners of the mouth, lips."""
    assert (MIRRORED[one], MIRRORED[other]) == (other, one)
    assert sorted(MIRRORED) == list(range(49))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((48, 2)), "landmarks of shape (48, 2), expected 49 rows"),
        (np.array(["a", "b"]), "landmarks of shape"),
        (np.full((49, 2), np.nan), "landmarks that are no numbers, or lie on one line"),
        (np.arange(98.0).reshape(49, 2), "landmarks that are no numbers, or lie on one line"),
    ],
)
def test_senseless_landmarks_are_named(tmp_path: Path, values: np.ndarray, reason: str) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"tracker": values})
    found = read_landmarks(path)
    assert found.points is None
    assert f"a.mat: {reason}" in found.problem


@pytest.mark.parametrize(
    ("content", "reason"), [(b"broken", "damaged MATLAB file"), (b"", "empty file")]
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    found = read_landmarks(path)
    assert found.points is None
    assert f"a.mat: {reason}" in found.problem

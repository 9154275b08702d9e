from pathlib import Path

import pytest

from pipelines.errors import PhotoError
from pipelines.whole_files import MAX_FILE_BYTES, read_bytes, write_atomically


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "vast.tif").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)

    with pytest.raises(PhotoError, match="too large: 1,600,000,001 bytes"):
        read_bytes(tmp_path / "vast.tif")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()

    with pytest.raises(PhotoError, match="empty file"):
        read_bytes(tmp_path / "empty.jpg")
    with pytest.raises(PhotoError, match="no such file"):
        read_bytes(tmp_path / "missing.jpg")
    with pytest.raises(PhotoError, match="not a regular file"):
        read_bytes(tmp_path)


def test_a_failed_write_leaves_neither_file_nor_leftover(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(OSError, match=r"taken'$"):
        write_atomically(tmp_path / "taken", b"content")
    with pytest.raises(FileNotFoundError, match=r"file'$"):
        write_atomically(tmp_path / "nowhere/file", b"content")

    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").is_dir()

"""Folders as tests compare them."""

from pathlib import Path


def file_contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

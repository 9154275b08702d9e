"""Folders that may not be searched, for tests that may run as root."""

import errno
from pathlib import Path
from typing import Any

import pytest


def close_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the system refuse to look at whatever lies in a folder."""
    look = Path.stat

    def stat(path: Path, **options: Any) -> object:
        if folder in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", stat)

"""Results as JSON files, and what says whether two of them can be compared."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipelines.store import Store
from pipelines.whole_files import write_atomically


def write_result(path: Path, content: dict[str, Any]) -> None:
    """Write a result, and the folder that it belongs into."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def sha256_of(content: object) -> str:
    """Return the hash of plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def photos_sha256(stores: Iterable[Store]) -> str:
    """Return the hash of the photos that are trained on and validated with."""
    splits = ("train", "val")
    return sha256_of([[sorted(store.hashes(split)) for split in splits] for store in stores])


def items(text: str) -> list[str]:
    """Return what an option names with commas."""
    return [item.strip() for item in text.split(",") if item.strip()]

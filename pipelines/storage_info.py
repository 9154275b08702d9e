"""What the packages behind fsspec tell of a file, each in its own words."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_TIMES = ("LastModified", "mtime", "updated", "last_modified", "modified", "created")
"""Where they say when a file was last changed; the first that is there."""

_NANOSECONDS = 10**9


def changed_ns(info: Mapping[str, Any]) -> int | None:
    """Return when a file was last changed, in nanoseconds since 1970; None if that is not told."""
    time = next((info[key] for key in _TIMES if info.get(key)), None)
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            time = None
    if isinstance(time, datetime):
        time = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    # Lists of objects and their headers may differ in fractions of a second.
    return None if time is None else int(time) * _NANOSECONDS


def etag_of(info: Mapping[str, Any]) -> str | None:
    """Return what an object store calls the content of a file; None elsewhere."""
    etag = info.get("ETag") or info.get("etag")
    return etag.strip('"') if etag else None

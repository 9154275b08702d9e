"""URLs as people write them."""

import re
from pathlib import Path

_URL = re.compile(r"[a-z][a-z0-9+.-]+(://|::)", re.ASCII)

_PASSWORD = re.compile(r"(://[^/:@]*):[^/]*@")


def is_url(place: Path | str) -> bool:
    """Tell whether a place is a URL, and not a path of this machine."""
    if not isinstance(place, str) or _URL.match(place) is None:
        return False
    # `a::b` may be the name of a file; nobody has one that is called `s3://bucket`.
    return "://" in place or not Path(place).exists()


def without_password(url: str) -> str:
    """Return a URL with the user that it names, if any, and without their password."""
    return _PASSWORD.sub(r"\1@", url)

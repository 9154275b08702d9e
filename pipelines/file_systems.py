"""The file systems behind URLs: the only module that knows fsspec."""

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pipelines.errors import ConfigError
from pipelines.urls import without_password

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "abfss", "adl", "az"), "adlfs"),
}
"""What most people need beside fsspec, by protocol. Of others fsspec says it itself."""

CONNECTIONS = 64
"""Requests to S3 at once; what runs there by default, 10, is little for a machine of many cores."""


class OpenedUrl(NamedTuple):
    """What is behind a URL.

    Attributes:
        files: The file system.
        key: Path in it.
        server: User and host that `files` is on and `key` does not name; empty for buckets.
    """

    files: "AbstractFileSystem"
    key: str
    server: str


@lru_cache(maxsize=64)
def open_url(url: str) -> OpenedUrl:
    """Return what is behind a URL.

    Raises:
        ConfigError: Nobody knows such URLs, or the package for them is missing.
    """
    from fsspec.core import url_to_fs

    shown = without_password(url)
    try:
        # What a run lists once, it keeps itself; what it lists again may have changed.
        files, key = url_to_fs(url, use_listings_cache=False, **_many_connections(url))
    except ImportError as error:
        package = _PACKAGES.get(url.partition(":")[0])
        advice = f"add it with {sys.executable} -m pip install {package}" if package else error
        raise ConfigError(
            f"{shown}: such URLs need a package that is not installed here; {advice}"
        ) from error
    except Exception as error:  # of whatever package: a URL of which it lacks a part, or no server
        raise ConfigError(f"{shown}: no URL that can be used ({error}); check it") from error
    is_on_server = "host" in files._get_kwargs_from_urls(url)  # noqa: SLF001 # for subclasses
    return OpenedUrl(files, str(key), urlsplit(shown).netloc if is_on_server else "")


def _many_connections(url: str) -> dict[str, Any]:
    """Return the options with which threads do not wait for each other's connections."""
    from fsspec.config import conf

    if not url.startswith(("s3://", "s3a://")):
        return {}
    chosen = conf.get("s3", {}).get("config_kwargs", {})
    return {"config_kwargs": {"max_pool_connections": CONNECTIONS, **chosen}}


def protocols_of(files: "AbstractFileSystem") -> tuple[str, ...]:
    """Return by what names the URLs of a file system may begin."""
    protocol = files.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)

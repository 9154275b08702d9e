"""Reading `banet.toml`: a table per subcommand that gives its options and arguments values."""

import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError

CONFIG_NAME = "banet.toml"

Tables = dict[str, dict[str, Any]]


def find_config(explicit: Path | None) -> Path | None:
    """Return the settings file: the one that was named, or that of the current folder, if any.

    Raises:
        ConfigError: The named file does not exist.
    """
    if explicit is None:
        default = Path(CONFIG_NAME)
        return default if default.is_file() else None
    if not explicit.is_file():
        raise ConfigError(f"--config {explicit}: no such file; `banet init` writes one")
    return explicit


def read_config(path: Path, known: Mapping[str, Collection[str]]) -> Tables:
    """Read a settings file; dashes in keys count as underscores.

    Args:
        path: The TOML file.
        known: Keys that may occur, by table.

    Raises:
        ConfigError: The file cannot be read, is no TOML, or holds tables or keys that mean
            nothing; all of them are named, each with the nearest that would mean something.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error
    mistakes = []
    tables: Tables = {}
    for name, table in content.items():
        if name not in known or not isinstance(table, dict):
            mistakes.append(_unknown("table", f"[{name}]", name, known))
            continue
        tables[name] = {key.replace("-", "_"): value for key, value in table.items()}
        mistakes += [
            _unknown("key", f"{key} in [{name}]", key, known[name])
            for key in tables[name]
            if key not in known[name]
        ]
    if mistakes:
        raise ConfigError(f"{path}: {'; '.join(mistakes)}")
    return tables


def write_config(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a settings file.

    Raises:
        ConfigError: There is one already, and `overwrite` is not set; or it cannot be written.
    """
    from pipelines.whole_files import write_atomically

    if path.exists() and not overwrite:
        raise ConfigError(f"{path}: exists already; --force replaces it")
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written ({error.strerror}); create its folder, mend its "
            "permissions or choose another place"
        ) from error


def _unknown(kind: str, place: str, name: str, known: Collection[str]) -> str:
    nearest = get_close_matches(name, known, n=1, cutoff=0)
    return f"unknown {kind} {place}; the nearest valid {kind} is {nearest[0]}"

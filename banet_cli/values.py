"""Options whose text holds several values."""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import typer


class SplitFractions(NamedTuple):
    """Shares of the samples that go to training, validation and test."""

    train: float
    val: float
    test: float


class CannyThresholds(NamedTuple):
    """Hysteresis thresholds of the Canny edge detector, on gradients of 8-bit masks."""

    low: float
    high: float


def parse_split(value: str | Sequence[float]) -> SplitFractions:
    """Read `0.8,0.1,0.1`, or three numbers of `banet.toml`."""
    try:
        return SplitFractions(*map(float, _items(value)))
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(f"{value!r} is not three numbers such as 0.8,0.1,0.1") from error


def parse_canny(value: str | Sequence[float]) -> CannyThresholds:
    """Read `100,200`, or two numbers of `banet.toml`."""
    try:
        return CannyThresholds(*map(float, _items(value)))
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(f"{value!r} is not two numbers such as 100,200") from error


def parse_photos_at_once(value: str | int) -> int | None:
    """Read `auto`, which is None, or a number."""
    if value == "auto":
        return None
    try:
        return int(value)
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} is neither auto nor a number such as 8") from error


def parse_memory_option(value: str | int) -> int:
    """Read `2G`, or a number of bytes of `banet.toml`."""
    from pipelines.memory_amounts import parse_memory

    try:
        return parse_memory(str(value))
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} is no amount of memory such as 2G or 512M") from error


def split_names(values: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a repeatable option, each of whose values may hold several: `a,b`."""
    return tuple(name for value in values for name in value.split(","))


def split_places(value: str) -> list[str]:
    """Return the paths and URLs that a variable holds, separated as those in PATH."""
    url = r"(?:[a-z0-9+.-]+::)*[a-z][a-z0-9+.-]*://[^/;:]*(?::\d+)?"
    end = re.escape(os.pathsep)
    return re.findall(rf"(?:{url})?[^{end}]+|{url}", value)


def _items(value: str | Sequence[float]) -> Sequence[str] | Sequence[float]:
    return value.split(",") if isinstance(value, str) else value

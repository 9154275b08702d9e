"""What the keys of a TOML file may be: rules in words and as tests."""

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """What a setting must be, in words and as a test."""

    meaning: str
    accepts: Callable[[Any], bool]


def mistakes_in(values: Mapping[str, Any], rules: Mapping[str, Rule], where: str) -> Iterator[str]:
    """Say what is wrong with settings: keys that mean nothing, and values that make no sense.

    Args:
        values: As the file has them.
        rules: By key.
        where: Put before each mistake.
    """
    for key, value in values.items():
        if key not in rules:
            near = difflib.get_close_matches(key, rules, n=1, cutoff=0)
            yield f"{where}unknown key {key!r}, the nearest valid one is {near[0]!r}"
        elif not rules[key].accepts(value):
            yield f"{where}{key} = {value!r}: must be {rules[key].meaning}"


def is_whole(value: object, low: int) -> bool:
    """Tell whether a value is a whole number of at least `low`."""
    return isinstance(value, int) and is_number(value, low)


def is_number(value: object, low: float, high: float = math.inf) -> bool:
    """Tell whether a value is a finite number from `low` to `high`."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and low <= value < math.inf and value <= high  # type: ignore[operator]


def is_list(value: object, length: int, low: float, high: float = math.inf) -> bool:
    """Tell whether a value is a list of so many finite numbers from `low` to `high`."""
    return (
        isinstance(value, list)
        and len(value) == length
        and all(is_number(item, low, high) for item in value)
    )


def whole_rule(low: int) -> Rule:
    """Return the rule for a whole number of at least `low`."""
    return Rule(f"a whole number, at least {low}", lambda value: is_whole(value, low))


def number_rule(low: float, high: float = math.inf) -> Rule:
    """Return the rule for a number from `low` to `high`."""
    meaning = f"a number, at least {low:g}" + (f" and at most {high:g}" if high < math.inf else "")
    return Rule(meaning, lambda value: is_number(value, low, high))


def choice_rule(*names: str) -> Rule:
    """Return the rule for one of some names."""
    return Rule(" or ".join(f'"{name}"' for name in names), lambda value: value in names)

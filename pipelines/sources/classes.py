"""Which classes of an annotated dataset are people, as `--classes` says it."""

from collections.abc import Iterable
from typing import NamedTuple

from pipelines.errors import ConfigError, InputError

Classes = tuple[str, ...] | None
"""As the option has them; None if it is not given."""

PERSON = "person"
"""The class that counts without the option."""

_TAKEN_AWAY = "-"


class ClassChoice(NamedTuple):
    """Names of classes.

    Attributes:
        people: What is drawn.
        removed: What is taken away again where it covers people, named with a minus.
    """

    people: tuple[str, ...]
    removed: tuple[str, ...]


def chosen_classes(classes: Classes, known: Iterable[str], where: str) -> ClassChoice:
    """Return the choice, all of which must be known to the dataset.

    Args:
        classes: Names; those with a minus before them are taken away.
        known: Names of all classes of the dataset.
        where: What lists them, for errors.

    Raises:
        ConfigError: Nothing is chosen that would be drawn.
        InputError: A class is not known.
    """
    names = classes or (PERSON,)
    choice = ClassChoice(
        people=tuple(name for name in names if not name.startswith(_TAKEN_AWAY)),
        removed=tuple(name[1:] for name in names if name.startswith(_TAKEN_AWAY)),
    )
    if not choice.people:
        raise ConfigError(
            f"--classes {','.join(names)}: only takes away; name the classes of people too"
        )
    known = sorted(set(known))
    unknown = sorted({*choice.people, *choice.removed}.difference(known))
    if unknown:
        raise InputError(
            f"{where}: has no class {unknown[0]!r}, but {', '.join(map(repr, known)) or 'none'}; "
            "say with --classes which are people"
        )
    return choice


def class_numbers(classes: Classes, layout: str) -> tuple[int, ...]:
    """Return the values of mask files that mean "person"; none if the convention is to be seen.

    Raises:
        ConfigError: They are no numbers.
    """
    try:
        return tuple(sorted({int(name) for name in classes or ()}))
    except ValueError:
        raise ConfigError(
            f"--classes {','.join(classes or ())}: mask files, as the layout {layout!r} has them, "
            "hold numbers of classes; use these, for example --classes 15"
        ) from None


def refuse_classes(classes: Classes, layout: str) -> None:
    """Make sure that no classes are chosen where a layout has none.

    Raises:
        ConfigError: Some are.
    """
    if classes:
        raise ConfigError(
            f"--classes {','.join(classes)}: the layout {layout!r} has no classes; leave it out"
        )

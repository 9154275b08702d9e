"""How `banet.toml` becomes the defaults of a command, below its options and `BANET_*` variables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

Parameter = TyperArgument | TyperOption


def apply_configuration(context: typer.Context, value: Path | None) -> Path | None:
    """Callback of `--config`: give the command's other parameters the values of the file.

    Raises:
        ConfigError: See `pipelines.config`, or a value is of another kind than its option.
    """
    from pipelines.config import find_config, read_config
    from pipelines.errors import ConfigError

    path = find_config(value)
    if path is None or context.resilient_parsing:
        return value
    known = {name: set(settings) for name, settings in all_settings(root_command(context)).items()}
    table = read_config(path, known).get(context.info_name or "", {})
    parameters = {parameter.name: parameter for parameter in settings_of(context.command)}
    try:
        context.default_map = {key: _fitting(parameters[key], table[key]) for key in table}
    except ValueError as error:
        raise ConfigError(f"{path}: [{context.info_name}] {error}") from error
    return path


def root_command(context: typer.Context) -> TyperGroup:
    """Return the group that holds all subcommands."""
    command = context.find_root().command
    assert isinstance(command, TyperGroup)
    return command


def all_settings(group: TyperGroup) -> dict[str, dict[str, Parameter]]:
    """Return what `banet.toml` may hold: by table and key, the parameter that it sets."""
    return {
        name: {parameter.name: parameter for parameter in settings_of(command)}
        for name, command in group.commands.items()
    }


def settings_of(command: Any) -> Iterator[Parameter]:
    """Yield the parameters of a command that `banet.toml` may set: all but `--config` itself."""
    for parameter in command.params:
        if isinstance(parameter, Parameter) and parameter.name not in {"config", "help"}:
            yield parameter


def _fitting(parameter: Parameter, value: Any) -> Any:
    """Bring a TOML value into the form in which the command line would have given it."""
    is_switch = isinstance(parameter, TyperOption) and parameter.is_bool_flag
    if isinstance(value, bool) != is_switch:
        expected = "true or false" if is_switch else "a value"
        raise ValueError(f"{parameter.name} = {str(value).lower()}: needs {expected}")
    takes_many = parameter.nargs == -1 or (
        isinstance(parameter, TyperOption) and parameter.multiple
    )
    return [value] if takes_many and not isinstance(value, list) else value

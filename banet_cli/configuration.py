"""How `banet.toml` becomes the defaults of a command, below its options and `BANET_*` variables."""

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

Parameter = TyperArgument | TyperOption
Settings = dict[str, dict[str, Parameter]]


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
    settings = all_settings(root_command(context))
    name = context.info_name or ""
    table = read_config(path, settings).get(name, {})
    try:
        context.default_map = {key: _fitting(settings[name][key], table[key]) for key in table}
    except ValueError as error:
        raise ConfigError(f"{path}: [{name}] {error}") from error
    return path


def root_command(context: typer.Context) -> TyperGroup:
    """Return the group that holds all subcommands."""
    command = context.find_root().command
    assert isinstance(command, TyperGroup)
    return command


def all_settings(group: TyperGroup) -> Settings:
    """Return what `banet.toml` may hold: all parameters of the commands that read it."""
    settings = {name: parameters_of(command) for name, command in group.commands.items()}
    return {
        name: {key: value for key, value in parameters.items() if key != "config"}
        for name, parameters in settings.items()
        if "config" in parameters
    }


def parameters_of(command: Any) -> dict[str, Parameter]:
    """Return the arguments and options of a command by name."""
    return {
        parameter.name: parameter
        for parameter in command.params
        if isinstance(parameter, Parameter)
    }


def takes_many(parameter: Parameter) -> bool:
    """Tell whether a parameter holds a list."""
    return parameter.nargs == -1 or parameter.multiple


def _fitting(parameter: Parameter, value: Any) -> Any:
    """Bring a TOML value into the form in which the command line would have given it."""
    is_switch = isinstance(parameter, TyperOption) and parameter.is_bool_flag
    if isinstance(value, bool) != is_switch:
        expected = "true or false" if is_switch else "a value"
        raise ValueError(f"{parameter.name} = {str(value).lower()}: needs {expected}")
    return [value] if takes_many(parameter) and not isinstance(value, list) else value

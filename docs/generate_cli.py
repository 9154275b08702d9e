"""Prints docs/cli.md, the reference of the command line, from the commands themselves.

`make docs` writes the file; a test fails when it is out of date.
"""

import sys
from collections.abc import Iterator

from banet_cli.app import ENVIRONMENT_PREFIX, build_command
from banet_cli.configuration import Parameter, parameters_of

HEADER = """\
# The commands of banet

Made by `make docs` from the commands themselves; do not edit. Every value may come from the command
line or from the environment variable named beside it; for commands that have `--config`, also from
the key of the same name in the command's table of `banet.toml`. The first of them wins. In a
variable, several paths are separated as in PATH, several names by spaces.
"""

EXIT_CODES = """\
## Exit codes

| code | meaning |
|---|---|
| 0 | every input accounted for, none failed |
| 1 | the run could not go on; one sentence says what, where and how to mend it |
| 2 | wrong usage or configuration |
| 3 | the run finished, but some inputs failed; each is listed with its reason |
| 4 | the requested device is not available |
| 5 | another run is writing to the same place |
| 130, 143 | SIGINT, SIGTERM; the same command goes on from there, `banet train` with `--resume` |
"""


def reference() -> Iterator[str]:
    """Yield the lines of the document."""
    yield HEADER
    for name, command in build_command().commands.items():
        parameters = parameters_of(command).values()
        arguments = [item for item in parameters if item.param_type_name == "argument"]
        usage = " ".join(item.metavar or item.name for item in arguments)
        yield f"## banet {name} {usage}".rstrip() + "\n"
        yield f"{command.help}\n"
        yield "| | default | variable | |"
        yield "|---|---|---|---|"
        yield from (_row(name, item) for item in parameters if item.name != "help")
        yield ""
    yield EXIT_CODES.rstrip()


def _row(command: str, parameter: Parameter) -> str:
    cells = (_spelling(parameter), _default(parameter), _variable(command, parameter))
    return f"| {' | '.join(_escape(cell) for cell in cells)} | {_escape(parameter.help or '')} |"


def _spelling(parameter: Parameter) -> str:
    choices = parameter.type_descriptor.choices
    value = "|".join(map(str, choices)) if choices else parameter.metavar or ""
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`"
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    return f"{names} {f'`{value}`' if value else ''}".strip()


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    value = parameter.default
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return f"`{' '.join(value)}`"
    return "" if value is None else f"`{value}`"


def _variable(command: str, parameter: Parameter) -> str:
    if isinstance(parameter.envvar, str):
        return f"`{parameter.envvar}`"
    return f"`{ENVIRONMENT_PREFIX}_{command}_{parameter.name}`".upper()


def _escape(text: str) -> str:
    return text.replace("|", r"\|").replace("<", r"\<")


if __name__ == "__main__":
    sys.stdout.write("\n".join(reference()) + "\n")
